package goplugin

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/internal/httpwriter"
)

// response is the http.ResponseWriter of one request. It behaves as net/http's server does: it guesses a missing
// Content-Type, refuses bodies where there is none and panics on impossible statuses. Flush streams, statuses from 102 to
// 199 are sent at once, and Hijack takes the connection over. Once the request is over it passes nothing on, so a handler that does not stop harms nobody.
type response struct {
	ctx      context.Context // of the request
	life     *life           // the handler's
	exchange *exchange.Response
	body     *body
	gone     chan struct{} // closed when the handler takes the connection over
	conn     net.Conn      // that connection

	mu     sync.Mutex // guards what follows
	writer *httpwriter.Writer
	status int // 0 until the head is settled
	state  state
}

// state says whether the handler's word still counts.
type state int

const (
	answering state = iota // the handler runs
	finished               // the handler returned in time
	expired                // the request's time was over before
	hijacked               // the handler has taken the connection over
)

func newResponse(ctx context.Context, l *life, r *exchange.Response, b *body) *response {
	return &response{ctx: ctx, life: l, exchange: r, body: b, gone: make(chan struct{}), writer: httpwriter.New(r)}
}

// Header implements http.ResponseWriter.
func (w *response) Header() http.Header { return w.writer.Header() }

// WriteHeader implements http.ResponseWriter.
func (w *response) WriteHeader(status int) {
	if status < 100 || status > 999 { // what net/http does with them
		panic(fmt.Sprintf("invalid WriteHeader code %v", status))
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.writeHeader(status)
}

func (w *response) writeHeader(status int) {
	if w.over() || w.writer.Wrote() {
		return
	}
	if status >= 200 {
		w.status = status
	}
	w.writer.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *response) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over() {
		return 0, w.refusal()
	}
	if !w.writer.Wrote() {
		w.sniff(p)
		w.writeHeader(http.StatusOK)
	}
	if w.status == http.StatusNoContent || w.status == http.StatusNotModified {
		return 0, http.ErrBodyNotAllowed
	}
	return w.writer.Write(p)
}

// sniff guesses the type of a body from its first bytes when the handler has not given one.
func (w *response) sniff(p []byte) {
	h := w.writer.Header()
	if _, typed := h["Content-Type"]; !typed && h.Get("Content-Encoding") == "" && len(p) > 0 {
		h.Set("Content-Type", http.DetectContentType(p))
	}
}

// Flush implements http.Flusher.
func (w *response) Flush() { _ = w.FlushError() }

// FlushError is Flush for http.ResponseController.
func (w *response) FlushError() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over() {
		return w.refusal()
	}
	if !w.writer.Wrote() {
		w.writeHeader(http.StatusOK)
	}
	return w.writer.FlushError()
}

// over reports whether the handler's word counts no longer. The context is asked each time: a handler that waits for its
// end may be the first to notice it. The caller holds mu.
func (w *response) over() bool {
	if w.state == answering && w.ctx.Err() != nil {
		w.state = expired
	}
	return w.state != answering
}

// refusal returns why the handler's word counts no longer. The caller holds mu.
func (w *response) refusal() error {
	if w.state == hijacked {
		return http.ErrHijacked
	}
	return http.ErrHandlerTimeout
}

// taken reports whether the handler has taken the connection over.
func (w *response) taken() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.state == hijacked
}

// finish notes that the handler has returned, and whether its response counts.
func (w *response) finish() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.over() {
		w.writer.Finish()
		w.state = finished
	}
}

// late reports whether the request's time was over before the handler returned. It ends what the handler can do to the
// exchange, or tells that the handler has; a write under way is waited for, and the front end bounds that by the
// request's deadline.
func (w *response) late() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over()
	return w.state == expired
}
