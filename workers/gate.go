package workers

import (
	"errors"
	"log/slog"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/appserver-go/appserver/sockets"
)

// freshTime is how long a connection that was just accepted counts as a request. A client that connects mostly sends at
// once, so for that time the worker leaves the next connection to another: a burst is spread over the workers, not
// swallowed by one. A client that sends nothing costs the others no more than this.
const freshTime = time.Millisecond

// handshakeTime is how long the last worker waits for connections whose handshake began before the arbiter refused new
// ones: a few round trips in a data centre.
const handshakeTime = 50 * time.Millisecond

// Acceptor is where connections come from. *sockets.Acceptor is one.
type Acceptor interface {
	// Accept waits for a connection. It fails with sockets.ErrClosed after Stop.
	Accept() (net.Conn, error)
	// AcceptPending returns a connection that waits already, or sockets.ErrNoPending.
	AcceptPending() (net.Conn, error)
	// Addr is the first listener's address.
	Addr() net.Addr
	// WaitPending waits until AcceptPending may have a connection, at most as long as patience.
	WaitPending(patience time.Duration)
	// Stop ends Accept; AcceptPending still works.
	Stop()
	// Close closes the listeners.
	Close() error
}

// interrupter is an Acceptor whose Accept can be broken off: one that waits, or if none does perhaps the next, returns
// an error. Without it, a worker whose last slot was taken while it waited for a connection still accepts one.
type interrupter interface{ Interrupt() }

// gate decides when a worker accepts: while a slot is free that no connection is about to ask for, and while
// connections are below their limit. It is the net.Listener of the worker's front end.
type gate struct {
	acceptor Acceptor
	breaker  interrupter // the acceptor, if it can
	slots    *Slots
	maxConns int
	patience time.Duration   // Policy.Patience
	count    func(delta int) // told of connections opened and closed
	log      *slog.Logger
	drain    *Drain

	mu        sync.Mutex
	changed   *sync.Cond
	conns     int
	fresh     int
	waiting   bool // in acceptor.Accept
	stopped   bool
	stoppedAt time.Time
	abandoned bool        // the time to empty the queues is over
	timer     *time.Timer // runs breakOff when patience has passed
	timing    bool        // the timer runs
	broken    bool        // Accept was broken off and has not said so yet
}

// newGate makes the gate of an environment. count is told of connections opened and closed.
func newGate(e *Env, slots *Slots, patience time.Duration, count func(delta int)) *gate {
	g := &gate{
		acceptor: e.Acceptor, slots: slots, maxConns: max(e.Config.WorkerConnections, 1), patience: patience,
		count: count, log: e.Log, drain: e.Drain,
	}
	g.changed = sync.NewCond(&g.mu)
	g.breaker, _ = e.Acceptor.(interrupter)
	return g
}

// open reports whether another connection is welcome.
func (g *gate) open() bool { return g.conns < g.maxConns && g.slots.Free() > g.fresh }

// update acts on a change of what open reports. The caller holds mu.
func (g *gate) update() {
	switch {
	case g.open():
		g.changed.Signal()
	case !g.waiting || g.timing || g.broken || g.breaker == nil:
	case g.patience <= 0:
		g.breakOff()
	default:
		g.timing = true
		if g.timer == nil {
			g.timer = time.AfterFunc(g.patience, g.impatient)
		} else {
			g.timer.Reset(g.patience)
		}
	}
}

// impatient breaks Accept off if the gate is still, or again, closed.
func (g *gate) impatient() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.timing = false
	if g.waiting && !g.open() {
		g.breakOff()
	}
}

// breakOff makes Accept return. The caller holds mu.
func (g *gate) breakOff() {
	g.broken = true
	g.breaker.Interrupt()
}

// Accept implements net.Listener. After stop it returns the connections that wait in the queues, if the drain is final,
// and then net.ErrClosed.
func (g *gate) Accept() (net.Conn, error) {
	for g.await() {
		nc, err := g.acceptor.Accept()
		broken := g.arrived(err)
		switch {
		case err == nil:
			return g.admit(nc), nil
		case errors.Is(err, sockets.ErrClosed):
			g.stop()
		case broken: // an error of the listeners' comes again
		default:
			return nil, err
		}
	}
	if g.drain.Final() && g.awaitRoom() {
		nc, err := g.last()
		if err == nil {
			return g.admit(nc), nil
		}
		if !errors.Is(err, sockets.ErrNoPending) && !errors.Is(err, sockets.ErrClosed) {
			g.log.Warn("Cannot accept the connections that still wait", "error", err.Error())
		}
	}
	return nil, net.ErrClosed
}

