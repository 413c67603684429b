// Package nethttp is the HTTP/1 front end made of net/http: it reads requests, refuses the ones that must not be
// interpreted, and hands the rest to a function as exchanges. The worker classes run one Server each.
//
// net/http is a lenient parser, and some of what it forgives is how requests are smuggled. What can be seen above it is
// refused here (screen.go); what cannot (a Content-Length beside a Transfer-Encoding, a Transfer-Encoding in HTTP/1.0)
// is defused by never reading a second request from a connection after a chunked or an HTTP/1.0 one. The order and the
// letter case of field names are lost in net/http: fields come sorted by name, lines of one name in their order. What
// net/http cannot parse at all it answers itself, and Refused does not hear of it.
//
// The package knows no guests, slots or queues. It does not watch for clients that go away while their request runs:
// net/http tells that only by a cancellation that a half-closed connection causes too, and a client may close
// its sending side and still wait for the answer. Such a request runs to its end or its deadline. HTTP/2 is not spoken.
package nethttp

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/internal/httprules"
)

// Limits bound a request.
type Limits = httprules.Limits

// Options are the settings of a Server.
type Options struct {
	// Handler answers a call. It is called from the connection's goroutine and must have finished or aborted the
	// response when it returns; one that did neither is aborted.
	Handler func(*Call)
	// Refused is told of each request that was answered with an error without Handler. cause quotes nothing of the
	// request. May be nil.
	Refused func(x *exchange.Exchange, status int, cause string)
	// Limits bound requests.
	Limits Limits
	// Keepalive is how long an idle connection stays open; 0 closes connections after each response.
	Keepalive time.Duration
	// HeaderTimeout bounds the reading of a head, counted from when the connection was accepted or, on a
	// connection in use, from the head's first bytes. 0 means no bound.
	HeaderTimeout time.Duration
	// StallTimeout is how long a body or a response may make no progress. 0 means no bound.
	StallTimeout time.Duration
	// PrefetchTimeout bounds the reading of a small body before Handler is called. 0 means no bound.
	PrefetchTimeout time.Duration
	// Log receives what net/http complains about, at debug level.
	Log *slog.Logger
}

// Server serves HTTP/1 connections. Its methods may be called from any goroutine.
type Server struct {
	o       Options
	http    *http.Server
	calls   sync.Pool
	closing atomic.Bool // every response says Connection: close
	parting atomic.Bool // connections are closed when they fall idle
	cut     atomic.Bool // connections are closed without ceremony

	mu     sync.Mutex
	conns  map[*conn]struct{}
	served bool          // Serve has returned: no connection follows
	empty  chan struct{} // closed when served and conns is empty
}

// New makes a Server.
func New(o Options) *Server {
	s := &Server{o: o, conns: make(map[*conn]struct{}), empty: make(chan struct{})}
	s.calls.New = func() any { return new(Call) }
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	s.http = &http.Server{
		Handler:                      http.HandlerFunc(s.serveHTTP),
		DisableGeneralOptionsHandler: true,
		ReadHeaderTimeout:            o.HeaderTimeout,
		IdleTimeout:                  o.Keepalive,
		MaxHeaderBytes:               o.Limits.RequestLine + o.Limits.HeadRoom(),
		ConnState:                    s.connState,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, c)
		},
		ErrorLog:  slog.NewLogLogger(quoting{o.Log.Handler()}, slog.LevelDebug),
		Protocols: protocols,
	}
	return s
}

// Serve answers connections from l until l.Accept fails, which is the way to stop it; it closes l. Connections that
// are open then are served on. It returns l's error and may be called once.
func (s *Server) Serve(l net.Listener) error {
	err := s.http.Serve(listener{l, s})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.served = true
	s.checkEmpty()
	return err
}

// CloseConnections makes every response from now on the last of its connection. Idle connections are left alone until
// their next request or the end of keep-alive, so that a client whose request is on its way gets its answer.
func (s *Server) CloseConnections() { s.closing.Store(true) }

// CloseIdle closes the connections that have had a response and wait for the next request, now and from now on. A
// request that crosses with it on the wire is lost.
func (s *Server) CloseIdle() {
	s.parting.Store(true)
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		if c.idle.Load() {
			c.Conn.Close()
		}
	}
}

// Close cuts all connections off. Handlers that run are not waited for; Empty tells when the last is gone.
func (s *Server) Close() error {
	s.cut.Store(true)
	return s.http.Close()
}

// Empty returns a channel that is closed when Serve has returned and the last connection is gone.
func (s *Server) Empty() <-chan struct{} { return s.empty }

func (s *Server) checkEmpty() {
	if s.served && len(s.conns) == 0 {
		close(s.empty)
	}
}

// connState follows net/http's states of a connection.
func (s *Server) connState(nc net.Conn, state http.ConnState) {
	c, ok := nc.(*conn)
	if !ok {
		return
	}
	c.idle.Store(state == http.StateIdle)
	switch state {
	case http.StateIdle:
		if s.parting.Load() {
			c.Conn.Close()
		}
	case http.StateClosed:
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.conns, c)
		s.checkEmpty()
	}
}

// listener wraps accepted connections.
type listener struct {
	net.Listener
	s *Server
}

func (l listener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := newConn(nc, l.s)
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	l.s.conns[c] = struct{}{}
	return c, nil
}

// quoting moves net/http's messages, which quote clients, into an attribute.
type quoting struct{ slog.Handler }

func (q quoting) Handle(ctx context.Context, r slog.Record) error {
	moved := slog.NewRecord(r.Time, r.Level, "Http server complains", r.PC)
	moved.AddAttrs(slog.String("detail", strings.TrimSpace(r.Message)))
	return q.Handler.Handle(ctx, moved)
}
