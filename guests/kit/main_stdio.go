//go:build wasip1 && stdio

package kit

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

// serve answers every request that comes over stdin, until that ends. A panicking handler costs its client the response,
// and not the program its memory: net/http catches it and closes the connection, of which there is only one, and so the
// program ends with it.
func serve() {
	conn := &stdio{}
	server := &http.Server{Handler: prepare(handler(http.NotFoundHandler())), ConnState: conn.turn}
	if err := server.Serve(&once{conn: conn}); !errors.Is(err, errNoMore) {
		Log().Error("serve stdin", "error", err)
		os.Exit(1)
	}
}

// prepare takes the address of the client from the end of X-Forwarded-For, where the server has put it, since the connection has
// none; what is left is what the client has sent. The port is not known. It lets handlers read on after they have begun to answer, as they can in the other kinds
// of guests.
func prepare(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if list := r.Header.Get("X-Forwarded-For"); list != "" {
			at := strings.LastIndex(list, ",")
			r.RemoteAddr = net.JoinHostPort(strings.TrimSpace(list[at+1:]), "0")
			if at < 0 {
				r.Header.Del("X-Forwarded-For")
			} else {
				r.Header.Set("X-Forwarded-For", list[:at])
			}
		}
		_ = http.NewResponseController(w).EnableFullDuplex() // net/http's own writer can do it
		next.ServeHTTP(w, r)
		skip(w, r.Body)
	})
}

// maxSkip is how much of a body that the handler leaves net/http would skip to use the connection again.
const maxSkip = 256 << 10

// skip reads what the handler has left of a body. Where the response may begin before the request ends, net/http does that
// too late: it finds the end after it has stopped to watch the connection, watches it once more, and panics when it reads
// the next request. A connection with more to skip is not used again.
func skip(w http.ResponseWriter, body io.Reader) {
	if n, err := io.CopyN(io.Discard, body, maxSkip); n == maxSkip && err == nil {
		w.Header().Set("Connection", "close")
	}
}

// once is a listener that accepts one connection.
type once struct{ conn net.Conn }

var errNoMore = errors.New("stdin is the only connection")

func (l *once) Accept() (net.Conn, error) {
	if l.conn == nil {
		select {} // the end of the connection ends the program
	}
	c := l.conn
	l.conn = nil
	return c, nil
}

func (l *once) Close() error   { return nil }
func (l *once) Addr() net.Addr { return addr{} }

type addr struct{}

func (addr) Network() string { return "stdio" }
func (addr) String() string  { return "stdio" }

// stdio is the connection that consists of stdin and stdout.
type stdio struct {
	mu      sync.Mutex
	aborted chan struct{} // closed when pending reads shall fail
	handler bool          // a handler has taken the connection over
}

// turn is told what the server does with the connection.
func (s *stdio) turn(_ net.Conn, state http.ConnState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handler = s.handler || state == http.StateHijacked
}

// watched reports whether it is net/http that reads.
func (s *stdio) watched() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.handler
}

// Read reads stdin. While a handler runs net/http asks for one byte, to see the client go. Such a read would stop the
// whole program, which has one thread, until the next request: it waits to be aborted instead.
func (s *stdio) Read(p []byte) (int, error) {
	if len(p) == 1 && s.watched() {
		<-s.abort()
		return 0, os.ErrDeadlineExceeded
	}
	return os.Stdin.Read(p)
}

func (s *stdio) abort() chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.aborted == nil {
		s.aborted = make(chan struct{})
	}
	return s.aborted
}

// SetReadDeadline is how net/http aborts a read: with a time in the past.
func (s *stdio) SetReadDeadline(t time.Time) error {
	c := s.abort()
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case t.IsZero():
		s.aborted = nil
	case t.Before(time.Now()) && c == s.aborted:
		close(c)
	}
	return nil
}

func (s *stdio) Write(p []byte) (int, error)      { return stdout.Write(p) }
func (s *stdio) Close() error                     { os.Exit(0); return nil }
func (s *stdio) LocalAddr() net.Addr              { return addr{} }
func (s *stdio) RemoteAddr() net.Addr             { return addr{} }
func (s *stdio) SetDeadline(t time.Time) error    { return s.SetReadDeadline(t) }
func (s *stdio) SetWriteDeadline(time.Time) error { return nil }
