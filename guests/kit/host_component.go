//go:build wasip1 && component && !cgi && !stdio

package kit

import (
	"net/http"
	"os"
	"strings"
	"unsafe"
)

//go:wasmimport wasi:http/types@0.2.10 [constructor]fields
func newFields() uint32

//go:wasmimport wasi:http/types@0.2.10 [method]fields.append
func fieldsAppend(self uint32, name unsafe.Pointer, nameLen uint32, value unsafe.Pointer, valueLen uint32, result unsafe.Pointer)

//go:wasmimport wasi:http/types@0.2.10 [method]fields.entries
func fieldsEntries(self uint32, result unsafe.Pointer)

//go:wasmimport wasi:http/types@0.2.10 [resource-drop]fields
func dropFields(self uint32)

//go:wasmimport wasi:http/types@0.2.10 [method]incoming-request.method
func requestMethod(self uint32, result unsafe.Pointer)

//go:wasmimport wasi:http/types@0.2.10 [method]incoming-request.path-with-query
func requestPath(self uint32, result unsafe.Pointer)

//go:wasmimport wasi:http/types@0.2.10 [method]incoming-request.authority
func requestAuthority(self uint32, result unsafe.Pointer)

//go:wasmimport wasi:http/types@0.2.10 [method]incoming-request.headers
func requestHeaders(self uint32) uint32

//go:wasmimport wasi:http/types@0.2.10 [method]incoming-request.consume
func requestConsume(self uint32, result unsafe.Pointer)

//go:wasmimport wasi:http/types@0.2.10 [resource-drop]incoming-request
func dropRequest(self uint32)

//go:wasmimport wasi:http/types@0.2.10 [method]incoming-body.stream
func bodyStream(self uint32, result unsafe.Pointer)

//go:wasmimport wasi:http/types@0.2.10 [static]incoming-body.finish
func bodyFinish(self uint32) uint32

//go:wasmimport wasi:http/types@0.2.10 [resource-drop]incoming-body
func dropBody(self uint32)

//go:wasmimport wasi:http/types@0.2.10 [method]future-trailers.get
func trailersGet(self uint32, result unsafe.Pointer)

//go:wasmimport wasi:http/types@0.2.10 [resource-drop]future-trailers
func dropTrailers(self uint32)

//go:wasmimport wasi:io/streams@0.2.10 [method]input-stream.blocking-read
func streamRead(self uint32, n uint64, result unsafe.Pointer)

//go:wasmimport wasi:io/streams@0.2.10 [resource-drop]input-stream
func dropInput(self uint32)

//go:wasmimport wasi:http/types@0.2.10 [constructor]outgoing-response
func newOutgoing(headers uint32) uint32

//go:wasmimport wasi:http/types@0.2.10 [method]outgoing-response.set-status-code
func outgoingStatus(self, status uint32) uint32

//go:wasmimport wasi:http/types@0.2.10 [method]outgoing-response.body
func outgoingBody(self uint32, result unsafe.Pointer)

//go:wasmimport wasi:http/types@0.2.10 [method]outgoing-body.write
func outgoingWrite(self uint32, result unsafe.Pointer)

//go:wasmimport wasi:http/types@0.2.10 [static]outgoing-body.finish
func outgoingFinish(self, hasTrailers, trailers uint32, result unsafe.Pointer)

//go:wasmimport wasi:http/types@0.2.10 [static]response-outparam.set
func outparamSet(self, isErr, response, a uint32, b uint64, c, d, e, f uint32)

//go:wasmimport wasi:io/streams@0.2.10 [method]output-stream.check-write
func streamCheck(self uint32, result unsafe.Pointer)

//go:wasmimport wasi:io/streams@0.2.10 [method]output-stream.write
func streamWrite(self uint32, p unsafe.Pointer, n uint32, result unsafe.Pointer)

//go:wasmimport wasi:io/streams@0.2.10 [method]output-stream.blocking-flush
func streamFlush(self uint32, result unsafe.Pointer)

//go:wasmimport wasi:io/streams@0.2.10 [resource-drop]output-stream
func dropOutput(self uint32)

