// Package http2 is the HTTP/2 front end: golang.org/x/net/http2 on the wire, exchanges on the side of the worker classes.
// It screens requests by the same rules as http1 and hands them to a function, each in a goroutine of its own. Connections
// come from http1, which has them accepted and takes the TLS off.
//
// What the library does not do is done here: bodies and responses that make no progress end, a connection has no more
// requests in the handler than its share, and it is asked to go away in two steps, so that no request crosses with that
// (goaway.go). The order and the letter case of field names are lost in net/http's types: fields come sorted by name, lines
// of one name in their order. What the library cannot parse at all it answers itself, and Refused does not hear of it.
package http2

//lint:file-ignore SA1019 what is to take the place of these, net/http with its own HTTP/2, is what is not wanted; see RATIONALE.md

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/internal/httprules"
	"github.com/appserver-go/appserver/internal/link"
)

// Limits bound a request.
type Limits = httprules.Limits

// Options are the settings of a Server.
type Options struct {
	// Handler answers a call. It is called from the stream's goroutine and must have finished or aborted the response
	// when it returns; one that did neither is aborted.
	Handler func(*Call)
	// Refused is told of each request that was answered with an error without Handler. cause quotes nothing of the
	// request. May be nil.
	Refused func(x *exchange.Exchange, status int, cause string)
	// Limits bound requests. RequestLine bounds method and target.
	Limits Limits
	// MaxStreams is how many requests of a connection may be open at once, and Parallel how many of them may be in Handler;
	// the others wait.
	MaxStreams, Parallel int
	// Keepalive is how long a connection without requests stays open; 0 asks the client to go away with each response.
	Keepalive time.Duration
	// KeepaliveRequests is how many requests a connection may bring; 0 means any number.
	KeepaliveRequests int
	// HeaderTimeout is how long a new connection may bring no request where Keepalive is 0.
	HeaderTimeout time.Duration
	// StallTimeout is how long a body or a response may make no progress. 0 means no bound.
	StallTimeout time.Duration
	// PrefetchTimeout bounds the reading of a small body before Handler is called, and then the wait for a place among
	// Parallel. 0 means no bound.
	PrefetchTimeout time.Duration
	// Log receives what the library complains about, at debug level.
	Log *slog.Logger
}

const (
	// maxFrame is the size of the largest frame that clients may send, the least that the protocol allows.
	maxFrame = 16 << 10
	// streamBuffer is how much of one request's body is taken that nobody has read yet, connBuffer of all of a connection.
	streamBuffer = 256 << 10
	connBuffer   = 1 << 20
)

// Server serves HTTP/2 connections. Its methods may be called from any goroutine.
type Server struct {
	o       Options
	http    *http.Server // a bag of settings for the library
	http2   *http2.Server
	calls   sync.Pool
	closing atomic.Bool // clients are asked to go away
	leaving sync.Once   // the second step of that, for all connections
	parting atomic.Bool // and connections end with the next response

	mu    sync.Mutex
	conns map[*conn]struct{}
}

// New makes a Server.
func New(o Options) *Server {
	s := &Server{o: o, conns: make(map[*conn]struct{})}
	s.calls.New = func() any { return new(Call) }
	s.http = &http.Server{
		MaxHeaderBytes: o.Limits.RequestLine + o.Limits.HeadRoom(),
		ErrorLog:       slog.NewLogLogger(quoting{o.Log.Handler()}, slog.LevelDebug),
	}
	idle := o.Keepalive
	if idle <= 0 {
		idle = o.HeaderTimeout
	}
	s.http2 = &http2.Server{
		MaxConcurrentStreams: uint32(max(o.MaxStreams, 1)), MaxReadFrameSize: maxFrame,
		MaxUploadBufferPerStream: streamBuffer, MaxUploadBufferPerConnection: connBuffer,
		IdleTimeout: idle, ReadIdleTimeout: o.StallTimeout, WriteByteTimeout: o.StallTimeout,
	}
	if err := http2.ConfigureServer(s.http, s.http2); err != nil {
		panic(err) // it is about ciphers, which nobody has configured
	}
	return s
}

// ServeConn serves a connection until it has ended and with it all its requests. Closing l.Socket is the way to end it.
func (s *Server) ServeConn(l *link.Link) {
	c := newConn(l, s)
	s.mu.Lock()
	s.conns[c] = struct{}{}
	s.mu.Unlock()
	if s.closing.Load() {
		c.goAwaySoon()
	}
	s.http2.ServeConn(c.stream, &http2.ServeConnOpts{
		Context: context.WithValue(context.Background(), connKey{}, c), BaseConfig: s.http,
		Handler: http.HandlerFunc(s.serveHTTP), SawClientPreface: l.Preface,
	})
	s.mu.Lock()
	delete(s.conns, c)
	s.mu.Unlock()
	c.wait()
}

// CloseConnections asks all clients, and from now on new ones, to bring no more requests on their connections. Those
// that are under way are served.
func (s *Server) CloseConnections() {
	s.closing.Store(true)
	s.leaving.Do(func() {
		// The library's part of Shutdown is to send GOAWAY and to close what has no requests left. It waits for nobody.
		time.AfterFunc(goAwayTime, func() { _ = s.http.Shutdown(context.Background()) })
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.goAwaySoon()
	}
}

// CloseIdle closes the connections that have had a response and wait for the next request. The others end with their next
// response. A request that crosses with that on the wire is lost.
func (s *Server) CloseIdle() {
	s.parting.Store(true)
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		if c.idle() {
			c.link.Socket.Close()
		}
	}
}

// connKey is the key of the *conn in the context of its requests.
type connKey struct{}

// connOf returns the connection a request came on.
func connOf(r *http.Request) *conn {
	c, _ := r.Context().Value(connKey{}).(*conn)
	return c
}

// conn is a client's connection.
type conn struct {
	link   *link.Link
	s      *Server
	stream net.Conn // of frames
	turn   chan struct{}
	frames frames

	mu       sync.Mutex
	done     *sync.Cond // running has become 0
	running  int        // requests, and other goroutines that use the connection
	requests int        // brought so far
	ended    bool       // nothing may begin any more
}

func newConn(l *link.Link, s *Server) *conn {
	c := &conn{link: l, s: s, turn: make(chan struct{}, max(s.o.Parallel, 1))}
	c.done = sync.NewCond(&c.mu)
	c.frames.Conn, c.frames.stall = rewind(l), s.o.StallTimeout
	c.stream = &c.frames
	if tc, ok := l.Stream.(stater); ok {
		c.stream = &secureFrames{&c.frames, tc}
	}
	return c
}

// enter notes that something uses the connection and reports whether it may; leave must follow then.
func (c *conn) enter() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ended {
		c.running++
	}
	return !c.ended
}

func (c *conn) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running--; c.running == 0 {
		c.done.Broadcast()
	}
}

// wait lets nothing begin any more and waits for what runs.
func (c *conn) wait() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	for c.running > 0 {
		c.done.Wait()
	}
}

// idle reports whether the connection waits for another request.
func (c *conn) idle() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.running == 0 && c.requests > 0
}

// count counts a request and returns how many the connection has brought.
func (c *conn) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests++
	return c.requests
}

// quoting moves the library's messages, which quote clients, into an attribute.
type quoting struct{ slog.Handler }

func (q quoting) Handle(ctx context.Context, r slog.Record) error {
	moved := slog.NewRecord(r.Time, r.Level, "Http server complains", r.PC)
	moved.AddAttrs(slog.String("detail", strings.TrimSpace(r.Message)))
	return q.Handler.Handle(ctx, moved)
}
