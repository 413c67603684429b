package httpwasm

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/appserver-go/appserver/exchange"
)

// message keeps the request as the client sent it while the guest changes it for itself and the next handler.
type message struct {
	method, target, host string
	fields, trailers     exchange.Fields
	body                 io.Reader
	length               int64

	ownFields, ownTrailers bool // the request's fields, trailers are copies in the buffers
	fieldsBuf, trailersBuf exchange.Fields
}

func (m *message) begin(r *exchange.Request) {
	m.method, m.target, m.host = r.Method, r.Target, r.Host
	m.fields, m.body, m.length = r.Fields, r.Body, r.ContentLength
}

// restore undoes the guest's changes. Trailers that came with the body in the meantime stay.
func (m *message) restore(r *exchange.Request) {
	if m.ownFields {
		m.fieldsBuf = r.Fields // it may have grown
	}
	r.Method, r.Target, r.Host = m.method, m.target, m.host
	r.Fields, r.Body, r.ContentLength = m.fields, m.body, m.length
	if m.ownTrailers {
		m.trailersBuf, r.Trailers = r.Trailers, m.trailers
	}
	clear(m.fieldsBuf)
	clear(m.trailersBuf)
	*m = message{fieldsBuf: m.fieldsBuf[:0], trailersBuf: m.trailersBuf[:0]}
}

// changeFields returns the request's fields for writing: a copy, since the original belongs to the caller.
func (m *message) changeFields(r *exchange.Request) *exchange.Fields {
	if !m.ownFields {
		m.ownFields = true
		m.fieldsBuf = append(m.fieldsBuf[:0], r.Fields...)
		r.Fields = m.fieldsBuf
	}
	return &r.Fields
}

// changeTrailers is changeFields for the trailers.
func (m *message) changeTrailers(r *exchange.Request) *exchange.Fields {
	if !m.ownTrailers {
		m.ownTrailers = true
		m.trailers = r.Trailers
		m.trailersBuf = append(m.trailersBuf[:0], r.Trailers...)
		r.Trailers = m.trailersBuf
	}
	return &r.Trailers
}

func (in *instance) getMethod(s []uint64) {
	in.mustServe()
	s[0] = in.put("method", in.x.Request.Method, uint32(s[0]), uint32(s[1]))
}

func (in *instance) setMethod(s []uint64) {
	in.mustChangeRequest("method")
	method := in.strings.string(in.view("method", uint32(s[0]), uint32(s[1])))
	if !exchange.ValidName(method) {
		panic(fmt.Errorf("the guest set the request's method to %q, which is no token", clip(method, 64)))
	}
	in.x.Request.Method = method
}

func (in *instance) getURI(s []uint64) {
	in.mustServe()
	uri := in.x.Request.Target
	if uri == "" {
		uri = "/"
	}
	s[0] = in.put("URI", uri, uint32(s[0]), uint32(s[1]))
}

// setURI takes over path and query as the guest encoded them. What must not be in a request line is escaped: the
// specification leaves the host free, and the next handler may write the target to another connection.
func (in *instance) setURI(s []uint64) {
	in.mustChangeRequest("URI")
	in.x.Request.Target = cleanTarget(in.strings.string(in.view("URI", uint32(s[0]), uint32(s[1]))))
}

// cleanTarget makes uri an origin-form (RFC 9112 §3.2.1): it begins with a slash and has no bytes that would end it.
func cleanTarget(uri string) string {
	clean := strings.HasPrefix(uri, "/") || uri == "*"
	for i := 0; clean && i < len(uri); i++ {
		clean = !unsafeInTarget(uri[i])
	}
	if clean {
		return uri
	}
	const hex = "0123456789ABCDEF"
	b := make([]byte, 0, len(uri)+16)
	if !strings.HasPrefix(uri, "/") {
		b = append(b, '/')
	}
	for i := range len(uri) {
		if c := uri[i]; unsafeInTarget(c) {
			b = append(b, '%', hex[c>>4], hex[c&15])
		} else {
			b = append(b, c)
		}
	}
	return string(b)
}

// unsafeInTarget reports bytes that are neither URI characters (RFC 3986 §2) nor commonly let pass, and "#", which
// begins a fragment.
func unsafeInTarget(c byte) bool {
	return c <= ' ' || c >= 0x7f || c == '#' || c == '"' || c == '<' || c == '>'
}

func (in *instance) getProtocolVersion(s []uint64) {
	in.mustServe()
	s[0] = in.put("protocol version", in.x.Request.Proto, uint32(s[0]), uint32(s[1]))
}

// getSourceAddr returns the peer's address, which is empty for a unix socket.
func (in *instance) getSourceAddr(s []uint64) {
	in.mustServe()
	s[0] = in.put("source address", in.x.Request.RemoteAddr, uint32(s[0]), uint32(s[1]))
}

// getStatusCode returns the status that the response has so far.
func (in *instance) getStatusCode(s []uint64) {
	in.mustServe()
	s[0] = 200
	if status := in.x.Response.Status; status != 0 {
		s[0] = uint64(uint32(status))
	}
}

// setStatusCode sends nothing: header fields may still follow.
func (in *instance) setStatusCode(s []uint64) {
	in.mustChangeResponse("status")
	in.mustNotBeSent("status")
	status := int(uint32(s[0]))
	if err := exchange.CheckHead(status, nil); err != nil {
		panic(err)
	}
	in.x.Response.Status = status
}

var errNoName = errors.New("the guest named a header field with an empty name")

func clip(s string, n int) string {
	if len(s) > n {
		return s[:n] + "…"
	}
	return s
}
