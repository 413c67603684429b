package component

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/host/engine"
	"github.com/appserver-go/appserver/internal/fault"
)

// testdata reads one of the committed components.
func testdata(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "testdata", "wasm", "component", name+".wasm"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// server is a guest with its engine.
type server struct {
	*Guest
	engine *engine.Engine

	mu    sync.Mutex
	lines []string // what the guest printed
}

// load starts a guest; what it holds is released at the end of the test.
func load(t testing.TB, wasm []byte, eo engine.Options, o Options) *server {
	t.Helper()
	ctx := context.Background()
	if eo.Interrupt == "" {
		eo.Interrupt = engine.InterruptFuel
	}
	eo.Reset = o.Isolation != engine.IsolationShared
	eng, err := engine.New(ctx, eo)
	if err != nil {
		t.Fatal(err)
	}
	s := &server{engine: eng}
	o.GuestLog = func(_ context.Context, level slog.Level, line string) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.lines = append(s.lines, level.String()+" "+line)
	}
	c, err := Load(ctx, eng, wasm, o)
	if err != nil {
		t.Fatal(err)
	}
	if s.Guest, err = New(ctx, c, o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(s.Close(), c.Close(ctx), eng.Close(ctx)); err != nil {
			t.Error(err)
		}
		if st := eng.Stats(); st.Instances != 0 || st.MemoryBytes != 0 {
			t.Errorf("left over: %+v", st)
		}
	})
	return s
}

// answer is what a client got.
type answer struct {
	status   int
	fields   exchange.Fields
	trailers exchange.Fields
	body     strings.Builder
	flushed  []string // the body at each flush
	closed   bool
	aborted  bool
	err      error // of Serve
}

func (a *answer) WriteHead(status int, fields exchange.Fields, _ int64) error {
	a.status, a.fields = status, append(exchange.Fields(nil), fields...)
	return nil
}
func (a *answer) Write(p []byte) (int, error) { return a.body.Write(p) }
func (a *answer) Flush() error                { a.flushed = append(a.flushed, a.body.String()); return nil }

func (a *answer) Close(t exchange.Fields) error {
	a.closed, a.trailers = true, append(exchange.Fields(nil), t...)
	return nil
}
func (a *answer) Abort() { a.aborted = true }

// ask serves a request as a worker does.
func (s *server) ask(ctx context.Context, method, target, body string, fields ...exchange.Field) *answer {
	a := &answer{}
	x := &exchange.Exchange{Request: exchange.Request{
		Method: method, Target: target, Proto: "HTTP/1.1", Scheme: "http", Host: "example.com", Fields: fields,
		Body: strings.NewReader(body), ContentLength: int64(len(body)), ID: "1",
	}}
	x.Response.Reset(a, method)
	a.err = s.Serve(ctx, x)
	if a.err == nil {
		a.err = x.Response.Finish()
	}
	if a.err != nil {
		if f := exchange.AsFailure(a.err); x.Response.Replace(f.Status, "text/plain", string(f.Reason)) {
			_ = x.Response.Finish()
		} else {
			x.Response.Abort()
		}
	}
	return a
}

func (a *answer) String() string {
	return fmt.Sprintf("%d %q %v", a.status, a.body.String(), a.err)
}

func TestHello(t *testing.T) {
	s := load(t, testdata(t, "hello"), engine.Options{}, Options{Isolation: engine.IsolationReset})
	for range 3 {
		a := s.ask(t.Context(), "GET", "/", "")
		if a.err != nil || a.status != 200 || a.body.String() != "Hello from a component!\n" || a.fields.Get("Content-Type") != "text/plain" {
			t.Fatal(a)
		}
	}
	if s.Isolation() != engine.IsolationReset {
		t.Errorf("isolation is %s", s.Isolation())
	}
}

// TestPaths tries everything that the probe does, twice and in turn, so that what one leaves would disturb the next.
func TestPaths(t *testing.T) {
	tests := []struct {
		target, body string
		status       int
		want         string // of the body
		err          string
	}{
		{target: "/count", status: 200, want: "1\n"},
		{target: "/echo", body: strings.Repeat("echo", 5000), status: 200, want: strings.Repeat("echo", 5000)},
		{target: "/echo", status: 200},
		{target: "/request", status: 200, want: "0 example.com one two immutable\n"},
		{target: "/refused", status: 200, want: "1100"},
		{target: "/trap", status: 500, err: "unreachable"},
		{target: "/exit", status: 500, err: "exited with code 1"},
		{target: "/late", status: 200, want: "whole\n", err: "unreachable"},
		{target: "/cut", status: 500, err: "unreachable"},
		{target: "/unfinished", status: 502, err: "did not finish"},
		{target: "/big", status: 200, want: strings.Repeat("\x00", 1<<20)},
		{target: "/status", status: 502, err: "status 101"},
		{target: "/none", status: 500, err: "without a response"},
		{target: "/error", status: 403, err: "HTTP-request-denied"},
		{target: "/print", status: 200, want: "ok\n"},
		{target: "/handle", status: 500, err: "unknown handle index"},
		{target: "/double", status: 200, want: "one\n", err: "unknown handle index"},
		{target: "/busy", status: 500, err: "4097 bytes"},
		{target: "/leak", status: 500, err: "handles"},
		{target: "/other", status: 200, want: "Hello from a component!\n"},
	}
	for _, isolation := range []engine.Isolation{engine.IsolationReset, engine.IsolationFresh} {
		t.Run(string(isolation), func(t *testing.T) {
			s := load(t, testdata(t, "probe"), engine.Options{VerifyReset: true}, Options{Isolation: isolation})
			for range 2 {
				for _, tt := range tests {
					a := s.ask(t.Context(), "GET", tt.target, tt.body, exchange.Field{Name: "X-Test", Value: "one"}, exchange.Field{Name: "x-test", Value: "two"})
					if a.status != tt.status || (a.err == nil) != (tt.err == "") || a.err != nil && !strings.Contains(a.err.Error(), tt.err) ||
						tt.status == 200 && a.body.String() != tt.want {
						t.Errorf("%s: %.300s", tt.target, a)
					}
				}
			}
			if len(s.lines) != 2 || s.lines[0] != "WARN printed" {
				t.Errorf("the guest printed %q", s.lines)
			}
		})
	}
}

