package sockets

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// newAcceptor accepts from copies of the sockets, as one worker does, until the end of the test.
func newAcceptor(t testing.TB, sockets ...*Socket) *Acceptor {
	t.Helper()
	var listeners []*Listener
	for _, s := range sockets {
		listeners = append(listeners, adopt(t, s))
	}
	a, err := NewAcceptor(listeners)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	return a
}

// waits reports whether a thread of this process waits in epoll, by what the kernel says it sleeps in.
func waits(t *testing.T, thread int32) bool {
	t.Helper()
	where, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/wchan", thread))
	if err != nil || len(where) == 0 {
		t.Skipf("skipped: this kernel does not say what threads wait for: %v", err)
	}
	return strings.Contains(string(where), "ep_poll") || strings.Contains(string(where), "epoll_wait") // as the compiler has inlined them
}

// Three idle workers on one socket take turns. Without rotation the first of the wait queue gets nearly everything. One
// that the machine keeps from waiting is not idle, and its turn is another's, so all are given the time to wait.
func TestAcceptorBalance(t *testing.T) {
	for _, name := range []string{"127.0.0.1:0", "unix:" + filepath.Join(t.TempDir(), "s")} {
		t.Run(name[:4], func(t *testing.T) {
			s := listen(t, testOptions(), name).Sockets()[0]
			var wg sync.WaitGroup
			var acceptors []*Acceptor
			var threads [3]atomic.Int32
			for i := range threads {
				a := newAcceptor(t, s)
				acceptors = append(acceptors, a)
				wg.Go(func() {
					runtime.LockOSThread()
					threads[i].Store(int32(unix.Gettid()))
					for {
						c, err := a.Accept()
						if err != nil {
							if !errors.Is(err, ErrClosed) {
								t.Error(err)
							}
							return
						}
						if _, err := c.Write([]byte{byte(i)}); err != nil {
							t.Error(err)
						}
						c.Close()
					}
				})
			}
			var got [3]int
			for range 90 {
				for i := range threads {
					eventually(t, "an idle worker", func() bool { id := threads[i].Load(); return id != 0 && waits(t, id) })
				}
				c, err := dialAddr(s.Addr())
				if err != nil {
					t.Fatal(err)
				}
				id, err := io.ReadAll(c)
				if err != nil || len(id) != 1 {
					t.Fatalf("read %v, %v, want one byte", id, err)
				}
				got[id[0]]++
				c.Close()
			}
			for _, a := range acceptors {
				a.Stop()
			}
			wg.Wait()
			t.Logf("shares of 90 connections: %v", got)
			for i, n := range got {
				if n < 20 { // a turn may be missed when all wake up to look around
					t.Errorf("worker %d got %d of 90 connections: %v", i, n, got)
				}
			}
		})
	}
}

// The kernel's own record of the epoll instance shows that one connection wakes one waiter only, also after a rotation.
func TestAcceptorExclusive(t *testing.T) {
	s := listen(t, testOptions(), "127.0.0.1:0").Sockets()[0]
	a := newAcceptor(t, s)
	want := fmt.Sprintf("tfd: %8d events: %8x", a.listeners[0].fd, uint32(unix.EPOLLIN|unix.EPOLLEXCLUSIVE|unix.EPOLLERR|unix.EPOLLHUP))
	for range 3 {
		info, err := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", a.epoll))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(info), want) {
			t.Fatalf("%q not in:\n%s", want, info)
		}
		dial(t, s)
		c, err := a.Accept()
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
	}
}

// A worker that does not call Accept takes no connection, nor any wake-up, from the others.
func TestAcceptorPaused(t *testing.T) {
	s := listen(t, testOptions(), "127.0.0.1:0").Sockets()[0]
	paused, active := newAcceptor(t, s), newAcceptor(t, s)
	start := time.Now()
	for range 50 {
		dial(t, s)
		c, err := active.Accept()
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
	}
	if took := time.Since(start); took > 50*sweepInterval/2 {
		t.Errorf("50 connections took %v: they waited for sweeps", took)
	}
	dial(t, s)
	c, err := paused.Accept()
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}

// A connection whose wake-up went to a worker that froze before it accepted is found by another one.
func TestAcceptorSweep(t *testing.T) {
	s := listen(t, testOptions(), "127.0.0.1:0").Sockets()[0]
	frozen, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(frozen)
	fd := dupFD(t, s)
	defer unix.Close(fd)
	event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLEXCLUSIVE}
	if err := unix.EpollCtl(frozen, unix.EPOLL_CTL_ADD, fd, &event); err != nil { // first in the socket's wait queue
		t.Fatal(err)
	}
	tid, woken := make(chan int, 1), make(chan struct{})
	go func() { // ends at the first connection, without accepting it
		defer close(woken)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		tid <- unix.Gettid()
		var events [1]unix.EpollEvent
		for {
			if n, err := unix.EpollWait(frozen, events[:], int(patience.Milliseconds())); n != 0 || err != unix.EINTR {
				return
			}
		}
	}()
	waiting := fmt.Sprintf("/proc/self/task/%d/stat", <-tid)
	eventually(t, "the frozen worker waits", func() bool {
		stat, err := os.ReadFile(waiting)
		return err == nil && strings.Contains(string(stat), ") S ")
	})
	a := newAcceptor(t, s)
	dial(t, s)
	c, err := a.Accept()
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	select {
	case <-woken:
	case <-time.After(patience):
		t.Error("the frozen worker was not woken, so the sweep was not tested")
	}
}

