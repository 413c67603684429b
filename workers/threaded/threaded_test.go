package threaded_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/internal/accesslog"
	"github.com/appserver-go/appserver/internal/load"
	"github.com/appserver-go/appserver/scoreboard"
	"github.com/appserver-go/appserver/workers/threaded"
	"github.com/appserver-go/appserver/workers/workertest"
)

// guest answers by path and blocks in /block until release is closed or its context ends.
type guest struct{ release chan struct{} }

func newGuest() *guest { return &guest{release: make(chan struct{})} }

func (g *guest) serve(ctx context.Context, x *exchange.Exchange) error {
	switch x.Request.Path() {
	case "/block":
		select {
		case <-g.release:
		case <-ctx.Done():
			return ctx.Err()
		}
	case "/stubborn":
		<-g.release
	case "/echo":
		_, err := io.Copy(&x.Response, x.Request.Body)
		return err
	case "/panic":
		panic("a bug in a Go handler")
	case "/trap":
		return &exchange.Failure{Status: 500, Reason: exchange.Trapped, Err: errors.New("unreachable executed"), Stack: "secret.wasm:frame"}
	case "/error":
		return errors.New("secret cause")
	case "/status":
		x.Response.Status = 1000
	case "/partial":
		if err := x.Response.Flush(); err != nil {
			return err
		}
		return errors.New("too late")
	}
	_, err := io.WriteString(&x.Response, "hello "+x.Request.Scheme)
	return err
}

