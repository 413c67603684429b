package http1

import (
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/appserver-go/appserver/exchange"
)

// taken is a connection in the hands of a guest that switches protocols. It is closed when nothing has come or gone for
// Options.UpgradeTimeout, by Server.Close, or by the guest.
type taken struct {
	net.Conn
	c     *conn
	early []byte       // read ahead of the taking; the reader's
	last  atomic.Int64 // when something came or went, on the server's clock
	timer *time.Timer  // nil without a timeout
	close func() error // closes once
	holds atomic.Int32 // the guest and the goroutine of the connection; the last one removes it from the server
}

// Hijack implements exchange.Hijacker.
func (s *sink) Hijack() (net.Conn, error) {
	c := s.call.conn
	if s.call.Request.Upgrade == "" {
		return nil, exchange.ErrNotSupported // the request may be answered within turn
	}
	c.probing.mu.Lock()
	c.probing.silent = false // from now on every byte is the guest's
	rest := c.probing.rest
	c.probing.rest = ""
	c.probing.mu.Unlock()
	if err := c.nc.SetDeadline(time.Time{}); err != nil {
		return nil, err
	}
	if rest != "" {
		if _, err := c.stream.Write([]byte(rest)); err != nil {
			return nil, err
		}
	}
	in := &s.call.in
	t := &taken{Conn: c.stream, c: c, early: append([]byte(nil), in.unread()...)}
	in.skip(len(t.early))
	t.holds.Store(2)
	t.close = sync.OnceValue(t.end)
	t.last.Store(int64(c.s.now()))
	if d := c.s.o.UpgradeTimeout; d > 0 {
		t.timer = time.AfterFunc(d, t.silent)
	}
	c.s.count(1)
	c.taken.Store(t)
	return t, nil
}

// Read implements net.Conn.
func (t *taken) Read(p []byte) (int, error) {
	if len(t.early) > 0 {
		n := copy(p, t.early)
		t.early = t.early[n:]
		return n, nil
	}
	n, err := t.Conn.Read(p)
	t.stir(n)
	return n, err
}

// Write implements net.Conn.
func (t *taken) Write(p []byte) (int, error) {
	n, err := t.Conn.Write(p)
	t.stir(n)
	return n, err
}

// stir notes that bytes came or went.
func (t *taken) stir(n int) {
	if n > 0 && t.timer != nil {
		t.last.Store(int64(t.c.s.now()))
	}
}

// silent closes the connection if the timeout has passed since the last byte, and else looks again when it may have.
func (t *taken) silent() {
	left := time.Duration(t.last.Load()) + t.c.s.o.UpgradeTimeout - t.c.s.now()
	if left <= 0 {
		t.Close()
		return
	}
	t.timer.Reset(left)
}

// Close implements net.Conn. A second Close returns what the first did.
func (t *taken) Close() error { return t.close() }

func (t *taken) end() error {
	if t.timer != nil {
		t.timer.Stop()
	}
	err := t.Conn.Close()
	t.c.s.count(-1)
	t.release()
	return err
}

// release removes the connection from the server when the guest is done with it and its request has been accounted for.
func (t *taken) release() {
	if t.holds.Add(-1) == 0 {
		t.c.s.remove(t.c)
	}
}

// count tells the owner of the server of connections taken over and closed.
func (s *Server) count(delta int) {
	if s.o.Upgraded != nil {
		s.o.Upgraded(delta)
	}
}
