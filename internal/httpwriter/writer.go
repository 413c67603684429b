// Package httpwriter lets code written for net/http answer an exchange: its Writer is an http.ResponseWriter over an
// exchange.Response. host/upstream gives it to a reverse proxy and host/goplugin to a plugin's handler. It adds nothing
// that net/http's own writer adds (no guessed Content-Type, no Date) and checks nothing: package exchange does.
package httpwriter

import (
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/appserver-go/appserver/exchange"
)

// singletons are fields that a response has once. The handler's take the place of those that a guest set before it
// passed the request on; all others are added to them.
var singletons = [...]string{
	"Age", "Content-Encoding", "Content-Length", "Content-Location", "Content-Range", "Content-Type", "Date", "Etag",
	"Expires", "Last-Modified", "Location", "Retry-After", "Server",
}

// Writer is an http.ResponseWriter that fills an exchange's response. It streams: what does not fit the response's
// buffer is sent, and http.ResponseController can flush it. It cannot be hijacked. It is for one goroutine at a time, as
// the response is.
type Writer struct {
	response *exchange.Response
	header   http.Header
	trailers []string // names that the handler announced
	wrote    bool
	err      error // of the response: a rule broken, or the client gone
}

// New makes a Writer for a response. Header fields that the response has already stay in it.
func New(response *exchange.Response) *Writer {
	return &Writer{response: response, header: http.Header{}}
}

// Header implements http.ResponseWriter.
func (w *Writer) Header() http.Header { return w.header }

// Wrote reports whether the head is settled: WriteHeader, Write or a flush came before.
func (w *Writer) Wrote() bool { return w.wrote }

// Err returns the first thing that went wrong when the response was written, or nil.
func (w *Writer) Err() error { return w.err }

// WriteHeader implements http.ResponseWriter. Informational responses are sent at once, with the header fields that there are;
// 100 and 101 end here, since front ends send their own.
func (w *Writer) WriteHeader(status int) {
	if w.wrote {
		return
	}
	if status >= 100 && status < 200 {
		w.inform(status)
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
func (w *Writer) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	n, err := w.response.Write(p)
	w.note(err)
	return n, err
}

// FlushError sends what was written so far; http.ResponseController finds it.
func (w *Writer) FlushError() error {
	w.WriteHeader(http.StatusOK)
	err := w.response.Flush()
	w.note(err)
	return err
}

// inform sends an interim response, where the client can take it.
func (w *Writer) inform(status int) {
	if status <= http.StatusSwitchingProtocols {
		return
	}
	var fields exchange.Fields
	for _, name := range slices.Sorted(maps.Keys(w.header)) {
		for _, value := range w.header[name] {
			fields.Add(name, value)
		}
	}
	if err := w.response.Inform(status, fields); !errors.Is(err, exchange.ErrNotSupported) {
		w.note(err)
	}
}

func (w *Writer) note(err error) {
	if w.err == nil {
		w.err = err
	}
}

// Finish settles the head, if nothing did before, and takes over the trailers. Those that may not be trailers are
// dropped, as net/http does. The response itself is left to its owner to finish.
func (w *Writer) Finish() {
	w.WriteHeader(http.StatusOK)
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
