package http1

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime/debug"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/appserver-go/appserver/internal/hangup"
	"github.com/appserver-go/appserver/internal/httprules"
)

// writePiece is how much is written under one stall timeout: a peer must take it within that time.
const writePiece = 64 << 10

// conn is a client's connection. Its goroutine owns it, save for the atomic fields and Close of nc.
type conn struct {
	nc            net.Conn
	raw           syscall.RawConn // of nc; nil where it has none
	s             *Server
	remote, local string // as exchange.Request has them: no remote on unix sockets

	accepted time.Duration // on the server's clock
	now      time.Duration // the latest reading of it while a response was sent
	requests int           // brought so far, the running one included
	call     *Call         // nil while the connection waits for a request
	readBy   deadline
	writeBy  deadline
	idle     atomic.Bool           // waiting for a request after a response
	taken    atomic.Pointer[taken] // a guest has the connection
	probing  probing

	reset bool // close so that the peer cannot take what it has for the whole
	stuck bool // writing failed: there is nobody to be nice to
	dirty bool // the peer may be sending more
	clean bool // the peer said that it sends no more
	ended bool // the peer has ended, or was told so: nothing is to be read

	// What tryRead and tryWrite, made once to save the allocations, work on and return.
	tryRead, tryWrite func(fd uintptr) bool
	dst, src          []byte
	n                 int
	err               error
}

func newConn(nc net.Conn, s *Server) *conn {
	c := &conn{nc: nc, s: s, accepted: s.now()}
	c.now = c.accepted
	c.readBy.set, c.writeBy.set = nc.SetReadDeadline, nc.SetWriteDeadline
	if sc, ok := nc.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			c.raw, c.tryRead, c.tryWrite = raw, c.readOnce, c.writeOnce
		}
	}
	if a, ok := nc.RemoteAddr().(*net.TCPAddr); ok {
		c.remote = a.String()
	}
	if a := nc.LocalAddr(); a != nil {
		c.local = a.String()
	}
	return c
}

