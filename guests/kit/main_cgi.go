//go:build wasip1 && cgi && !stdio

package kit

import (
	"net/http"
	"net/http/cgi"
	"os"
	"strings"
	"unsafe"
)

// serve answers the one request of this process. A handler's panic is not caught: it ends the guest with exit code 2
// and nothing on stdout, from which the server makes its 500.
func serve() {
	checkpoint()
	reseed()
	next := handler(http.NotFoundHandler())
	os.Stdout = stdout
	if err := cgi.Serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		os.Stdout = os.Stderr
		r.URL.Scheme, r.URL.Host = "", "" // as with net/http, which handlers know
		next.ServeHTTP(w, r)
	})); err != nil {
		Log().Error("no CGI request", "error", err)
		os.Exit(1)
	}
}

// serverCheckpoint tells the server, by being exported, that this guest has a checkpoint. Nobody calls it.
//
//go:wasmexport appserver_checkpoint
func serverCheckpoint() {}

//go:wasmimport wasi_snapshot_preview1 sched_yield
func schedYield() uint32

//go:wasmimport wasi_snapshot_preview1 environ_sizes_get
func environSizesGet(count, size *uint32) uint32

//go:wasmimport wasi_snapshot_preview1 environ_get
func environGet(list *uint32, buf *byte) uint32

// checkpoint is where the server goes on with this guest for each request: the runtime has started, packages are
// initialised, and nothing is known of a request yet. The Go runtime has asked for the environment before, so it is
// asked for again. To other hosts that is all the same.
func checkpoint() {
	_ = schedYield() // the checkpoint; that the host cannot yield does not matter
	var count, size uint32
	if environSizesGet(&count, &size) != 0 || count == 0 {
		return
	}
	list, buf := make([]uint32, count), make([]byte, size)
	if environGet(unsafe.SliceData(list), unsafe.SliceData(buf)) != 0 {
		return
	}
	os.Clearenv()
	for kv := range strings.SplitSeq(strings.TrimSuffix(string(buf), "\x00"), "\x00") {
		name, value, _ := strings.Cut(kv, "=")
		_ = os.Setenv(name, value) // of what the host calls a variable
	}
}