// last returns a connection from the queues that nobody accepts from after this worker. It looks again for a moment when
// they are empty: the arbiter lets no new connections in, but some may still be being made.
func (g *gate) last() (net.Conn, error) {
	for {
		nc, err := g.acceptor.AcceptPending()
		if !errors.Is(err, sockets.ErrNoPending) {
			return nc, err
		}
		left := time.Until(g.stoppedAt.Add(handshakeTime))
		if left <= 0 || g.isAbandoned() {
			return nil, err
		}
		g.acceptor.WaitPending(left)
	}
}

// awaitRoom waits until the gate is open, as while serving: the last connections are spread over the workers and find a
// slot, too. It reports false when there is no time left for them.
func (g *gate) awaitRoom() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for !g.abandoned && !g.open() {
		g.changed.Wait()
	}
	return !g.abandoned
}

// abandon gives up what still waits in the queues.
func (g *gate) abandon() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.abandoned = true
	g.changed.Signal()
}

func (g *gate) isAbandoned() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.abandoned
}

// arrived ends await's wait and reports whether err is that of a wait broken off. A connection may have been faster than
// the interruption, which then is still to come.
func (g *gate) arrived(err error) (broken bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting = false
	if err != nil {
		broken, g.broken = g.broken, false
	}
	return broken
}

// await waits until the gate is open and reports whether it is not stopped.
func (g *gate) await() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for !g.stopped && !g.open() {
		g.changed.Wait()
	}
	g.waiting = !g.stopped
	return g.waiting
}

// stop ends accepting, save for the queues of a final drain.
func (g *gate) stop() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.stopped {
		g.stopped, g.stoppedAt = true, time.Now()
	}
	g.acceptor.Stop()
	g.changed.Signal()
}

// admit counts a new connection.
func (g *gate) admit(nc net.Conn) *gateConn {
	g.count(1)
	c := &gateConn{Conn: nc, gate: g, fresh: true}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.conns++
	g.fresh++
	c.expiry = time.AfterFunc(freshTime, c.settle)
	return c
}

// claim asks for a slot on behalf of a connection, which is not counted twice for it. crowded says that idle
// connections leave so little room that this one should not stay, gunicorn's max_keepalived.
func (g *gate) claim(nc net.Conn) (claim *Claim, crowded bool, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if c, ok := nc.(*gateConn); ok {
		c.settled()
	}
	claim, err = g.slots.Claim()
	g.update()
	return claim, g.conns >= g.maxConns, err
}

// release gives a slot back.
func (g *gate) release(slot int) {
	g.slots.Release(slot)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.update()
}

// Close implements net.Listener. It closes the listeners, and Accept must have returned for the last time.
func (g *gate) Close() error {
	g.stop()
	return g.acceptor.Close()
}

// Addr implements net.Listener.
func (g *gate) Addr() net.Addr { return g.acceptor.Addr() }

// gateConn is a connection that the gate counts.
type gateConn struct {
	net.Conn
	gate   *gate
	expiry *time.Timer
	fresh  bool // guarded by gate.mu, like gone
	gone   bool
}

// settle ends the time in which the connection counts as a request.
func (c *gateConn) settle() {
	c.gate.mu.Lock()
	defer c.gate.mu.Unlock()
	if c.settled() {
		c.gate.update()
	}
}

// settled is settle for callers that hold gate.mu and update the gate themselves.
func (c *gateConn) settled() bool {
	if !c.fresh {
		return false
	}
	c.fresh = false
	c.gate.fresh--
	c.expiry.Stop()
	return true
}

// SyscallConn gives access to the connection's descriptor.
func (c *gateConn) SyscallConn() (syscall.RawConn, error) {
	if sc, ok := c.Conn.(syscall.Conn); ok {
		return sc.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}

// Close closes the connection and gives its place to another. A second Close closes again, which is how a lingering
// first one is cut short.
func (c *gateConn) Close() error {
	g := c.gate
	g.mu.Lock()
	if !c.gone {
		c.gone = true
		g.conns--
		g.count(-1)
		c.settled()
		g.update()
	}
	g.mu.Unlock()
	return c.Conn.Close()
}
