package threaded_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/appserver-go/appserver/internal/load"
	"github.com/appserver-go/appserver/scoreboard"
	"github.com/appserver-go/appserver/workers"
	"github.com/appserver-go/appserver/workers/threaded"
	"github.com/appserver-go/appserver/workers/workertest"
)

func TestDrainFinishesWhatItHas(t *testing.T) {
	g := newGuest()
	p := workertest.Listen(t)
	w := workertest.Start(t, p, threaded.New, workertest.Options{Config: workertest.Config(), Guest: g.serve})
	idle := p.Dial(t)
	if r, err := idle.Do([]byte(workertest.Raw("/")), false); err != nil || r.Close {
		t.Fatalf("got %+v %v", r, err)
	}
	busy := p.Send(t, "/block")
	w.Busy(t, 1)
	w.Drain.Begin(workers.Order{Grace: workertest.Patience})
	workertest.WaitFor(t, "closed", func() bool { return w.Closed.Load() == 1 })
	if s := w.Board.Snapshot(); s.State != scoreboard.Draining {
		t.Errorf("state %v", s.State)
	}
	close(g.release)
	if r, err := busy.Read(false); err != nil || r.Status != 200 || !r.Close {
		t.Errorf("the request in flight got %+v %v", r, err)
	}
	if !w.Running() {
		t.Fatal("the worker ended with an idle connection that may still ask")
	}
	if r, err := idle.Do([]byte(workertest.Raw("/")), false); err != nil || r.Status != 200 || !r.Close {
		t.Errorf("the idle connection's next request got %+v %v", r, err)
	}
	if err := w.Wait(t); err != nil {
		t.Error(err)
	}
	if n := w.Closed.Load(); n != 1 {
		t.Errorf("closed was reported %d times", n)
	}
}

func TestDrainCutsAtTheEndOfGrace(t *testing.T) {
	for _, target := range []string{"/block", "/stubborn"} {
		t.Run(target, func(t *testing.T) {
			g := newGuest()
			p := workertest.Listen(t)
			w := workertest.Start(t, p, threaded.New, workertest.Options{Config: workertest.Config(), Guest: g.serve})
			c := p.Send(t, target)
			w.Busy(t, 1)
			w.Drain.Begin(workers.Order{Grace: workertest.Patience})
			w.Drain.Begin(workers.Order{Grace: 10 * time.Millisecond}) // a quick drain after a patient one
			err := w.Wait(t)
			if stuck := target == "/stubborn"; errors.Is(err, workers.ErrCutOff) != stuck {
				t.Errorf("Run returned %v", err)
			}
			r, err := c.Read(false)
			if obeys := target == "/block"; obeys && (err != nil || r.Status != 503 || !r.Close) || !obeys && err == nil {
				t.Errorf("the client got %+v, %v", r, err)
			}
			close(g.release)
		})
	}
}

func TestOrphanClosesIdleConnections(t *testing.T) {
	p := workertest.Listen(t)
	w := workertest.Start(t, p, threaded.New, workertest.Options{Config: workertest.Config(), Guest: newGuest().serve})
	c := p.Dial(t)
	if _, err := c.Do([]byte(workertest.Raw("/")), false); err != nil {
		t.Fatal(err)
	}
	w.Drain.Begin(workers.Order{Grace: workertest.Patience, CloseIdle: true})
	if err := w.Wait(t); err != nil {
		t.Error(err)
	}
	if r, err := c.Read(false); err == nil {
		t.Errorf("the client got %+v", r)
	}
}

// One worker follows another on the same port while clients are at work, kept-alive connections included.
func TestDrainUnderLoadLosesNothing(t *testing.T) {
	p := workertest.Listen(t)
	for _, keepAlive := range []bool{true, false} {
		o := workertest.Options{Config: workertest.Config(), Guest: newGuest().serve}
		raw := workertest.Raw("/")
		if !keepAlive {
			raw = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
		}
		ctx, stop := context.WithCancel(t.Context())
		var report atomic.Pointer[load.Report]
		var loading sync.WaitGroup
		w := workertest.Start(t, p, threaded.New, o)
		loading.Go(func() {
			report.Store(load.Run(ctx, load.Plan{Addr: p.Addr, Clients: 32, Raw: raw, KeepAlive: keepAlive}))
		})
		for range 5 {
			workertest.WaitFor(t, "requests", func() bool { return w.Served.Load() > 200 })
			next := workertest.Start(t, p, threaded.New, o)
			w.Drain.Begin(workers.Order{Grace: workertest.Patience})
			if err := w.Wait(t); err != nil {
				t.Error(err)
			}
			w = next
		}
		stop()
		loading.Wait()
		if r := report.Load(); r.Lost > 0 || r.Bad > 0 || r.Refused > 0 || r.Done < 1000 {
			t.Errorf("keep-alive %v: %v", keepAlive, r)
		}
		w.Drain.Begin(workers.Order{Grace: workertest.Patience})
		if err := w.Wait(t); err != nil {
			t.Error(err)
		}
	}
}
