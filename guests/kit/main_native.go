//go:build !wasip1

package kit

import (
	"cmp"
	"net"
	"net/http"
	"os"
	"time"
)

// serve listens on localhost only: this is for trying a handler out, not for the world.
func serve() {
	addr := net.JoinHostPort("localhost", cmp.Or(os.Getenv("PORT"), "8080"))
	server := &http.Server{Addr: addr, Handler: handler(http.NotFoundHandler()), ReadHeaderTimeout: 10 * time.Second}
	Log().Info("serving", "url", "http://"+addr)
	Log().Error("server stopped", "error", server.ListenAndServe())
	os.Exit(1)
}
