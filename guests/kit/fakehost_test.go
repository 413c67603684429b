package kit

import (
	"io"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
	"testing"
)

// fakeHost is a host in memory. It keeps the rules of the ABI that a kit could break, and fails the test when it does.
type fakeHost struct {
	t *testing.T

	requestMethod, requestURI string
	headers                   [4]http.Header
	requestBody               io.Reader
	responseStatus            int
	supported, enabled        uint32
	configuration             string
	minLevel                  int32

	replaced [2]bool   // write_body has been called
	written  [2][]byte // what it wrote
	theirs   []byte    // the next handler's body, until read
	pieces   []string  // the response's pieces, in order
	logged   []string
	phase    string // "request" or "response", for what is allowed when
}

func newFakeHost(t *testing.T, method, uri, body string) *fakeHost {
	h := &fakeHost{
		t: t, requestMethod: method, requestURI: uri, requestBody: strings.NewReader(body),
		supported: bufferResponse | trailers, responseStatus: 200, phase: "request",
	}
	for i := range h.headers {
		h.headers[i] = http.Header{}
	}
	h.headers[ofRequest].Set("Host", "example.com")
	return h
}

func (h *fakeHost) enableFeatures(features uint32) uint32 {
	if h.phase != "request" {
		h.t.Errorf("enable_features(%d) after handle_request", features)
	}
	h.enabled |= features & h.supported
	return h.enabled
}

func (h *fakeHost) config() []byte { return []byte(h.configuration) }

func (h *fakeHost) logEnabled(level int32) bool { return level >= h.minLevel }

func (h *fakeHost) log(level int32, message []byte) {
	h.logged = append(h.logged, string(rune('0'+level+1))+" "+string(message))
}

func (h *fakeHost) headerNames(kind uint32) []string {
	var names []string
	for name := range h.headers[kind] {
		names = append(names, strings.ToLower(name))
	}
	slices.Sort(names)
	return names
}

func (h *fakeHost) headerValues(kind uint32, name string) []string {
	return h.headers[kind].Values(name)
}

func (h *fakeHost) setHeader(kind uint32, name, value string) {
	h.mayChange(kind)
	h.headers[kind].Set(name, value)
}

func (h *fakeHost) addHeader(kind uint32, name, value string) {
	h.mayChange(kind)
	h.headers[kind].Add(name, value)
}

func (h *fakeHost) removeHeader(kind uint32, name string) {
	h.mayChange(kind)
	h.headers[kind].Del(name)
}

func (h *fakeHost) mayChange(kind uint32) {
	switch {
	case h.phase == "response" && (kind == ofRequest || kind == ofRequestTrailer):
		h.t.Error("request changed after it was passed on")
	case h.phase == "response" && h.enabled&bufferResponse == 0:
		h.t.Error("response changed without buffer_response")
	case (kind == ofRequestTrailer || kind == ofResponseTrailer) && h.enabled&trailers == 0:
		h.t.Error("trailer set without trailers")
	}
}

func (h *fakeHost) readBody(kind uint32, p []byte) (n int, eof bool) {
	if len(p) == 0 {
		h.t.Error("read_body into an empty buffer")
	}
	if kind == ofResponse {
		h.mayChange(kind)
		n = copy(p, h.theirs)
		h.theirs = h.theirs[n:]
		return n, len(h.theirs) == 0
	}
	n, err := h.requestBody.Read(p)
	return n, err == io.EOF
}

func (h *fakeHost) writeBody(kind uint32, p []byte) {
	h.mayChange(kind)
	h.replaced[kind] = true
	h.written[kind] = append(h.written[kind], p...)
	if kind == ofResponse {
		h.pieces = append(h.pieces, string(p))
	}
}

func (h *fakeHost) method() string { return h.requestMethod }

func (h *fakeHost) setMethod(method string) { h.mayChange(ofRequest); h.requestMethod = method }

func (h *fakeHost) uri() string { return h.requestURI }

func (h *fakeHost) setURI(uri string) { h.mayChange(ofRequest); h.requestURI = uri }

func (h *fakeHost) protocol() string { return "HTTP/1.1" }

func (h *fakeHost) sourceAddr() string { return "192.0.2.1:1234" }

func (h *fakeHost) status() int { return h.responseStatus }

func (h *fakeHost) setStatus(status int) { h.mayChange(ofResponse); h.responseStatus = status }

// serve calls a handler for the one request of the host and returns what handle_request returns.
func (h *fakeHost) serve(handler http.HandlerFunc) uint64 {
	return h.adapter(func(http.Handler) http.Handler { return handler }).handleRequest()
}

func (h *fakeHost) adapter(m Middleware) *adapter {
	return newAdapter(h, m, func(code int) { h.t.Errorf("exit(%d)", code) })
}

// respond does what a host does between handle_request and handle_response: the next handler answers.
func (h *fakeHost) respond(status int, body string, header ...string) {
	h.phase = "response"
	h.responseStatus, h.theirs = status, []byte(body)
	for i := 0; i < len(header); i += 2 {
		h.headers[ofResponse].Add(textproto.CanonicalMIMEHeaderKey(header[i]), header[i+1])
	}
}

// body is the response's body as the client gets it.
func (h *fakeHost) body() string {
	if h.replaced[ofResponse] {
		return string(h.written[ofResponse])
	}
	return string(h.theirs)
}