// serve answers the connection's requests and closes it.
func (c *conn) serve() {
	defer c.leave()
	defer func() {
		if p := recover(); p != nil {
			c.s.o.Log.Error("a connection's goroutine panicked", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			c.shut()
		}
	}()
	for c.next() {
	}
	if c.taken.Load() == nil {
		c.hangUp()
	}
}

// leave ends the goroutine's part in the connection.
func (c *conn) leave() {
	if t := c.taken.Load(); t != nil {
		t.release()
		return
	}
	c.s.remove(c)
}

// next answers one request and reports whether another may follow.
func (c *conn) next() bool {
	if c.call == nil && !c.await() {
		c.ended = true
		return false
	}
	call := c.call
	call.begin(c)
	bad, err := c.readHead()
	if err != nil {
		c.ended = true
		return false
	}
	c.requests++
	call.fill()
	if bad == nil {
		bad = call.body.prefetch()
	}
	if bad != nil {
		call.refuse(bad)
	} else {
		c.probing.silent = true // nobody else looks at it before the handler runs
		c.s.o.Handler(call)
	}
	again := call.end()
	call.in.reset()
	if !again {
		c.dirty = !call.body.whole() || len(call.in.unread()) > 0
		c.clean = call.head.options.close
		call.in.skip(len(call.in.unread()))
		call.in.reset()
	}
	if len(call.in.unread()) == 0 {
		c.call = nil
		call.release()
		c.s.calls.Put(call)
	}
	return again
}

// await waits for the first bytes of a request. A new connection has the time of a head for all of it, a used one may
// be idle for the time of keep-alive.
func (c *conn) await() bool {
	until := after(c.accepted, c.s.o.HeaderTimeout)
	if c.requests > 0 {
		c.idle.Store(true)
		if c.s.parting.Load() {
			return false
		}
		until = after(c.now, c.s.o.Keepalive)
	}
	c.readBy.at(until, c.s.epoch)
	n, err := c.read(nil)
	if c.requests > 0 {
		c.idle.Store(false)
	}
	if err != nil {
		return false
	}
	c.call.in.filled(n)
	return true
}

// readHead reads a request's head, the beginning of which is in the input. An error means that there is nobody to
// answer; a head that does not come to its end is refused.
func (c *conn) readHead() (*httprules.Refusal, error) {
	call := c.call
	until := time.Duration(-1)
	for {
		done, bad := call.head.parse(&call.in, &c.s.o.Limits, &call.Request.Fields)
		if done || bad != nil {
			return bad, nil
		}
		if until < 0 {
			from := c.accepted
			if c.requests > 0 {
				from = c.s.now()
			}
			until = after(from, c.s.o.HeaderTimeout)
		}
		c.readBy.at(until, c.s.epoch)
		n, err := c.read(call.in.room())
		call.in.filled(n)
		switch {
		case err == nil:
		case errors.Is(err, os.ErrDeadlineExceeded):
			return slowHead, nil
		case errors.Is(err, io.EOF):
			return shortHead, nil
		default:
			return nil, err
		}
	}
}

// The refusals of heads that do not end.
var (
	slowHead  = &httprules.Refusal{Status: 408, Cause: "head not sent in time"}
	shortHead = &httprules.Refusal{Status: 400, Cause: "connection ended within the head"}
)

// read reads from the connection until the deadline readBy. A nil p stands for the input of a call that is taken from
// the pool when there is something to read, and not while there is nothing.
func (c *conn) read(p []byte) (int, error) {
	for {
		n, err := c.readBlocking(p)
		if n > 0 || err == nil || !c.readBy.early(err, c.s) {
			return n, err
		}
	}
}

func (c *conn) readBlocking(p []byte) (int, error) {
	if c.raw == nil {
		if p == nil {
			c.take()
			p = c.call.in.room()
		}
		n, err := c.nc.Read(p)
		if n > 0 {
			err = nil // it comes again
		}
		return n, err
	}
	c.dst, c.n, c.err = p, 0, nil
	if err := c.raw.Read(c.tryRead); err != nil {
		return 0, err
	}
	if c.n == 0 && c.err == nil {
		c.err = io.EOF
	}
	return c.n, c.err
}

// readOnce tries to read into dst. It reports false when that would wait.
func (c *conn) readOnce(fd uintptr) bool {
	parked := c.dst == nil
	p := c.dst
	if parked {
		c.take()
		p = c.call.in.room()
	}
	n, err := transfer(syscall.SYS_READ, fd, p)
	if err == syscall.EAGAIN {
		if parked {
			c.s.calls.Put(c.call)
			c.call = nil
		}
		return false
	}
	c.n, c.err = n, err
	return true
}

// take takes a call from the pool, unless there is one.
func (c *conn) take() {
	if c.call == nil {
		c.call, _ = c.s.calls.Get().(*Call)
	}
}

// write writes all of p, every piece of it within the time of a stall and the running request's deadline.
func (c *conn) write(p []byte, now time.Duration) error {
	c.probing.mu.Lock()
	defer c.probing.mu.Unlock()
	c.probing.silent = false
	if rest := c.probing.rest; rest != "" {
		c.probing.rest = ""
		if err := c.writePieces([]byte(rest), now); err != nil {
			return err
		}
	}
	return c.writePieces(p, now)
}

// writeInterim writes an interim response.
func (c *conn) writeInterim(p []byte, now time.Duration) error {
	err := c.write(p, now)
	c.probing.mu.Lock()
	defer c.probing.mu.Unlock()
	c.probing.silent = true // as to the response
	return err
}

func (c *conn) writePieces(p []byte, now time.Duration) error {
	for {
		piece := p[:min(writePiece, len(p))]
		c.writeBy.at(sooner(after(now, c.s.o.StallTimeout), c.call.deadline), c.s.epoch)
		for len(piece) > 0 {
			n, err := c.writeBlocking(piece)
			piece, p = piece[n:], p[n:]
			if err != nil && !c.writeBy.early(err, c.s) {
				c.stuck = true
				return err
			}
		}
		if len(p) == 0 {
			return nil
		}
		now = c.s.now()
	}
}

func (c *conn) writeBlocking(p []byte) (int, error) {
	if c.raw == nil {
		return c.nc.Write(p)
	}
	c.src, c.n, c.err = p, 0, nil
	if err := c.raw.Write(c.tryWrite); err != nil {
		return c.n, err
	}
	return c.n, c.err
}

// writeOnce tries to write what is left of src. It reports false when the rest would wait.
func (c *conn) writeOnce(fd uintptr) bool {
	for c.n < len(c.src) {
		n, err := transfer(syscall.SYS_WRITE, fd, c.src[c.n:])
		if err == syscall.EAGAIN {
			return false
		}
		if err != nil {
			c.err = err
			break
		}
		c.n += n
	}
	return true
}

// shut closes the connection, whoever has it.
func (c *conn) shut() {
	if t := c.taken.Load(); t != nil {
		t.Close()
		return
	}
	c.nc.Close()
}

// hangUp closes the connection in a way that lets the peer read the last response.
func (c *conn) hangUp() {
	switch {
	case c.s.cut.Load(), c.ended, c.stuck:
	case c.reset:
		hangup.Reset(c.nc)
	case c.dirty || !c.clean && hangup.Pending(c.nc):
		hangup.Linger(c.nc)
	}
	c.nc.Close()
}