// result is where the host writes results that do not fit one value. It is read before the next call.
type result [8]uint64

func (r *result) at() unsafe.Pointer { return unsafe.Pointer(r) }

func (r *result) byte(offset uintptr) byte { return *(*byte)(unsafe.Add(r.at(), offset)) }

func (r *result) u32(offset uintptr) uint32 { return *(*uint32)(unsafe.Add(r.at(), offset)) }

// bytes returns what a list or string at an offset holds. It is valid until the end of the request.
func (r *result) bytes(offset uintptr) []byte { return bytesAt(unsafe.Add(r.at(), offset)) }

// bytesAt reads a list of bytes by the pointer and length that it has in memory.
func bytesAt(p unsafe.Pointer) []byte {
	w := (*[2]uint32)(p)
	if w[1] == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(address(w[0])), w[1])
}

// address makes a pointer of a number that the host wrote.
func address(n uint32) unsafe.Pointer { return unsafe.Add(unsafe.Pointer(nil), n) }

// componentHost is the host of a guest that is built as a component: one request and its response. It has the form of
// the http-wasm ABI's functions, so that the rest of the kit need not know the difference.
type componentHost struct {
	request, out uint32
	result       result

	fields           [][2]string // of the request, once they were asked for
	known            bool
	body, stream     uint32 // of the request, 0 before they were asked for
	ended            bool
	trailerFields    [][2]string
	code             int
	response         [][2]string
	responseTrailers [][2]string
	outBody, output  uint32
	sent             bool
}

func (h *componentHost) enableFeatures(features uint32) uint32 { return features & trailers }

func (h *componentHost) config() []byte { return config() }

func (h *componentHost) logEnabled(int32) bool { return true }

func (h *componentHost) log(_ int32, message []byte) { os.Stderr.Write(message) }

func (h *componentHost) list(kind uint32) *[][2]string {
	switch kind {
	case ofRequest:
		if !h.known {
			h.known = true
			h.fields = append(h.fields, [2]string{"Host", h.authority()})
			h.fields = h.entries(requestHeaders(h.request), h.fields)
		}
		return &h.fields
	case ofRequestTrailer:
		return &h.trailerFields
	case ofResponseTrailer:
		return &h.responseTrailers
	}
	return &h.response
}

// entries reads fields and drops them.
func (h *componentHost) entries(fields uint32, to [][2]string) [][2]string {
	reserve(0)
	fieldsEntries(fields, h.result.at())
	p := address(h.result.u32(0))
	for range h.result.u32(4) {
		to = append(to, [2]string{string(bytesAt(p)), string(bytesAt(unsafe.Add(p, 8)))})
		p = unsafe.Add(p, 16)
	}
	dropFields(fields)
	return to
}

func (h *componentHost) headerNames(kind uint32) (names []string) {
	seen := map[string]bool{}
	for _, f := range *h.list(kind) {
		if name := http.CanonicalHeaderKey(f[0]); !seen[name] {
			seen[name] = true
			names = append(names, name)
		}
	}
	return names
}

func (h *componentHost) headerValues(kind uint32, name string) (values []string) {
	for _, f := range *h.list(kind) {
		if strings.EqualFold(f[0], name) {
			values = append(values, f[1])
		}
	}
	return values
}

func (h *componentHost) setHeader(kind uint32, name, value string) {
	h.removeHeader(kind, name)
	h.addHeader(kind, name, value)
}

func (h *componentHost) addHeader(kind uint32, name, value string) {
	l := h.list(kind)
	*l = append(*l, [2]string{name, value})
}

func (h *componentHost) removeHeader(kind uint32, name string) {
	l := h.list(kind)
	var rest [][2]string
	for _, f := range *l {
		if !strings.EqualFold(f[0], name) {
			rest = append(rest, f)
		}
	}
	*l = rest
}

// readBody reads the request's body, the only one there is to read.
func (h *componentHost) readBody(_ uint32, p []byte) (n int, eof bool) {
	if h.ended {
		return 0, true
	}
	if h.body == 0 {
		requestConsume(h.request, h.result.at())
		h.body = h.result.u32(4)
		bodyStream(h.body, h.result.at())
		h.stream = h.result.u32(4)
	}
	reserve(len(p))
	streamRead(h.stream, uint64(len(p)), h.result.at())
	if h.result.byte(0) == 0 {
		return copy(p, h.result.bytes(4)), false
	}
	h.endBody()
	return 0, true
}

