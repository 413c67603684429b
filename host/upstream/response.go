package upstream

import (
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/appserver-go/appserver/exchange"
)

// singletons are fields that a response has once. The upstream server's take the place of those that a guest set
// before it passed the request on; all others are added to them.
var singletons = [...]string{
	"Age", "Content-Encoding", "Content-Length", "Content-Location", "Content-Range", "Content-Type", "Date", "Etag",
	"Expires", "Last-Modified", "Location", "Retry-After", "Server",
}

// writer is the http.ResponseWriter that the proxy writes an exchange's response with.
type writer struct {
	response *exchange.Response
	header   http.Header
	trailers []string // names that the upstream server announced
	wrote    bool
	err      error // of the response: a rule broken, or the client gone
}

// Header implements http.ResponseWriter.
func (w *writer) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter. Informational responses end here; they are between the two servers.
func (w *writer) WriteHeader(status int) {
	if w.wrote || status < 200 {
		return
	}
	w.wrote = true
	w.response.Status = status
	for _, list := range w.header["Trailer"] {
		for name := range strings.SplitSeq(list, ",") {
			w.trailers = append(w.trailers, http.CanonicalHeaderKey(strings.TrimSpace(name)))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(w.header)) {
		if strings.HasPrefix(name, http.TrailerPrefix) || slices.Contains(w.trailers, name) {
			continue
		}
		if slices.Contains(singletons[:], name) {
			w.response.Fields.Del(name)
		}
		for _, value := range w.header[name] {
			w.response.Fields.Add(name, value)
		}
	}
	for _, name := range w.trailers {
		w.header.Del(name) // what is there at the end came as a trailer
	}
}

// Write implements http.ResponseWriter.
func (w *writer) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	n, err := w.response.Write(p)
	if err != nil {
		w.err = err
	}
	return n, err
}

// FlushError sends what was written so far; http.ResponseController finds it.
func (w *writer) FlushError() error {
	w.WriteHeader(http.StatusOK)
	err := w.response.Flush()
	if err != nil {
		w.err = err
	}
	return err
}

// finish takes over the trailers. Those that may not be trailers are dropped, as net/http does.
func (w *writer) finish() {
	for _, name := range slices.Sorted(maps.Keys(w.header)) {
		trailer, unannounced := strings.CutPrefix(name, http.TrailerPrefix)
		if !unannounced && !slices.Contains(w.trailers, name) || !exchange.MayTrail(trailer) {
			continue
		}
		for _, value := range w.header[name] {
			w.response.Trailers.Add(trailer, value)
		}
	}
}

// noteError is the proxy's error handler: the request could not be sent or got no response.
func noteError(_ http.ResponseWriter, r *http.Request, err error) { callOf(r.Context()).err = err }

// watchBody notes why a response's body ends early, which the proxy itself only logs.
func watchBody(res *http.Response) error {
	if res.StatusCode != http.StatusSwitchingProtocols { // whose body must stay an io.Writer
		res.Body = &watchedBody{res.Body, callOf(res.Request.Context())}
	}
	return nil
}

type watchedBody struct {
	io.ReadCloser
	call *call
}

func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		b.call.err = err
	}
	return n, err
}
