// Command middleware is an http-wasm guest for the kit's test: what it does to a request depends on the path.
package main

import (
	"bytes"
	"net/http"

	"github.com/appserver-go/appserver/guests/kit"
)

func init() {
	kit.Log().Debug("not wanted")
	kit.Log().Info("started", "config", string(kit.Config()))
	kit.HandleMiddleware(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handle(w, r, next) })
	})
}

func main() { kit.Main() }

func handle(w http.ResponseWriter, r *http.Request, next http.Handler) {
	r.Header.Set("X-User", "kit")
	switch r.URL.Path {
	case "/header":
		w.Header().Set("X-Seen", "1")
	case "/upper":
		w = upper{w}
	case "/rewrite":
		r.URL.Path = "/rewritten"
	case "/trailer":
		_, _ = w.Write([]byte("body"))
		w.Header().Set(http.TrailerPrefix+"X-Sum", "42")
		return
	case "/forbidden":
		http.Error(w, "forbidden", http.StatusForbidden)
		return
	}
	next.ServeHTTP(w, r)
}

// upper writes bodies in upper case.
type upper struct{ http.ResponseWriter }

func (u upper) Write(p []byte) (int, error) { return u.ResponseWriter.Write(bytes.ToUpper(p)) }
