package nethttp

import (
	"net/http"
	"strings"

	"github.com/appserver-go/appserver/exchange"
)

// maxMethod is the length of the longest method, as in gunicorn.
const maxMethod = 20

// refusal says why a request is not served.
type refusal struct {
	status int
	cause  string
}

// screen looks for what makes a request one that must not be served. All of it net/http would let through.
func screen(r *http.Request, l Limits) *refusal {
	if bad := screenLine(r, l); bad != nil {
		return bad
	}
	if bad := screenFields(r, l); bad != nil {
		return bad
	}
	if l.Body > 0 && r.ContentLength > l.Body {
		return &refusal{http.StatusRequestEntityTooLarge, "body over limit_request_body"}
	}
	return nil
}

// screenLine checks the request line, save for the target (target.go).
func screenLine(r *http.Request, l Limits) *refusal {
	if n := len(r.Method) + len(r.RequestURI) + len(r.Proto) + 2; l.RequestLine > 0 && n > l.RequestLine {
		return &refusal{http.StatusRequestURITooLong, "request line over limit_request_line"}
	}
	switch {
	case r.ProtoMajor != 1:
		return &refusal{http.StatusHTTPVersionNotSupported, "not HTTP/1"}
	case r.Method == http.MethodConnect, r.Method == http.MethodTrace:
		// 501 rather than 405: no resource of this server has them, whatever the guest (RFC 9110 §15.6.2).
		return &refusal{http.StatusNotImplemented, "method not served"}
	case !validMethod(r.Method):
		return &refusal{http.StatusBadRequest, "invalid method"}
	}
	return nil
}

// validMethod reports whether m is a method by gunicorn's rules, which are stricter than RFC 9110's.
func validMethod(m string) bool {
	if len(m) < 3 || len(m) > maxMethod || !exchange.ValidName(m) {
		return false
	}
	for i := range len(m) {
		if 'a' <= m[i] && m[i] <= 'z' || m[i] == '#' {
			return false
		}
	}
	return true
}

// screenFields checks the header fields.
func screenFields(r *http.Request, l Limits) *refusal {
	n := 0
	if r.Host != "" {
		n++ // net/http takes it out of the fields
	}
	if len(r.TransferEncoding) > 0 {
		n++ // likewise
	}
	for name, values := range r.Header {
		n += len(values)
		for _, v := range values {
			if size := len(name) + len(v) + len(": \r\n"); l.FieldSize > 0 && size > l.FieldSize {
				return &refusal{http.StatusRequestHeaderFieldsTooLarge, "field over limit_request_field_size"}
			}
		}
	}
	if l.Fields > 0 && n > l.Fields {
		return &refusal{http.StatusRequestHeaderFieldsTooLarge, "more fields than limit_request_fields"}
	}
	if len(r.Header["Content-Type"]) > 1 {
		return &refusal{http.StatusBadRequest, "more than one Content-Type"}
	}
	if e := r.Header["Expect"]; len(e) > 1 || len(e) == 1 && !strings.EqualFold(e[0], "100-continue") {
		return &refusal{http.StatusExpectationFailed, "unknown expectation"}
	}
	return nil
}

// hidden reports whether a request field is kept from guests: those of the connection, those that are met here, Proxy,
// which CGI programs would take for a setting of their own (httpoxy), and names with an underscore, which CGI
// cannot tell from the same name with a dash (gunicorn's header_map=drop).
func hidden(name string) bool {
	return name == "Expect" || name == "Proxy" || strings.IndexByte(name, '_') >= 0 || exchange.HopByHop(name)
}