func TestShared(t *testing.T) {
	s := load(t, testdata(t, "probe"), engine.Options{}, Options{Isolation: engine.IsolationShared})
	for n := 1; n <= 3; n++ {
		if a := s.ask(t.Context(), "GET", "/count", ""); a.body.String() != fmt.Sprintf("%d\n", n) {
			t.Errorf("request %d: %s", n, a)
		}
	}
	s.ask(t.Context(), "GET", "/trap", "")
	if a := s.ask(t.Context(), "GET", "/count", ""); a.body.String() != "1\n" {
		t.Errorf("after a trap: %s", a)
	}
}

func TestTrailers(t *testing.T) {
	s := load(t, testdata(t, "probe"), engine.Options{}, Options{Isolation: engine.IsolationReset})
	a := s.ask(t.Context(), "GET", "/trailers", "")
	if a.err != nil || a.trailers.Get("x-sum") != "42" || a.body.String() != "body\n" {
		t.Errorf("%s, trailers %v", a, a.trailers)
	}
}

// TestFlush sees that what was written is passed on before the guest waits.
func TestFlush(t *testing.T) {
	s := load(t, testdata(t, "probe"), engine.Options{}, Options{Isolation: engine.IsolationReset})
	a := s.ask(t.Context(), "GET", "/pause", "")
	if a.err != nil || len(a.flushed) != 1 || a.flushed[0] != "one\n" || a.body.String() != "one\ntwo\n" {
		t.Errorf("%s, flushed %q", a, a.flushed)
	}
	if a := s.ask(t.Context(), "GET", "/", ""); len(a.flushed) != 0 {
		t.Errorf("a small response was flushed: %q", a.flushed)
	}
}

// TestInterrupt stops guests that loop and that wait, and serves afterwards.
func TestInterrupt(t *testing.T) {
	for _, how := range []engine.Interrupt{engine.InterruptFuel, engine.InterruptClose} {
		s := load(t, testdata(t, "probe"), engine.Options{VerifyReset: true, Interrupt: how}, Options{Isolation: engine.IsolationReset})
		for _, target := range []string{"/spin", "/sleep", "/spin", "/sleep"} {
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			a := s.ask(ctx, "GET", target, "")
			cancel()
			f := exchange.AsFailure(a.err)
			if a.status != 504 || f.Reason != exchange.TimedOut {
				t.Errorf("%s, %s: %s", how, target, a)
			}
			if target == "/spin" && !strings.Contains(f.Stack, "(i32,i32)") {
				t.Errorf("%s: the stack is %q", how, f.Stack)
			}
			if a := s.ask(t.Context(), "GET", "/count", ""); a.body.String() != "1\n" {
				t.Errorf("%s, after %s: %s", how, target, a)
			}
		}
	}
}

// TestMemoryLimits starts guests that may not have the memory they need, alone and with others.
func TestMemoryLimits(t *testing.T) {
	for _, eo := range []engine.Options{{MemoryLimit: 1 << 16}, {MemoryBudget: 1 << 16}} {
		eo.Reset = true
		eng, err := engine.New(t.Context(), eo)
		if err != nil {
			t.Fatal(err)
		}
		defer eng.Close(t.Context())
		c, err := Load(t.Context(), eng, testdata(t, "probe"), Options{})
		if err == nil {
			_, err = New(t.Context(), c, Options{})
		}
		if err == nil || !strings.Contains(err.Error(), "memory") || fault.Code(err) != fault.LoadFailed || fault.Hint(err) == "" {
			t.Errorf("%+v: %v, hint %q", eo, err, fault.Hint(err))
		}
	}
}

// TestParallel serves many requests at once with a few instances.
func TestParallel(t *testing.T) {
	s := load(t, testdata(t, "probe"), engine.Options{VerifyReset: true}, Options{Isolation: engine.IsolationReset, Instances: 4})
	var wg sync.WaitGroup
	for n := range 16 {
		wg.Go(func() {
			body := strings.Repeat(fmt.Sprint(n, ","), 1000)
			for range 20 {
				if a := s.ask(t.Context(), "POST", "/echo", body); a.body.String() != body || a.err != nil {
					t.Errorf("%.200s", a)
				}
			}
		})
	}
	wg.Wait()
	if n := s.engine.Stats().Instances; n > 4 {
		t.Errorf("%d instances", n)
	}
}
