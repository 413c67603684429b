package http1

import (
	"errors"
	"os"
	"syscall"
)

// turnEnd is why a connection's turn in the poller ended.
type turnEnd int

const (
	turnTimeout turnEnd = iota // the deadline has passed
	turnInput                  // a request has begun that cannot be answered at once
	turnLast                   // a response was the last
	turnGone                   // the client has ended, or reading failed
	turnParked                 // the connection is parked
)

// turn is one call of Go's poller: it is called when there may be something to read, and returns false to be called again.
//
// Requests that are there as a whole are answered here, inside of the call. That saves a system call for each: between
// two calls of RawConn.Read an arrival can be missed, so each has to begin with trying to read, in vain as a rule; within
// one, none is missed, and a connection waits without having tried. Meanwhile the poller's lock for readers is held, so
// nothing in here may read in another way, nor close the connection from another goroutine (shut).
func (c *conn) turn(fd uintptr) bool {
	c.idle.Store(false)
	for {
		c.take()
		room := c.call.in.room()
		n, err := transfer(syscall.SYS_READ, fd, room)
		switch {
		case err == syscall.EAGAIN:
			c.untake()
			return !c.rest()
		case err != nil || n == 0:
			c.untake()
			c.end = turnGone
			return true
		}
		c.call.in.filled(n)
		if !c.parse() || !c.call.complete() {
			c.end = turnInput
			return true
		}
		if !c.answer() {
			c.end = turnLast
			return true
		}
		if c.call != nil { // there is more than one request
			c.end = turnInput
			return true
		}
		if n < len(room) { // else there may be more, which nobody would tell of
			return !c.rest()
		}
	}
}

// rest prepares for a wait and reports whether the connection may wait.
func (c *conn) rest() bool {
	until := after(c.accepted, c.s.o.HeaderTimeout)
	if c.requests > 0 {
		c.idle.Store(true)
		if c.s.parting.Load() {
			c.end = turnGone
			return false
		}
		until = after(c.now, c.s.o.Keepalive)
		switch {
		case c.woken > c.now: // something has arrived, be it at the very end of keep-alive
			until = c.woken + parkAfter
		case c.direct && !c.stays:
			until = min(until, c.now+parkAfter)
		}
	}
	c.readBy.at(until, c.s.epoch)
	c.end = turnTimeout
	return true
}

// await waits for a request that cannot be answered at once, or for the end, and answers the others. A new connection
// has the time of a head for all of the first head, a used one may be idle for the time of keep-alive.
func (c *conn) await() turnEnd {
	for {
		if !c.rest() {
			return c.end
		}
		err := c.raw.Read(c.tryTurn)
		c.idle.Store(false)
		switch {
		case err == nil:
			return c.end
		case c.readBy.early(err, c.s):
		case !errors.Is(err, os.ErrDeadlineExceeded) || c.requests == 0:
			return turnGone
		default:
			if end := c.park(); end != turnTimeout {
				return end
			}
		}
	}
}

// park parks the connection, unless keep-alive is at its end. It reports turnTimeout where that cannot be done, and the
// connection must wait in its goroutine.
func (c *conn) park() turnEnd {
	until := after(c.now, c.s.o.Keepalive)
	if c.stays || c.s.now() >= until {
		return turnGone
	}
	c.idle.Store(true)
	if c.s.parting.Load() {
		return turnGone
	}
	if c.s.lot.park(c, until) {
		return turnParked
	}
	c.stays = true
	return turnTimeout
}

// awaitBytes is await for connections that are not read from their descriptor. Under TLS, where idle ones are not parked,
// they wait for one byte and have no call meanwhile.
func (c *conn) awaitBytes() turnEnd {
	if !c.rest() {
		return c.end
	}
	p := c.first[:]
	if c.stream == c.nc {
		c.take()
		p = c.call.in.room()
	}
	n, err := c.read(p)
	c.idle.Store(false)
	switch {
	case err != nil && c.call != nil:
		c.untake()
		return turnGone
	case err != nil:
		return turnGone
	case c.call == nil:
		c.take()
		copy(c.call.in.room(), p[:n])
	}
	c.call.in.filled(n)
	return turnInput
}

// parse reads what is in the input of the request's head and reports whether it is settled: complete or refused.
func (c *conn) parse() (settled bool) {
	call := c.call
	if !call.begun {
		call.begin(c)
	}
	if !call.settled {
		var done bool
		done, call.bad = call.head.parse(&call.in, &c.s.o.Limits, &call.Request.Fields)
		call.settled = done || call.bad != nil
	}
	return call.settled
}

// take takes a call from the pool, unless there is one.
func (c *conn) take() {
	if c.call == nil {
		c.call, _ = c.s.calls.Get().(*Call)
	}
}

// untake gives back a call that was not begun.
func (c *conn) untake() {
	c.s.calls.Put(c.call)
	c.call = nil
}