// endBody reads the trailers behind a body.
func (h *componentHost) endBody() {
	h.ended = true
	dropInput(h.stream)
	future := bodyFinish(h.body)
	trailersGet(future, h.result.at())
	r := &h.result // option<result<result<option<trailers>, error-code>>>, aligned to 8
	if r.byte(0) == 1 && r.byte(8) == 0 && r.byte(16) == 0 && r.byte(24) == 1 {
		h.trailerFields = h.entries(r.u32(28), nil)
	}
	dropTrailers(future)
}

// sendHead sets the response.
func (h *componentHost) sendHead() {
	if h.sent {
		return
	}
	h.sent = true
	response := newOutgoing(h.newFields(h.response))
	outgoingStatus(response, uint32(h.code))
	outgoingBody(response, h.result.at())
	h.outBody = h.result.u32(4)
	outparamSet(h.out, 0, response, 0, 0, 0, 0, 0, 0)
	outgoingWrite(h.outBody, h.result.at())
	h.output = h.result.u32(4)
}

// newFields makes fields. The host refuses some, of which it has its own idea.
func (h *componentHost) newFields(list [][2]string) uint32 {
	fields := newFields()
	for _, f := range list {
		fieldsAppend(fields, stringPointer(f[0]), uint32(len(f[0])), stringPointer(f[1]), uint32(len(f[1])), h.result.at())
	}
	return fields
}

// writeBody writes the response's body. An empty piece is the wish to flush. Errors mean that the client is gone, or that
// the host has an opinion of the body that it tells when the body ends.
func (h *componentHost) writeBody(_ uint32, p []byte) {
	h.sendHead()
	if len(p) == 0 {
		streamFlush(h.output, h.result.at())
		return
	}
	for len(p) > 0 {
		streamCheck(h.output, h.result.at())
		n := min(uint64(len(p)), *(*uint64)(unsafe.Add(h.result.at(), 8)))
		if h.result.byte(0) != 0 || n == 0 {
			return
		}
		streamWrite(h.output, pointer(p), uint32(n), h.result.at())
		if h.result.byte(0) != 0 {
			return
		}
		p = p[n:]
	}
}

// end completes the response, and lets go of the request.
func (h *componentHost) end() {
	h.sendHead()
	dropOutput(h.output)
	if len(h.responseTrailers) > 0 {
		outgoingFinish(h.outBody, 1, h.newFields(h.responseTrailers), h.result.at())
	} else {
		outgoingFinish(h.outBody, 0, 0, h.result.at())
	}
	if h.body != 0 && !h.ended {
		dropInput(h.stream)
		dropBody(h.body)
	}
	dropRequest(h.request)
}

func (h *componentHost) method() string {
	reserve(0)
	requestMethod(h.request, h.result.at())
	names := [...]string{"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"}
	if n := h.result.byte(0); int(n) < len(names) {
		return names[n]
	}
	return string(h.result.bytes(4))
}

func (h *componentHost) setMethod(string) {}

func (h *componentHost) uri() string {
	reserve(0)
	requestPath(h.request, h.result.at())
	if h.result.byte(0) == 0 {
		return "/"
	}
	return string(h.result.bytes(4))
}

func (h *componentHost) setURI(string) {}

func (h *componentHost) authority() string {
	reserve(0)
	requestAuthority(h.request, h.result.at())
	if h.result.byte(0) == 0 {
		return ""
	}
	return string(h.result.bytes(4))
}

func (h *componentHost) protocol() string { return "HTTP/1.1" }

func (h *componentHost) sourceAddr() string { return "" }

func (h *componentHost) status() int { return h.code }

func (h *componentHost) setStatus(status int) { h.code = status }

func pointer(p []byte) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(p)) }

func stringPointer(s string) unsafe.Pointer { return unsafe.Pointer(unsafe.StringData(s)) }
