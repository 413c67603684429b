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

	"golang.org/x/sys/unix"

	"github.com/appserver-go/appserver/internal/hangup"
	"github.com/appserver-go/appserver/internal/httprules"
	"github.com/appserver-go/appserver/internal/link"
)

// writePiece is how much is written under one stall timeout: a peer must take it within that time.
const writePiece = 64 << 10

// conn is a client's connection. Its goroutine owns it, save for the atomic fields and Close of nc.
type conn struct {
	nc            net.Conn
	stream        net.Conn        // carries HTTP: nc, or TLS over it
	raw           syscall.RawConn // of nc; nil where it has none
	direct        bool            // HTTP is read from raw
	opened        bool            // what lies before HTTP is taken off
	s             *Server
	remote, local string // as exchange.Request has them: no remote on unix sockets
	scheme        string

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

	end   turnEnd       // of the last turn
	stays bool          // it could not be parked
	place place         // in the lot
	woken time.Duration // when it left the lot the last time, on the server's clock

	// What tryRead and tryWrite, made once to save the allocations, work on and return.
	tryTurn, tryRead, tryWrite func(fd uintptr) bool
	reading, writing           try // a request's body may be read while its response is written
	first                      [1]byte
}

// try is a read or a write that is tried again and again.
type try struct {
	p   []byte
	n   int // bytes done
	err error
}

func newConn(nc net.Conn, s *Server) *conn {
	c := &conn{nc: nc, stream: nc, s: s, scheme: "http", accepted: s.now()}
	c.now = c.accepted
	c.readBy.set, c.writeBy.set = nc.SetReadDeadline, nc.SetWriteDeadline
	if sc, ok := nc.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			c.raw, c.direct, c.tryTurn, c.tryRead, c.tryWrite = raw, true, c.turn, c.readOnce, c.writeOnce
		}
	}
	c.remote, c.local = link.Addresses(nc)
	return c
}

// open has what lies before HTTP taken off the connection and reports whether HTTP/1 is what follows.
func (c *conn) open() bool {
	if c.s.o.Open == nil || c.opened {
		return true
	}
	c.opened = true
	var until time.Time
	if t := after(c.accepted, c.s.o.HeaderTimeout); t > 0 {
		until = c.s.epoch.Add(t)
	}
	l := c.s.o.Open(c.nc, until)
	switch {
	case l == nil:
		return false
	case l.HTTP2:
		c.s.o.HTTP2(l)
		return false
	}
	c.remote, c.local, c.scheme = l.Remote, l.Local, l.Scheme
	if l.Stream != c.nc {
		c.stream, c.direct, c.writeBy.exact = l.Stream, false, true
	}
	if len(l.Early) > 0 {
		c.take()
		c.call.in.reserve(len(l.Early))
		c.call.in.filled(copy(c.call.in.room(), l.Early))
	}
	return true
}

// serve answers the connection's requests until it is closed or parked.
func (c *conn) serve() {
	defer func() {
		if p := recover(); p != nil {
			c.s.o.Log.Error("a connection's goroutine panicked", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			c.closeNow()
			c.leave()
		}
	}()
	if !c.open() {
		c.nc.Close()
		c.leave()
		return
	}
	for {
		again, parked := c.next()
		if parked {
			return // another goroutine may have the connection already
		}
		if !again {
			break
		}
	}
	if c.taken.Load() == nil {
		c.hangUp()
	}
	c.leave()
}

// leave ends the goroutine's part in the connection.
func (c *conn) leave() {
	if t := c.taken.Load(); t != nil {
		t.release()
		return
	}
	c.s.remove(c)
}

// next waits for a request and answers it, or several. It reports whether another may follow, and whether the connection
// was parked, which is the end of the goroutine's part in it.
func (c *conn) next() (again, parked bool) {
	if c.call == nil {
		wait := c.await
		if !c.direct {
			wait = c.awaitBytes
		}
		switch wait() {
		case turnInput:
		case turnParked:
			return false, true
		case turnLast:
			return false, false
		default:
			c.ended = true
			return false, false
		}
	}
	if err := c.readHead(); err != nil {
		c.ended = true
		return false, false
	}
	return c.answer(), false
}

// answer answers the request whose head is settled and reports whether another may follow.
func (c *conn) answer() (again bool) {
	call := c.call
	c.requests++
	call.fill()
	bad := call.bad
	if bad == nil {
		bad = call.body.prefetch()
	}
	if bad != nil {
		call.refuse(bad)
	} else {
		c.probing.silent, c.probing.begun = true, false // nobody else looks at them before the handler runs
		c.s.o.Handler(call)
	}
	again = call.end()
	call.in.reset()
	if !again {
		c.dirty = !call.body.whole() || len(call.in.unread()) > 0
		c.clean = call.head.options.close
		call.in.skip(len(call.in.unread()))
		call.in.reset()
	}
	call.begun = false
	if len(call.in.unread()) == 0 {
		c.call = nil
		call.release()
		c.s.calls.Put(call)
	}
	return again
}

// readHead reads a request's head, the beginning of which is in the input. An error means that there is nobody to
// answer; a head that does not come to its end is refused.
func (c *conn) readHead() error {
	call := c.call
	until := time.Duration(-1)
	for !c.parse() {
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
			continue
		case errors.Is(err, os.ErrDeadlineExceeded):
			call.bad = slowHead
		case errors.Is(err, io.EOF):
			call.bad = shortHead
		default:
			return err
		}
		return nil
	}
	return nil
}

