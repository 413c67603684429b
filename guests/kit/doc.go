// Package kit turns an http.Handler into a WebAssembly guest.
//
// One program builds into five things:
//
//	GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -o app.wasm .   # http-wasm guest, kept between requests
//	GOOS=wasip1 GOARCH=wasm go build -tags cgi -o app.wasm .             # CGI guest, a run per request
//	GOOS=wasip1 GOARCH=wasm go build -tags stdio -o app.wasm .           # HTTP/1.1 on stdin and stdout, kept
//	GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -tags component -o core.wasm .  # the core of a component
//	go run .                                                             # plain net/http on $PORT, to try it out
//
// if it registers its handler in an init function, because main is not called in the first kind, and starts the others
// from main:
//
//	func init() { kit.Handle(handler) }
//
//	func main() { kit.Main() }
//
// The tags tell the WebAssembly builds apart: the compiler has no tag for the build mode, and a CGI or stdio guest must
// not import the functions of the http-wasm ABI. A stdio guest is net/http's own server, with all it can do; it is
// served with guest.protocol = "stdio".
//
// The core of a component becomes one, of WASI 0.2's world wasi:http/proxy, with the commands in the README of go-hello;
// component.wit is its world. Wasi:http does not tell a guest the address of its client: RemoteAddr is empty there.
//
// In CGI and stdio guests standard output is the way to the server: os.Stdout is os.Stderr there, so that what the program and
// its libraries print goes to the log, as it does in http-wasm guests.
//
// A handler's panic is not caught. In an http-wasm guest it ends the instance, as a crash would end a process: the
// server answers 500, or breaks the response off if it has begun, and goes on with a new instance. Package state does
// not survive that. http.ErrAbortHandler does the same without a trace in the log.
//
// The kit does not open sockets in a guest, and it knows nothing of the server's own packages: it speaks the http-wasm
// handler ABI (https://http-wasm.io/http-handler-abi/) and CGI (RFC 3875), so other hosts of these run its guests too.
package kit
