package goplugin

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/appserver-go/appserver/exchange"
)

// Hijack implements http.Hijacker, for handlers that speak WebSocket. It is the end of the exchange: the slot is free for the
// next request while the handler goes on with the connection. What the client sent already comes out of the connection's
// Read, so that both it and the bufio.Reader can be read from.
func (w *response) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.state == hijacked:
		return nil, nil, http.ErrHijacked
	case w.over():
		return nil, nil, http.ErrHandlerTimeout
	case w.writer.Wrote():
		return nil, nil, errors.New("hijack: the response was begun")
	}
	conn, err := w.exchange.Hijack()
	if errors.Is(err, exchange.ErrNotSupported) {
		return nil, nil, http.ErrNotSupported
	}
	if err != nil {
		return nil, nil, err
	}
	w.body.Close()
	w.state, w.conn = hijacked, conn
	w.life.detach()
	close(w.gone)
	return conn, bufio.NewReadWriter(bufio.NewReader(conn), bufio.NewWriter(conn)), nil
}

// closeAfter deals with a handler that took the connection and has ended with failure. A panic closes the connection, since
// nobody else will; a handler that returned may have left it to another goroutine, as with net/http.
func (h *Handler) closeAfter(w *response, failure error) {
	if failure == nil {
		return
	}
	w.conn.Close()
	if h.log != nil && !errors.Is(failure, http.ErrAbortHandler) {
		h.log.Error("A plugin failed on a connection that it has taken over", "error", failure.Error(),
			"stack", exchange.AsFailure(failure).Stack)
	}
}

// life is the context of a handler: the request's, until the handler takes the connection over, and then one that ends when
// the handler returns.
type life struct {
	request context.Context
	done    chan struct{}

	mu       sync.Mutex
	detached bool
	err      error
}

func newLife(request context.Context) *life {
	return &life{request: request, done: make(chan struct{})}
}

// detach makes the context last until end.
func (l *life) detach() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.detached = true
}

// end ends the context with err, unless it has ended.
func (l *life) end(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.err = err
		close(l.done)
	}
}

// requestEnded ends the context with the request's.
func (l *life) requestEnded() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil && !l.detached {
		l.err = l.request.Err()
		close(l.done)
	}
}

// Deadline implements context.Context.
func (l *life) Deadline() (time.Time, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.detached {
		return time.Time{}, false
	}
	return l.request.Deadline()
}

// Done implements context.Context.
func (l *life) Done() <-chan struct{} { return l.done }

// Err implements context.Context.
func (l *life) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil && !l.detached && l.request.Err() != nil {
		l.err = l.request.Err()
		close(l.done)
	}
	return l.err
}

// Value implements context.Context.
func (l *life) Value(key any) any { return l.request.Value(key) }
