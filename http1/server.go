// Package http1 is the server's own HTTP/1 front end: it reads requests from connections (RFC 9110, RFC 9112), refuses
// the ones that must not be interpreted, and hands the rest to a function as exchanges. The worker classes run one
// Server each. It knows no guests, slots or queues. TLS and HTTP/2 are others' business: see Options.Open.
//
// Whatever two parsers could understand in two ways is refused, and the connection closed: a Content-Length beside a
// Transfer-Encoding, either of them twice, lines that do not end in CR LF, folded fields, blanks before a colon,
// control characters, and more (head.go, framing.go, chunk.go). So no part of a request ever becomes another request.
//
// A request costs no allocation in the steady state. The strings of exchange.Request point into the connection's
// buffer, which the exchange's contract allows; buffers belong to calls, which come from a pool, and a connection that
// waits for its next request has none; after a second it has no goroutine either (park.go). Deadlines are armed lazily (deadline.go), responses that fit
// exchange.BufferSize go out in one write.
//
// Clients that go away while their request runs are not watched for, but Call.Gone finds out. A client may close its
// sending side and still wait for the answer.
package http1

import (
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/internal/httprules"
	"github.com/appserver-go/appserver/internal/link"
)

// Limits bound a request.
type Limits = httprules.Limits

// Options are the settings of a Server.
type Options struct {
	// Handler answers a call. It is called from the connection's goroutine and must have finished or aborted the
	// response when it returns; one that did neither is aborted.
	Handler func(*Call)
	// Refused is told of each request that was answered with an error without Handler; what of the request could not be
	// read is empty. cause quotes nothing of the request. May be nil.
	Refused func(x *exchange.Exchange, status int, cause string)
	// Open takes off a new connection what lies before HTTP, such as TLS, until the given time at the latest; nil means that
	// there is nothing. It is called from the connection's goroutine. A nil Link means that the connection is to be closed.
	Open func(nc net.Conn, until time.Time) *link.Link
	// HTTP2 serves a Link that says so, and returns when the connection and all its requests have ended.
	HTTP2 func(*link.Link)
	// Limits bound requests.
	Limits Limits
	// Keepalive is how long an idle connection stays open; 0 closes connections after each response.
	Keepalive time.Duration
	// KeepaliveRequests is how many requests a connection may bring; 0 means any number.
	KeepaliveRequests int
	// HeaderTimeout bounds the reading of a head, counted from when the connection was accepted or, on a
	// connection in use, from the head's first bytes. 0 means no bound.
	HeaderTimeout time.Duration
	// StallTimeout is how long a body or a response may make no progress. 0 means no bound.
	StallTimeout time.Duration
	// PrefetchTimeout bounds the reading of a small body before Handler is called. 0 means no bound.
	PrefetchTimeout time.Duration
	// UpgradeTimeout is how long a connection that a guest has taken over may be silent in both directions. 0 means no
	// bound.
	UpgradeTimeout time.Duration
	// Upgraded is told of connections that guests take over, and of their ends. May be nil.
	Upgraded func(delta int)
	// Log is told of panics.
	Log *slog.Logger
}

// Server serves HTTP/1 connections. Its methods may be called from any goroutine.
type Server struct {
	o       Options
	epoch   time.Time // what the clock of deadlines counts from
	date    dateCache
	calls   sync.Pool
	lot     lot
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
	s := &Server{o: o, epoch: time.Now().Add(-time.Second), conns: make(map[*conn]struct{}), empty: make(chan struct{})}
	s.lot.s = s
	s.calls.New = func() any { return newCall() }
	return s
}

// Serve answers connections from l until l.Accept fails, which is the way to stop it; it closes l. Connections that
// are open then are served on. It returns l's error and may be called once.
func (s *Server) Serve(l net.Listener) error {
	defer l.Close()
	for {
		nc, err := l.Accept()
		s.mu.Lock()
		if err != nil {
			s.served = true
			s.checkEmpty()
			s.mu.Unlock()
			return err
		}
		c := newConn(nc, s)
		s.conns[c] = struct{}{}
		s.mu.Unlock()
		go c.serve() // ends with the connection; Empty waits for it
	}
}

// CloseConnections makes every response from now on the last of its connection. Idle connections are left alone until
// their next request or the end of keep-alive, so that a client whose request is on its way gets its answer.
func (s *Server) CloseConnections() { s.closing.Store(true) }

// CloseIdle closes the connections that have had a response and wait for the next request, now and from now on. A
// request that crosses with it on the wire is lost.
func (s *Server) CloseIdle() {
	s.parting.Store(true)
	s.lot.empty(forever)
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		if c.idle.Load() {
			c.shut()
		}
	}
}

// Close cuts all connections off, those that guests have taken over as well. Handlers that run are not waited for; Empty
// tells when the last is gone. It always returns nil.
func (s *Server) Close() error {
	s.cut.Store(true)
	s.lot.empty(forever)
	s.mu.Lock()
	all := slices.Collect(maps.Keys(s.conns))
	s.mu.Unlock()
	for _, c := range all { // closing one that was taken over removes it, which takes the lock
		c.shut()
	}
	return nil
}

// Empty returns a channel that is closed when Serve has returned and the last connection is gone.
func (s *Server) Empty() <-chan struct{} { return s.empty }

// remove forgets a connection whose goroutine is about to end.
func (s *Server) remove(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	s.checkEmpty()
}

func (s *Server) checkEmpty() {
	if s.served && len(s.conns) == 0 {
		s.lot.close()
		close(s.empty)
	}
}

// now returns the time on the clock of deadlines. It is monotonic and cheaper than time.Now.
func (s *Server) now() time.Duration { return time.Since(s.epoch) }