func TestKeepAliveAndEcho(t *testing.T) {
	p := workertest.Listen(t)
	workertest.Start(t, p, threaded.New, workertest.Options{Config: workertest.Config(), Guest: newGuest().serve})
	c := p.Dial(t)
	for range 3 {
		r, err := c.Do([]byte(workertest.Raw("/")), false)
		if err != nil || r.Status != 200 || string(r.Body) != "hello http" || r.Close {
			t.Fatalf("got %+v %v", r, err)
		}
	}
	body := strings.Repeat("x", 1<<20)
	r := p.Do(t, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1048576\r\n\r\n"+body)
	if r.Status != 200 || string(r.Body) != body {
		t.Errorf("echo: status %d, %d bytes", r.Status, len(r.Body))
	}
}

func TestFailuresBecomePages(t *testing.T) {
	var logged bytes.Buffer
	p := workertest.Listen(t)
	cfg := workertest.Config()
	cfg.Timeout = 50 * time.Millisecond
	w := workertest.Start(t, p, threaded.New, workertest.Options{
		Config: cfg, Guest: newGuest().serve, Log: slog.New(slog.NewTextHandler(&locked{w: &logged}, nil)),
	})
	for target, want := range map[string]struct {
		status int
		text   string
	}{
		"/panic":  {500, "500 Internal Server Error"},
		"/trap":   {500, "500 Internal Server Error"},
		"/error":  {500, "500 Internal Server Error"},
		"/status": {502, "502 Bad Gateway"},
		"/block":  {504, "504 Gateway Timeout"},
	} {
		r := p.Get(t, target)
		if r.Status != want.status || !strings.HasPrefix(string(r.Body), want.text+"\nrequest id: ") {
			t.Errorf("%s: %d %q", target, r.Status, r.Body)
		}
		if strings.Contains(string(r.Body), "secret") {
			t.Errorf("%s: the page tells the cause: %q", target, r.Body)
		}
	}
	if _, err := p.Dial(t).Do([]byte(workertest.Raw("/partial")), false); err == nil {
		t.Error("a response that failed half-way looks whole")
	}
	if r := p.Get(t, "/"); r.Status != 200 {
		t.Errorf("afterwards the worker answers %d", r.Status)
	}
	// A response is counted when it has been sent.
	workertest.WaitFor(t, "counters", func() bool { return w.Board.Snapshot().Counters[scoreboard.Requests] == 7 })
	s := w.Board.Snapshot()
	for c, want := range map[scoreboard.Counter]int64{scoreboard.ServerFails: 5, scoreboard.Successes: 2, scoreboard.Traps: 1, scoreboard.Timeouts: 1} {
		if s.Counters[c] != want {
			t.Errorf("counter %d is %d, want %d", c, s.Counters[c], want)
		}
	}
	for _, want := range []string{"msg=\"Request failed\"", "reason=trap", "reason=timeout", "path=/trap", "stack=secret.wasm:frame", "panic: a bug"} {
		if !strings.Contains(logged.String(), want) {
			t.Errorf("the log has no %q:\n%s", want, logged.String())
		}
	}
}

// locked is a writer for several goroutines.
type locked struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

func TestQueue(t *testing.T) {
	g := newGuest()
	p := workertest.Listen(t)
	cfg := workertest.Config()
	cfg.Threads, cfg.QueueLimit = 1, 1
	w := workertest.Start(t, p, threaded.New, workertest.Options{Config: cfg, Guest: g.serve})
	// Connections come first: none is accepted while the slot is busy.
	conns := make([]*load.Conn, 3)
	for i := range conns {
		conns[i] = p.Dial(t)
		if _, err := conns[i].Do([]byte(workertest.Raw("/")), false); err != nil {
			t.Fatal(err)
		}
	}
	send := func(i int) {
		t.Helper()
		if err := conns[i].Send([]byte(workertest.Raw("/block"))); err != nil {
			t.Fatal(err)
		}
	}
	send(0)
	w.Busy(t, 1)
	send(1)
	workertest.WaitFor(t, "the queue", func() bool { return w.Board.Snapshot().Counters[scoreboard.Queued] == 1 })
	send(2)
	r, err := conns[2].Read(false)
	if err != nil || r.Status != 503 || r.Get("retry-after") != "1" || r.Close {
		t.Fatalf("over the limit: %+v %v", r, err)
	}
	if n := w.Served.Load(); n != 4 {
		t.Errorf("the guest was asked %d times, want 4", n)
	}
	close(g.release)
	for i := range 2 {
		if r, err := conns[i].Read(false); err != nil || r.Status != 200 {
			t.Errorf("connection %d: %+v %v", i, r, err)
		}
	}
	s := w.Board.Snapshot()
	if s.Counters[scoreboard.Refused] != 1 || s.Counters[scoreboard.Queued] != 0 {
		t.Errorf("counters %v", s.Counters)
	}
}

func TestWaitingTooLongForASlot(t *testing.T) {
	g := newGuest()
	p := workertest.Listen(t)
	cfg := workertest.Config()
	cfg.Threads, cfg.Timeout = 1, 100*time.Millisecond
	w := workertest.Start(t, p, threaded.New, workertest.Options{Config: cfg, Guest: g.serve})
	first, second := p.Dial(t), p.Dial(t)
	for _, c := range []*load.Conn{first, second} {
		if _, err := c.Do([]byte(workertest.Raw("/")), false); err != nil {
			t.Fatal(err)
		}
	}
	if err := first.Send([]byte(workertest.Raw("/stubborn"))); err != nil {
		t.Fatal(err)
	}
	w.Busy(t, 1)
	if r, err := second.Do([]byte(workertest.Raw("/")), false); err != nil || r.Status != 503 {
		t.Errorf("got %+v %v", r, err)
	}
	close(g.release)
	if r, err := first.Read(false); err != nil || r.Status != 200 {
		t.Errorf("a late but whole answer: %+v %v", r, err)
	}
}

func TestParkedConnectionsCostNoSlot(t *testing.T) {
	p := workertest.Listen(t)
	cfg := workertest.Config()
	cfg.Threads = 1
	w := workertest.Start(t, p, threaded.New, workertest.Options{Config: cfg, Guest: newGuest().serve})
	for range 20 {
		c := p.Dial(t)
		if r, err := c.Do([]byte(workertest.Raw("/")), false); err != nil || r.Close {
			t.Fatalf("got %+v %v", r, err)
		}
	}
	if n := w.Board.Snapshot().Counters[scoreboard.Connections]; n != 20 {
		t.Errorf("%d connections are open, want 20", n)
	}
	if r := p.Get(t, "/"); r.Status != 200 {
		t.Errorf("status %d", r.Status)
	}
}

func TestConnectionLimit(t *testing.T) {
	p := workertest.Listen(t)
	cfg := workertest.Config()
	cfg.WorkerConnections = 2
	w := workertest.Start(t, p, threaded.New, workertest.Options{Config: cfg, Guest: newGuest().serve})
	idle := p.Dial(t)
	if r, err := idle.Do([]byte(workertest.Raw("/")), false); err != nil || r.Close {
		t.Fatalf("got %+v %v", r, err)
	}
	// The second connection fills the worker, so its response is its last, and the third gets its place.
	for range 3 {
		if r := p.Get(t, "/"); r.Status != 200 || !r.Close {
			t.Errorf("got %+v", r)
		}
	}
	if n := w.Board.Snapshot().Counters[scoreboard.Connections]; n > 2 {
		t.Errorf("%d connections are open", n)
	}
}

func TestClientGoneInItsBody(t *testing.T) {
	var statuses sync.Map
	p := workertest.Listen(t)
	w := workertest.Start(t, p, threaded.New, workertest.Options{
		Config: workertest.Config(), Guest: newGuest().serve,
		Access: func(r *accesslog.Record) { statuses.Store(strings.Clone(r.Target), r.Status) },
	})
	c := p.Dial(t)
	if err := c.Send([]byte("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nabc")); err != nil {
		t.Fatal(err)
	}
	w.Busy(t, 1)
	if err := c.Conn.(*net.TCPConn).SetLinger(0); err != nil {
		t.Fatal(err)
	}
	c.Close()
	w.Busy(t, 0)
	workertest.WaitFor(t, "the access log", func() bool { _, ok := statuses.Load("/echo"); return ok })
	if s, _ := statuses.Load("/echo"); s != 400 {
		t.Errorf("logged with status %v", s)
	}
	if r := p.Get(t, "/"); r.Status != 200 {
		t.Errorf("status %d", r.Status)
	}
}

func TestForwardedScheme(t *testing.T) {
	p := workertest.Listen(t)
	workertest.Start(t, p, threaded.New, workertest.Options{Config: workertest.Config(), Guest: newGuest().serve})
	get := func(fields string) *load.Response {
		t.Helper()
		return p.Do(t, "GET / HTTP/1.1\r\nHost: a\r\n"+fields+"\r\n")
	}
	if r := get("X-Forwarded-Proto: https\r\n"); string(r.Body) != "hello https" {
		t.Errorf("got %d %q", r.Status, r.Body)
	}
	if r := get("X-Forwarded-Proto: http\r\nX-Forwarded-Ssl: on\r\n"); r.Status != 400 {
		t.Errorf("contradicting fields: %d", r.Status)
	}
}

func TestRetire(t *testing.T) {
	p := workertest.Listen(t)
	cfg := workertest.Config()
	cfg.MaxRequests = 3
	w := workertest.Start(t, p, threaded.New, workertest.Options{Config: cfg, Guest: newGuest().serve})
	for i := range 5 {
		if r := p.Get(t, "/"); r.Status != 200 {
			t.Fatalf("request %d: %d", i, r.Status)
		}
		if i == 1 && w.Retired.Load() != 0 {
			t.Error("retired too early")
		}
	}
	workertest.WaitFor(t, "retirement", func() bool { return w.Retired.Load() == 1 })
}
