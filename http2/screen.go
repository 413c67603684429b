package http2

import (
	"net/http"

	"github.com/appserver-go/appserver/internal/httprules"
)

// screen looks for what makes a request one that must not be served. All of it the library would let through.
func screen(r *http.Request, l Limits) *httprules.Refusal {
	if bad := screenLine(r, l); bad != nil {
		return bad
	}
	if bad := screenFields(r, l); bad != nil {
		return bad
	}
	if l.Body > 0 && r.ContentLength > l.Body {
		return httprules.BodyTooLarge
	}
	return nil
}

// screenLine checks the request line, save for the target.
func screenLine(r *http.Request, l Limits) *httprules.Refusal {
	if n := len(r.Method) + len(r.RequestURI) + len(r.Proto) + 2; l.RequestLine > 0 && n > l.RequestLine {
		return httprules.LineTooLong
	}
	return httprules.Method(r.Method)
}

// screenFields checks the header fields.
func screenFields(r *http.Request, l Limits) *httprules.Refusal {
	n := 0
	if r.Host != "" {
		n++ // the library takes it out of the fields
	}
	for name, values := range r.Header {
		n += len(values)
		for _, v := range values {
			if size := len(name) + len(v) + len(": \r\n"); l.FieldSize > 0 && size > l.FieldSize {
				return httprules.FieldTooLarge
			}
		}
	}
	if l.Fields > 0 && n > l.Fields {
		return httprules.TooManyFields
	}
	if len(r.Header["Content-Type"]) > 1 {
		return &httprules.Refusal{Status: http.StatusBadRequest, Cause: "more than one Content-Type"}
	}
	switch e := r.Header["Expect"]; len(e) {
	case 0:
		return nil
	case 1:
		return httprules.Expectation(e[0])
	}
	return httprules.UnknownExpectation
}
