package kit

import (
	"log/slog"
	"net/http"
)

// Middleware wraps a handler in another, as is usual with net/http.
type Middleware func(next http.Handler) http.Handler

// registered is what Handle or HandleMiddleware was given. It is package state, like http.DefaultServeMux, because the
// functions an http-wasm guest exports have no receiver. Init functions write it, before any request.
var registered Middleware

// Handle makes h the handler of this guest; nil means http.DefaultServeMux. Call it, or HandleMiddleware, once and in
// an init function; a second call panics.
func Handle(h http.Handler) {
	if h == nil {
		h = http.DefaultServeMux
	}
	HandleMiddleware(func(http.Handler) http.Handler { return h })
}

// HandleMiddleware makes this guest a middleware: the handler that m returns may answer by itself or call next, which
// is the next guest of the chain. It works as with net/http, within these limits:
//
//   - Calling next sends changes of the request's method, URL, Host, header and body on.
//   - To change the response, m passes next a ResponseWriter of its own, which gets the whole response of next, or sets
//     header fields before it calls next, which then hold unless next sets them. Either makes the server
//     hold the response back until it is whole. A ResponseWriter passed on untouched streams.
//   - What m writes to the original ResponseWriter after it passed that to next is refused with an error.
//   - The request given to next must have the context of the original one or one made from it.
//   - If next fails, its call does not return: the goroutine ends (runtime.Goexit), and deferred functions run.
//
// CGI and stdio guests and native programs have nothing after them: there next answers 404.
func HandleMiddleware(m Middleware) {
	if registered != nil {
		panic("kit: Handle or HandleMiddleware called twice")
	}
	registered = m
}

// Main serves the handler given to Handle: one request as a CGI guest, every request on stdin as a stdio guest, or as a
// native program every request to localhost on the port in $PORT, 8080 without one, until the process is killed. It
// returns as a CGI guest only.
// In an http-wasm guest, where main is not called, it is never reached; there it says so and exits with code 2.
func Main() { serve() }

// Config returns the configuration the server holds for this guest, or nil without one. It is meant for init functions,
// but may be called at any time. CGI and stdio guests and native programs have none of the kind; they find it in $GUEST_CONFIG.
func Config() []byte { return config() }

// Log returns a logger that writes to the server's log, which adds time and level. In CGI and stdio guests and native programs
// it writes to stderr. The server decides which levels it wants.
func Log() *slog.Logger { return slog.New(logHandler()) }

// handler returns what was registered with next at its end.
func handler(next http.Handler) http.Handler {
	if registered == nil {
		panic("kit: no handler: call kit.Handle in an init function")
	}
	return registered(next)
}
