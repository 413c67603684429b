package syncworker_test

import (
	"context"
	"io"
	"testing"
	"time"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/internal/load"
	"github.com/appserver-go/appserver/scoreboard"
	"github.com/appserver-go/appserver/workers"
	syncworker "github.com/appserver-go/appserver/workers/sync"
	"github.com/appserver-go/appserver/workers/workertest"
)

// blocking answers "hello", in /block once release is closed.
func blocking(release <-chan struct{}) exchange.HandlerFunc {
	return func(ctx context.Context, x *exchange.Exchange) error {
		if x.Request.Path() == "/block" {
			select {
			case <-release:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		_, err := io.WriteString(&x.Response, "hello")
		return err
	}
}

func TestEveryResponseClosesItsConnection(t *testing.T) {
	p := workertest.Listen(t)
	workertest.Start(t, p, syncworker.New, workertest.Options{Config: workertest.Config(), Guest: blocking(nil)})
	for _, raw := range []string{
		workertest.Raw("/"), "GET / HTTP/1.0\r\n\r\n", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
		"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
	} {
		if r := p.Do(t, raw); r.Status != 200 || !r.Close {
			t.Errorf("%q: %+v", raw, r)
		}
	}
}

// A client that has sent half a head, or half a small body, does not keep the worker from serving others.
func TestSlowClientsDoNotBlockOthers(t *testing.T) {
	p := workertest.Listen(t)
	workertest.Start(t, p, syncworker.New, workertest.Options{Config: workertest.Config(), Guest: blocking(nil)})
	halves := map[string]string{
		"GET /slow HTTP/1.1\r\nHos": "t: a\r\n\r\n",
		"":                          workertest.Raw("/silent"),
		"POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab": "cd",
	}
	slow := map[string]*load.Conn{}
	for first := range halves {
		c := p.Dial(t)
		if err := c.Send([]byte(first)); err != nil {
			t.Fatal(err)
		}
		slow[first] = c
	}
	for range 3 {
		if r := p.Get(t, "/"); r.Status != 200 {
			t.Fatalf("status %d", r.Status)
		}
	}
	for first, second := range halves {
		if r, err := slow[first].Do([]byte(second), false); err != nil || r.Status != 200 {
			t.Errorf("%q: %+v %v", first, r, err)
		}
	}
}

// While a request runs, the next connection stays in the kernel's queue, where another worker can take it.
func TestAcceptsOnlyWhileIdle(t *testing.T) {
	release := make(chan struct{})
	p := workertest.Listen(t)
	o := workertest.Options{Config: workertest.Config(), Guest: blocking(release)}
	busy := workertest.Start(t, p, syncworker.New, o)
	first := p.Send(t, "/block")
	busy.Busy(t, 1)
	waiting := p.Send(t, "/")
	idle := workertest.Start(t, p, syncworker.New, o)
	if r, err := waiting.Read(false); err != nil || r.Status != 200 {
		t.Fatalf("got %+v %v", r, err)
	}
	if busy.Served.Load() != 1 || idle.Served.Load() != 1 {
		t.Errorf("served %d and %d, want one each", busy.Served.Load(), idle.Served.Load())
	}
	close(release)
	if r, err := first.Read(false); err != nil || r.Status != 200 {
		t.Errorf("got %+v %v", r, err)
	}
}

// A burst of connections is spread over the workers instead of being swallowed by the one that wakes first. How evenly
// depends on how fast requests are read; TestGateLeavesConnectionsToOthers has the rule.
func TestBurstIsSpread(t *testing.T) {
	release := make(chan struct{})
	p := workertest.Listen(t)
	o := workertest.Options{Config: workertest.Config(), Guest: blocking(release)}
	ws := make([]*workertest.Worker, 4)
	for i := range ws {
		ws[i] = workertest.Start(t, p, syncworker.New, o)
	}
	conns := make([]*load.Conn, 2*len(ws))
	for i := range conns {
		conns[i] = p.Send(t, "/block")
	}
	workertest.WaitFor(t, "two busy workers", func() bool {
		busy := 0
		for _, w := range ws {
			s := w.Board.Snapshot()
			busy += s.Busy()
		}
		return busy >= 2
	})
	close(release)
	for _, c := range conns {
		if r, err := c.Read(false); err != nil || r.Status != 200 {
			t.Errorf("got %+v %v", r, err)
		}
	}
}

func TestConnectionLimit(t *testing.T) {
	p := workertest.Listen(t)
	cfg := workertest.Config()
	cfg.WorkerConnections = 2
	w := workertest.Start(t, p, syncworker.New, workertest.Options{Config: cfg, Guest: blocking(nil)})
	silent := []*load.Conn{p.Dial(t), p.Dial(t)}
	workertest.WaitFor(t, "connections", func() bool { return w.Board.Snapshot().Counters[scoreboard.Connections] == 2 })
	third := p.Send(t, "/")
	silent[0].Close()
	if r, err := third.Read(false); err != nil || r.Status != 200 {
		t.Errorf("got %+v %v", r, err)
	}
}

func TestTimeout(t *testing.T) {
	p := workertest.Listen(t)
	cfg := workertest.Config()
	cfg.Timeout = 50 * time.Millisecond
	w := workertest.Start(t, p, syncworker.New, workertest.Options{Config: cfg, Guest: blocking(nil)})
	if r := p.Get(t, "/block"); r.Status != 504 {
		t.Errorf("status %d", r.Status)
	}
	if r := p.Get(t, "/"); r.Status != 200 {
		t.Errorf("afterwards: status %d", r.Status)
	}
	if n := w.Board.Snapshot().Counters[scoreboard.Timeouts]; n != 1 {
		t.Errorf("%d timeouts are counted", n)
	}
}

// The last worker serves the connections that nobody else will accept.
func TestFinalDrainServesTheBacklog(t *testing.T) {
	release := make(chan struct{})
	p := workertest.Listen(t)
	w := workertest.Start(t, p, syncworker.New, workertest.Options{Config: workertest.Config(), Guest: blocking(release)})
	conns := []*load.Conn{p.Send(t, "/block")}
	w.Busy(t, 1)
	for range 20 {
		conns = append(conns, p.Send(t, "/"))
	}
	p.Close()
	w.Drain.Begin(workers.Order{Grace: workertest.Patience, Final: true})
	workertest.WaitFor(t, "draining", func() bool { return w.Board.Snapshot().State == scoreboard.Draining })
	if n := w.Board.Snapshot().Counters[scoreboard.Connections]; n != 1 || w.Closed.Load() != 0 {
		t.Errorf("a busy worker took %d connections that another one could serve sooner", n-1)
	}
	close(release)
	workertest.WaitFor(t, "closed", func() bool { return w.Closed.Load() == 1 })
	if _, err := load.Dial(t.Context(), p.Addr); err == nil {
		t.Error("the port still takes connections")
	}
	for i, c := range conns {
		if r, err := c.Read(false); err != nil || r.Status != 200 {
			t.Errorf("connection %d got %+v %v", i, r, err)
		}
	}
	if err := w.Wait(t); err != nil {
		t.Error(err)
	}
}

func TestDrainUnderLoadLosesNothing(t *testing.T) {
	p := workertest.Listen(t)
	o := workertest.Options{Config: workertest.Config(), Guest: blocking(nil)}
	ctx, stop := context.WithCancel(t.Context())
	report := make(chan *load.Report, 1)
	w := workertest.Start(t, p, syncworker.New, o)
	go func() { report <- load.Run(ctx, load.Plan{Addr: p.Addr, Clients: 32, Raw: workertest.Raw("/")}) }()
	for range 5 {
		workertest.WaitFor(t, "requests", func() bool { return w.Served.Load() > 100 })
		next := workertest.Start(t, p, syncworker.New, o)
		w.Drain.Begin(workers.Order{Grace: workertest.Patience})
		if err := w.Wait(t); err != nil {
			t.Error(err)
		}
		w = next
	}
	stop()
	if r := <-report; r.Lost > 0 || r.Bad > 0 || r.Refused > 0 || r.Done < 500 {
		t.Error(r)
	}
}
