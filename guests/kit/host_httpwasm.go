//go:build wasip1 && !cgi && !stdio && !component

package kit

import (
	"strings"
	"unsafe"
)

//go:wasmimport http_handler enable_features
func hostEnableFeatures(features uint32) uint32

//go:wasmimport http_handler get_config
func hostGetConfig(buf unsafe.Pointer, limit uint32) uint32

//go:wasmimport http_handler log_enabled
func hostLogEnabled(level int32) uint32

//go:wasmimport http_handler log
func hostLog(level int32, message unsafe.Pointer, messageLen uint32)

//go:wasmimport http_handler get_header_names
func hostGetHeaderNames(kind uint32, buf unsafe.Pointer, limit uint32) uint64

//go:wasmimport http_handler get_header_values
func hostGetHeaderValues(kind uint32, name unsafe.Pointer, nameLen uint32, buf unsafe.Pointer, limit uint32) uint64

//go:wasmimport http_handler set_header_value
func hostSetHeaderValue(kind uint32, name unsafe.Pointer, nameLen uint32, value unsafe.Pointer, valueLen uint32)

//go:wasmimport http_handler add_header_value
func hostAddHeaderValue(kind uint32, name unsafe.Pointer, nameLen uint32, value unsafe.Pointer, valueLen uint32)

//go:wasmimport http_handler remove_header
func hostRemoveHeader(kind uint32, name unsafe.Pointer, nameLen uint32)

//go:wasmimport http_handler read_body
func hostReadBody(kind uint32, buf unsafe.Pointer, limit uint32) uint64

//go:wasmimport http_handler write_body
func hostWriteBody(kind uint32, body unsafe.Pointer, bodyLen uint32)

//go:wasmimport http_handler get_method
func hostGetMethod(buf unsafe.Pointer, limit uint32) uint32

//go:wasmimport http_handler set_method
func hostSetMethod(method unsafe.Pointer, methodLen uint32)

//go:wasmimport http_handler get_uri
func hostGetURI(buf unsafe.Pointer, limit uint32) uint32

//go:wasmimport http_handler set_uri
func hostSetURI(uri unsafe.Pointer, uriLen uint32)

//go:wasmimport http_handler get_protocol_version
func hostGetProtocolVersion(buf unsafe.Pointer, limit uint32) uint32

//go:wasmimport http_handler get_source_addr
func hostGetSourceAddr(buf unsafe.Pointer, limit uint32) uint32

//go:wasmimport http_handler get_status_code
func hostGetStatusCode() uint32

//go:wasmimport http_handler set_status_code
func hostSetStatusCode(status uint32)

// wasmHost is the host this guest runs in.
type wasmHost struct {
	// scratch takes what the host has to tell; longer values get a buffer of their own. It is never kept or yielded
	// with, so one serves every goroutine of this single-threaded program.
	scratch []byte
}

func newWasmHost() *wasmHost { return &wasmHost{scratch: make([]byte, 4096)} }

func (h *wasmHost) enableFeatures(features uint32) uint32 { return hostEnableFeatures(features) }

func (h *wasmHost) config() []byte {
	if s := h.get(hostGetConfig); s != "" {
		return []byte(s)
	}
	return nil
}

func (h *wasmHost) logEnabled(level int32) bool { return hostLogEnabled(level) != 0 }

func (h *wasmHost) log(level int32, message []byte) {
	hostLog(level, pointer(message), uint32(len(message)))
}

func (h *wasmHost) headerNames(kind uint32) []string {
	return h.list(func(buf unsafe.Pointer, limit uint32) uint64 { return hostGetHeaderNames(kind, buf, limit) })
}

func (h *wasmHost) headerValues(kind uint32, name string) []string {
	return h.list(func(buf unsafe.Pointer, limit uint32) uint64 {
		return hostGetHeaderValues(kind, stringPointer(name), uint32(len(name)), buf, limit)
	})
}

func (h *wasmHost) setHeader(kind uint32, name, value string) {
	hostSetHeaderValue(kind, stringPointer(name), uint32(len(name)), stringPointer(value), uint32(len(value)))
}

func (h *wasmHost) addHeader(kind uint32, name, value string) {
	hostAddHeaderValue(kind, stringPointer(name), uint32(len(name)), stringPointer(value), uint32(len(value)))
}

func (h *wasmHost) removeHeader(kind uint32, name string) {
	hostRemoveHeader(kind, stringPointer(name), uint32(len(name)))
}

func (h *wasmHost) readBody(kind uint32, p []byte) (n int, eof bool) {
	r := hostReadBody(kind, pointer(p), uint32(len(p)))
	return int(uint32(r)), r>>32 != 0
}

func (h *wasmHost) writeBody(kind uint32, p []byte) { hostWriteBody(kind, pointer(p), uint32(len(p))) }

func (h *wasmHost) method() string { return h.get(hostGetMethod) }

func (h *wasmHost) setMethod(method string) {
	hostSetMethod(stringPointer(method), uint32(len(method)))
}

func (h *wasmHost) uri() string { return h.get(hostGetURI) }

func (h *wasmHost) setURI(uri string) { hostSetURI(stringPointer(uri), uint32(len(uri))) }

func (h *wasmHost) protocol() string { return h.get(hostGetProtocolVersion) }

func (h *wasmHost) sourceAddr() string { return h.get(hostGetSourceAddr) }

func (h *wasmHost) status() int { return int(hostGetStatusCode()) }

func (h *wasmHost) setStatus(status int) { hostSetStatusCode(uint32(status)) }

// get calls a function that writes a value to a buffer. The host writes nothing and tells the length when it is short.
func (h *wasmHost) get(fn func(buf unsafe.Pointer, limit uint32) uint32) string {
	buf := h.scratch
	n := fn(pointer(buf), uint32(len(buf)))
	if n > uint32(len(buf)) {
		buf = make([]byte, n)
		n = fn(pointer(buf), n)
	}
	return string(buf[:n])
}

// list is get for lists: the result's upper half counts the values, the lower is their length, and each value ends
// in a NUL.
func (h *wasmHost) list(fn func(buf unsafe.Pointer, limit uint32) uint64) []string {
	buf := h.scratch
	r := fn(pointer(buf), uint32(len(buf)))
	if n := uint32(r); n > uint32(len(buf)) {
		buf = make([]byte, n)
		r = fn(pointer(buf), n)
	}
	values := make([]string, 0, r>>32)
	for s := range strings.SplitAfterSeq(string(buf[:uint32(r)]), "\x00") {
		if v, ok := strings.CutSuffix(s, "\x00"); ok {
			values = append(values, v)
		}
	}
	return values
}

func pointer(p []byte) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(p)) }

func stringPointer(s string) unsafe.Pointer { return unsafe.Pointer(unsafe.StringData(s)) }
