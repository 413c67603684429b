//go:build wasip1 && cgi && !stdio

package kit

import (
	"net/http"
	"net/http/cgi"
	"os"
)

// serve answers the one request of this process. A handler's panic is not caught: it ends the guest with exit code 2
// and nothing on stdout, from which the server makes its 500.
func serve() {
	if err := cgi.Serve(handler(http.NotFoundHandler())); err != nil {
		Log().Error("no CGI request", "error", err)
		os.Exit(1)
	}
}
