//go:build wasip1 && !cgi && !stdio && !component

package kit

import (
	"fmt"
	"log/slog"
	"os"
)

// guest serves the exports below. It is made at the first request, when all init functions have run.
var guest *adapter

// runtimeHost is the host of this guest, for init functions and requests alike.
var runtimeHost = newWasmHost()

//go:wasmexport handle_request
func handleRequest() uint64 {
	if guest == nil {
		guest = newAdapter(runtimeHost, handler, os.Exit)
	}
	return guest.handleRequest()
}

//go:wasmexport handle_response
func handleResponse(reqCtx, isError uint32) { guest.handleResponse(reqCtx, isError != 0) }

//go:wasmexport appserver_warmup
func serverWarmUp() { warm() }

//go:wasmexport appserver_reseed
func serverReseed() { reseed() }

// serve is reached when this guest was built without -buildmode=c-shared, so that the host called main.
func serve() {
	fmt.Fprintln(os.Stderr, "kit: built neither as an http-wasm guest nor as a CGI guest:",
		"add -buildmode=c-shared to go build for the former, -tags cgi for the latter")
	os.Exit(2)
}

func config() []byte { return runtimeHost.config() }

func logHandler() slog.Handler { return newLogSink(runtimeHost) }
