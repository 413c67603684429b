//go:build wasip1 && (!component || cgi || stdio)

package kit

import (
	"net/http"
	"unsafe"
)

//go:wasmimport appserver http_open
func callOpen(head unsafe.Pointer, headLen, body, timeout uint32) int32

//go:wasmimport appserver http_write
func callWrite(handle int32, body unsafe.Pointer, bodyLen uint32) int32

//go:wasmimport appserver http_finish
func callFinish(handle int32) int32

//go:wasmimport appserver http_fields
func callFields(handle int32, kind uint32, buf unsafe.Pointer, limit uint32) int32

//go:wasmimport appserver http_read
func callRead(handle int32, buf unsafe.Pointer, limit uint32) int32

//go:wasmimport appserver http_close
func callClose(handle int32) int32

//go:wasmimport appserver error_text
func callErrorText(buf unsafe.Pointer, limit uint32) int32

func transport() http.RoundTripper { return roundTripper{wasmCaller{}} }

// wasmCaller is the server this guest runs in.
type wasmCaller struct{}

func (wasmCaller) open(head string, body bool, timeout uint32) int32 {
	return callOpen(unsafe.Pointer(unsafe.StringData(head)), uint32(len(head)), flag(body), timeout)
}

func (wasmCaller) write(handle int32, p []byte) int32 {
	return callWrite(handle, unsafe.Pointer(unsafe.SliceData(p)), uint32(len(p)))
}

func (wasmCaller) finish(handle int32) int32 { return callFinish(handle) }

func (wasmCaller) fields(handle int32, trailers bool) (string, int32) {
	return hostText(func(buf unsafe.Pointer, limit uint32) int32 { return callFields(handle, flag(trailers), buf, limit) })
}

func (wasmCaller) read(handle int32, p []byte) int32 {
	return callRead(handle, unsafe.Pointer(unsafe.SliceData(p)), uint32(len(p)))
}

func (wasmCaller) close(handle int32) { callClose(handle) }

func (wasmCaller) errorText() string {
	text, _ := hostText(callErrorText)
	return text
}

func flag(b bool) uint32 {
	if b {
		return 1
	}
	return 0
}

// hostText calls a function that writes a text to a buffer if it fits, and tells its length or an error either way.
func hostText(fn func(buf unsafe.Pointer, limit uint32) int32) (string, int32) {
	buf := make([]byte, 4096)
	for {
		n := fn(unsafe.Pointer(unsafe.SliceData(buf)), uint32(len(buf)))
		switch {
		case n < 0:
			return "", n
		case int(n) <= len(buf):
			return string(buf[:n]), n
		}
		buf = make([]byte, n)
	}
}
