//go:build wasip1 && component && !cgi && !stdio

package kit

import (
	"fmt"
	"net/http"
	"os"
	"unsafe"
)

// handlerOf is made at the first request, when all init functions have run.
var handlerOf http.Handler

//go:wasmexport wasi:http/incoming-handler@0.2.10#handle
func handleIncoming(request, out uint32) {
	kept = kept[:0]
	if handlerOf == nil {
		handlerOf = handler(http.NotFoundHandler())
	}
	h := &componentHost{request: request, out: out, code: http.StatusOK}
	newAdapter(h, func(http.Handler) http.Handler { return handlerOf }, os.Exit).handleRequest()
	h.end()
}

// arena is what the host gets memory from for its results; room is how much of it is taken, and base how much was when
// the runtime had started: that is the adapter's of WASI preview 1, which asks before, and for good. The host calls
// allocate while it may not be called itself, but Go's allocator can have the garbage collector look at the clock: so
// there has to be enough beforehand, see reserve.
var (
	arena   = first[:]
	first   [512 << 10]byte
	base    uintptr
	taken   uintptr
	started bool
)

func init() { base, started = taken, true }

// reserve frees what the host was given before, whose content has been copied, and makes room for results of n bytes.
func reserve(n int) {
	if taken = base; n+64<<10 > len(arena)-int(base) {
		arena, base, taken = make([]byte, n+64<<10), 0, 0
	}
}

//go:wasmexport cabi_realloc
func allocate(_ unsafe.Pointer, _, align, size uint32) unsafe.Pointer {
	if !started {
		return bump(unsafe.Pointer(&first), uintptr(align), uintptr(size))
	}
	if taken+uintptr(size)+uintptr(align) > uintptr(len(arena)) {
		extra := make([]byte, size+align) // header fields beyond measure
		p := unsafe.Pointer(unsafe.SliceData(extra))
		kept = append(kept, extra)
		return unsafe.Add(p, -uintptr(p)&(uintptr(align)-1))
	}
	return bump(unsafe.Pointer(unsafe.SliceData(arena)), uintptr(align), uintptr(size))
}

// kept is what did not fit the arena, for the request.
var kept [][]byte

//go:nosplit
func bump(from unsafe.Pointer, align, size uintptr) unsafe.Pointer {
	taken += -(uintptr(from) + taken) & (align - 1)
	p := unsafe.Add(from, taken)
	taken += size
	return p
}

// serve is reached when this guest was built without -buildmode=c-shared, so that the host called main.
func serve() {
	fmt.Fprintln(os.Stderr, "kit: not built as a component: add -buildmode=c-shared to go build")
	os.Exit(2)
}