func TestAcceptorSeveralListeners(t *testing.T) {
	set := listen(t, testOptions(), "127.0.0.1:0", "unix:"+filepath.Join(t.TempDir(), "s"))
	a := newAcceptor(t, set.Sockets()...)
	if got := a.Addr().String(); got != set.Sockets()[0].Addr().String() {
		t.Errorf("Addr = %s", got)
	}
	for range 3 {
		for _, s := range set.Sockets() {
			dial(t, s)
			c, err := a.Accept()
			if err != nil {
				t.Fatal(err)
			}
			if got := c.LocalAddr().Network(); got != s.Addr().Network {
				t.Errorf("accepted from %s, want %s", got, s.Addr().Network)
			}
			c.Close()
		}
	}
}

// stopWaiting stops an Acceptor whose Accept is under way.
func stopWaiting(t *testing.T, a *Acceptor) {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		_, err := a.Accept()
		done <- err
	}()
	eventually(t, "Accept runs", func() bool {
		if a.mu.TryLock() {
			a.mu.Unlock()
			return false
		}
		return true
	})
	a.Stop()
	a.Stop()
	if err := <-done; !errors.Is(err, ErrClosed) || !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept = %v, want ErrClosed", err)
	}
	if _, err := a.Accept(); !errors.Is(err, ErrClosed) {
		t.Errorf("second Accept = %v, want ErrClosed", err)
	}
}

func TestAcceptorStop(t *testing.T) {
	s := listen(t, testOptions(), "127.0.0.1:0").Sockets()[0]
	t.Run("while waiting", func(t *testing.T) {
		const rounds = 10
		start := time.Now()
		for range rounds {
			stopWaiting(t, newAcceptor(t, s))
		}
		if took := time.Since(start); took > rounds*sweepInterval/2 {
			t.Errorf("%d Accepts took %v to return: Stop does not wake them, the sweep does", rounds, took)
		}
	})
	t.Run("drain", func(t *testing.T) {
		a := newAcceptor(t, s)
		a.Stop()
		for range 3 {
			dial(t, s)
		}
		eventually(t, "3 connections are queued", func() bool {
			n, _, err := s.Queue()
			return n == 3 && err == nil
		})
		if _, err := a.Accept(); !errors.Is(err, ErrClosed) {
			t.Fatalf("Accept = %v, want ErrClosed", err)
		}
		for range 3 {
			c, err := a.AcceptPending()
			if err != nil {
				t.Fatal(err)
			}
			c.Close()
		}
		if _, err := a.AcceptPending(); !errors.Is(err, ErrNoPending) {
			t.Errorf("AcceptPending = %v, want ErrNoPending", err)
		}
		for range 2 {
			if err := a.Close(); err != nil {
				t.Error(err)
			}
		}
		if _, err := a.AcceptPending(); !errors.Is(err, ErrClosed) {
			t.Errorf("AcceptPending = %v after Close, want ErrClosed", err)
		}
		dial(t, s) // the arbiter's socket still listens
	})
	t.Run("by several", func(t *testing.T) {
		for range 20 {
			a := newAcceptor(t, s)
			var wg sync.WaitGroup
			wg.Go(func() {
				for {
					c, err := a.Accept()
					if err != nil {
						return
					}
					c.Close()
				}
			})
			wg.Go(a.Stop)
			wg.Go(func() { a.Close() })
			wg.Wait()
		}
	})
}

func TestNewAcceptorErrors(t *testing.T) {
	if _, err := NewAcceptor(nil); err == nil {
		t.Error("NewAcceptor without listeners succeeded")
	}
	before := openFDs(t)
	l := adopt(t, listen(t, testOptions(), "127.0.0.1:0").Sockets()[0])
	if err := errors.Join(l.Close(), l.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := NewAcceptor([]*Listener{l}); !errors.Is(err, unix.EBADF) {
		t.Errorf("NewAcceptor = %v, want EBADF", err)
	}
	if after := openFDs(t); after != before+1 {
		t.Errorf("%d descriptors open, want %d", after, before+1)
	}
}

func BenchmarkAccept(b *testing.B) {
	set, err := Listen(context.Background(), []Addr{{Network: TCP, Host: "127.0.0.1"}}, testOptions())
	if err != nil {
		b.Fatal(err)
	}
	defer set.Close(true)
	a := newAcceptor(b, set.Sockets()[0])
	b.ReportAllocs()
	for b.Loop() {
		client, err := dialAddr(set.Sockets()[0].Addr())
		if err != nil {
			b.Fatal(err)
		}
		c, err := a.Accept()
		if err != nil {
			b.Fatal(err)
		}
		c.Close()
		client.Close()
	}
}

// An Accept that waits is broken off, the next one works, and Stop counts for more than an interruption.
func TestAcceptorInterrupt(t *testing.T) {
	s := listen(t, testOptions(), "127.0.0.1:0").Sockets()[0]
	a := newAcceptor(t, s)
	a.Interrupt() // nobody waits: the next Accept is the one
	if _, err := a.Accept(); !errors.Is(err, ErrInterrupted) {
		t.Fatalf("interrupted beforehand: %v", err)
	}
	done := make(chan error)
	go func() {
		_, err := a.Accept()
		done <- err
	}()
	a.Interrupt()
	if err := <-done; !errors.Is(err, ErrInterrupted) {
		t.Fatalf("interrupted: %v", err)
	}
	dial(t, s)
	c, err := a.Accept()
	if err != nil {
		t.Fatalf("after an interruption: %v", err)
	}
	c.Close()
	a.Interrupt()
	a.Stop()
	if _, err := a.Accept(); !errors.Is(err, ErrClosed) {
		t.Fatalf("stopped: %v", err)
	}
}
