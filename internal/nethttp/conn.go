package nethttp

import (
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/appserver-go/appserver/internal/hangup"
)

// writePiece is how much is written under one stall timeout: a peer must take it within that time.
const writePiece = 64 << 10

// connKey is the key of the *conn in the context of its requests.
type connKey struct{}

// connOf returns the connection a request came on.
func connOf(r *http.Request) *conn {
	c, _ := r.Context().Value(connKey{}).(*conn)
	return c
}

// conn is a client's connection. It bounds writes by progress and by the deadline of the request, and it closes in a
// way that lets the peer read the last response.
type conn struct {
	net.Conn
	s             *Server
	remote, local string // as exchange.Request has them: no remote on unix sockets

	deadline atomic.Int64 // of the running request, Unix nanoseconds; 0 means none
	idle     atomic.Bool
	clean    atomic.Bool // the latest request was read to its end and answered
	reset    atomic.Bool // close so that the peer cannot take what it has for the whole
	stuck    atomic.Bool // writing failed: there is nobody to be nice to
	closed   atomic.Bool
}

func newConn(nc net.Conn, s *Server) *conn {
	c := &conn{Conn: nc, s: s}
	if a, ok := nc.RemoteAddr().(*net.TCPAddr); ok {
		c.remote = a.String()
	}
	if a := nc.LocalAddr(); a != nil {
		c.local = a.String()
	}
	return c
}

// until returns the earlier of the time a stall ends and the running request's deadline; the zero time means neither.
func (c *conn) until() time.Time {
	var t time.Time
	if stall := c.s.o.StallTimeout; stall > 0 {
		t = time.Now().Add(stall)
	}
	if d := c.deadline.Load(); d != 0 {
		if end := time.Unix(0, d); t.IsZero() || end.Before(t) {
			t = end
		}
	}
	return t
}

// Write writes all of p, under a fresh deadline for every piece of it.
func (c *conn) Write(p []byte) (int, error) {
	total := 0
	for {
		piece := p[total:min(total+writePiece, len(p))]
		if err := c.Conn.SetWriteDeadline(c.until()); err != nil {
			return total, err
		}
		n, err := c.Conn.Write(piece)
		total += n
		if err != nil {
			c.stuck.Store(true)
		}
		if err != nil || total == len(p) {
			return total, err
		}
	}
}

// Close closes the connection. Closing a socket that holds unread data, or that data arrives at, resets it, and
// the reset may overtake the response; so where the peer may still be sending, its data is read for a while first. A
// second Close, and every Close once the server is cut off, is immediate.
func (c *conn) Close() error {
	if c.closed.Swap(true) || c.s.cut.Load() {
		return c.Conn.Close()
	}
	switch {
	case c.reset.Load():
		hangup.Reset(c.Conn)
	case c.stuck.Load():
	case !c.clean.Load() || hangup.Pending(c.Conn):
		hangup.Linger(c.Conn)
	}
	return c.Conn.Close()
}
