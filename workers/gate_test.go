package workers

import (
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/appserver-go/appserver/config"
	"github.com/appserver-go/appserver/sockets"
)

// fakeAcceptor hands out the connections of a channel.
type fakeAcceptor struct {
	conns       chan net.Conn
	interrupts  chan struct{}
	stopped     chan struct{}
	stop        sync.Once
	broken      error // returned once stopped instead of ErrClosed
	pending     int
	interrupted atomic.Int32
}

func newFakeAcceptor() *fakeAcceptor {
	return &fakeAcceptor{conns: make(chan net.Conn, 100), interrupts: make(chan struct{}, 1), stopped: make(chan struct{})}
}

var errBrokenOff = errors.New("broken off")

func (a *fakeAcceptor) Accept() (net.Conn, error) {
	select {
	case c := <-a.conns:
		return c, nil
	case <-a.interrupts:
		a.interrupted.Add(1)
		return nil, errBrokenOff
	case <-a.stopped:
		if a.broken != nil {
			return nil, a.broken
		}
		return nil, sockets.ErrClosed
	}
}

func (a *fakeAcceptor) WaitPending(patience time.Duration) { time.Sleep(patience) }

func (a *fakeAcceptor) AcceptPending() (net.Conn, error) {
	if a.pending == 0 {
		return nil, sockets.ErrNoPending
	}
	a.pending--
	return newFakeConn(), nil
}

func (a *fakeAcceptor) Interrupt()     { a.interrupts <- struct{}{} }
func (a *fakeAcceptor) Addr() net.Addr { return &net.TCPAddr{} }
func (a *fakeAcceptor) Stop()          { a.stop.Do(func() { close(a.stopped) }) }
func (a *fakeAcceptor) Close() error   { return nil }

type fakeConn struct{ net.Conn }

func newFakeConn() net.Conn        { return &fakeConn{} }
func (c *fakeConn) Close() error   { return nil }
func (a *fakeAcceptor) offer()     { a.conns <- newFakeConn() }
func (a *fakeAcceptor) waits() int { return len(a.conns) }

func newTestGate(a Acceptor, slots, maxConns int, patience time.Duration) (*gate, chan net.Conn, *Drain) {
	d := NewDrain()
	e := &Env{Acceptor: a, Config: &config.Config{WorkerConnections: maxConns}, Log: slog.New(slog.DiscardHandler), Drain: d}
	g := newGate(e, NewSlots(slots, 100, nil), patience, func(int) {})
	out := make(chan net.Conn, 100)
	go func() {
		defer close(out)
		for {
			c, err := g.Accept()
			if err != nil {
				return
			}
			out <- c
		}
	}()
	return g, out, d
}

// A connection that says nothing keeps the next one away for a moment; one that asks, as long as its request runs.
func TestGateLeavesConnectionsToOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newFakeAcceptor()
		g, out, _ := newTestGate(a, 1, 100, 0)
		for range 3 {
			a.offer()
		}
		synctest.Wait()
		if len(out) != 1 {
			t.Fatalf("%d connections were accepted at once", len(out))
		}
		time.Sleep(freshTime)
		synctest.Wait()
		if len(out) != 2 {
			t.Fatalf("%d connections were accepted after the first proved silent", len(out))
		}
		c, _, err := g.claim(<-out)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if a.waits() != 1 {
			t.Error("a connection was accepted while the slot was taken")
		}
		slot, _ := c.Wait(t.Context(), 0)
		g.release(slot)
		synctest.Wait()
		if a.waits() != 0 {
			t.Error("no connection was accepted after the slot was free")
		}
		g.stop()
	})
}

// The slot is taken by a connection accepted long ago, while the gate waits for another.
func TestGateBreaksAcceptOff(t *testing.T) {
	for _, patience := range []time.Duration{0, time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			a := newFakeAcceptor()
			g, out, _ := newTestGate(a, 1, 100, patience)
			a.offer()
			time.Sleep(time.Second)
			old := <-out
			short, _, err := g.claim(old)
			if err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if want := map[bool]int32{true: 1, false: 0}[patience == 0]; a.interrupted.Load() != want {
				t.Errorf("patience %v: broken off %d times at once, want %d", patience, a.interrupted.Load(), want)
			}
			slot, _ := short.Wait(t.Context(), 0)
			g.release(slot)
			time.Sleep(time.Second)
			before := a.interrupted.Load()
			if patience > 0 && before != 0 {
				t.Error("a short request broke the wait off")
			}
			if _, _, err := g.claim(old); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
			if a.interrupted.Load() != before+1 {
				t.Errorf("patience %v: a long request broke the wait off %d times", patience, a.interrupted.Load()-before)
			}
			a.offer()
			synctest.Wait()
			if a.waits() != 1 {
				t.Error("a connection was accepted while the slot was taken")
			}
			g.stop()
		})
	}
}

// A connection arrives as Accept is broken off: the interruption hits the next Accept and is no broken listener.
func TestGateOutlivesALateInterruption(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newFakeAcceptor()
		g, out, _ := newTestGate(a, 1, 100, 0)
		a.offer()
		time.Sleep(time.Second)
		old := <-out
		for range 50 {
			g.mu.Lock() // the gate does not notice yet that Accept returns with the connection
			a.offer()
			g.breakOff()
			g.mu.Unlock()
			synctest.Wait()
			if _, open := <-out; !open {
				t.Fatal("the gate took the interruption for the end")
			}
			time.Sleep(time.Second)
		}
		if c, _, err := g.claim(old); err != nil || c == nil {
			t.Fatal(err)
		}
		g.stop()
	})
}

func TestGateLimitsConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newFakeAcceptor()
		g, out, _ := newTestGate(a, 10, 2, 0)
		for range 3 {
			a.offer()
		}
		time.Sleep(time.Second)
		if len(out) != 2 {
			t.Fatalf("%d connections were accepted", len(out))
		}
		first := <-out
		if _, crowded, err := g.claim(first); err != nil || !crowded {
			t.Errorf("crowded %v, error %v", crowded, err)
		}
		first.Close()
		first.Close()
		synctest.Wait()
		if len(out) != 2 {
			t.Error("a closed connection did not make room")
		}
		g.stop()
	})
}

func TestGateStops(t *testing.T) {
	for _, final := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			a := newFakeAcceptor()
			a.pending = 5
			g, out, d := newTestGate(a, 1, 100, 0)
			d.Begin(Order{Grace: time.Hour, Final: final})
			defer d.stop()
			g.stop()
			n := 0
			for range out {
				n++
			}
			if want := map[bool]int{true: 5, false: 0}[final]; n != want {
				t.Errorf("final %v: %d pending connections were accepted, want %d", final, n, want)
			}
		})
	}
}

func TestGateReportsABrokenListener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newFakeAcceptor()
		a.broken = net.UnknownNetworkError("broken")
		_, out, _ := newTestGate(a, 1, 100, 0)
		a.Stop()
		if _, open := <-out; open {
			t.Error("a broken listener gave a connection")
		}
	})
}