// The refusals of heads that do not end.
var (
	slowHead  = &httprules.Refusal{Status: 408, Cause: "head not sent in time"}
	shortHead = &httprules.Refusal{Status: 400, Cause: "connection ended within the head"}
)

// read reads into p until the deadline readBy.
func (c *conn) read(p []byte) (int, error) {
	for {
		n, err := c.readBlocking(p)
		if n > 0 || err == nil || !c.readBy.early(err, c.s) {
			return n, err
		}
	}
}

func (c *conn) readBlocking(p []byte) (int, error) {
	if !c.direct {
		n, err := c.stream.Read(p)
		if n > 0 {
			err = nil // it comes again
		}
		return n, err
	}
	t := &c.reading
	*t = try{p: p}
	if err := c.raw.Read(c.tryRead); err != nil {
		return 0, err
	}
	if t.n == 0 && t.err == nil {
		t.err = io.EOF
	}
	return t.n, t.err
}

// readOnce tries to read. It reports false when that would wait.
func (c *conn) readOnce(fd uintptr) bool {
	t := &c.reading
	t.n, t.err = transfer(syscall.SYS_READ, fd, t.p)
	return t.err != syscall.EAGAIN
}

// write writes all of p, every piece of it within the time of a stall and the running request's deadline.
func (c *conn) write(p []byte, now time.Duration) error {
	c.probing.mu.Lock()
	defer c.probing.mu.Unlock()
	c.probing.begun = true
	return c.writeAfterProbe(p, now)
}

// writeAfterProbe writes what is left of a probe, and p. The caller holds probing.mu.
func (c *conn) writeAfterProbe(p []byte, now time.Duration) error {
	c.probing.silent = false
	if rest := c.probing.rest; rest != "" {
		c.probing.rest = ""
		if err := c.writePieces([]byte(rest), now); err != nil {
			return err
		}
	}
	return c.writePieces(p, now)
}

// writeInterim writes an interim response, for which it is too late once the response has begun. The two may come from
// different goroutines: a body may be read while the response is written.
func (c *conn) writeInterim(p []byte, now time.Duration) error {
	c.probing.mu.Lock()
	defer c.probing.mu.Unlock()
	if c.probing.begun {
		return nil
	}
	err := c.writeAfterProbe(p, now)
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
	if !c.direct {
		return c.stream.Write(p)
	}
	t := &c.writing
	*t = try{p: p}
	if err := c.raw.Write(c.tryWrite); err != nil {
		return t.n, err
	}
	return t.n, t.err
}

// writeOnce tries to write what is left. It reports false when the rest would wait.
func (c *conn) writeOnce(fd uintptr) bool {
	t := &c.writing
	for t.n < len(t.p) {
		n, err := transfer(syscall.SYS_WRITE, fd, t.p[t.n:])
		if err == syscall.EAGAIN {
			return false
		}
		if err != nil {
			t.err = err
			break
		}
		t.n += n
	}
	return true
}

// closeNow closes the connection after a panic, whoever has it.
func (c *conn) closeNow() {
	if t := c.taken.Load(); t != nil {
		t.Close()
		return
	}
	c.nc.Close()
}

// shut ends the connection from another goroutine, whoever has it. Where there is a descriptor, closing it would wait for a
// request that runs in turn; ending both directions has the connection's own goroutine close it.
func (c *conn) shut() {
	t := c.taken.Load()
	switch {
	case t != nil:
		t.Close()
	case c.raw != nil:
		_ = c.raw.Control(func(fd uintptr) { _ = unix.Shutdown(int(fd), unix.SHUT_RDWR) }) // fails where it is at its end
	default:
		c.nc.Close()
	}
}

// hangUp closes the connection in a way that lets the peer read the last response.
func (c *conn) hangUp() {
	if end, ok := c.stream.(interface{ CloseWrite() error }); ok && c.stream != c.nc && !c.s.cut.Load() && !c.stuck && !c.reset {
		_ = end.CloseWrite() // TLS's end of the stream; without it the peer would take the last response for cut off
	}
	switch {
	case c.s.cut.Load(), c.ended, c.stuck:
	case c.reset:
		hangup.Reset(c.nc)
	case c.dirty || !c.clean && hangup.Pending(c.nc):
		hangup.Linger(c.nc)
	}
	c.nc.Close()
}
