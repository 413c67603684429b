package httpwasm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/host/engine"
	"github.com/appserver-go/appserver/internal/fault"
)

func TestLoadFailures(t *testing.T) {
	l := newLab(t, engine.Options{Interrupt: engine.InterruptFuel})
	tests := []struct {
		module   string
		script   *script
		timeout  time.Duration
		contains []string
		hint     string
	}{
		{"badexports", nil, time.Minute, []string{
			"handle_request is", "and not ()->(i64)", "does not export a function handle_response (i32,i32)->()",
		}, "guest.protocol"},
		{"noabi", nil, time.Minute, []string{"handle_request", "handle_response"}, "guest.protocol"},
		{"badimport", nil, time.Minute, []string{"missing_function", "missing_too"}, "build the guest"},
		{"trapstart", nil, time.Minute, []string{"_start", "unreachable", "(in "}, "guest.config"},
		{"startexit", nil, time.Minute, []string{"exited with code 7", "_start"}, "guest.env"},
		{"loopstart", nil, 50 * time.Millisecond, []string{"_start", "in time"}, "boot_timeout"},
		{"driver", &script{start: []op{call("trap")}}, time.Minute, []string{"failed in _initialize", "unreachable", "called by"}, "guest.config"},
		{"driver", &script{start: []op{call("exit", 0)}}, time.Minute, []string{"exited with code 0"}, "guest.protocol cgi"},
		{"driver", &script{start: []op{call("print", 2, "panic: \x1bboom"), call("exit", 2)}}, time.Minute, []string{"exited with code 2", `saying "panic: \x1bboom"`}, "guest.args"},
		{"driver", &script{start: []op{call("get_method", memFree, 9)}}, time.Minute, []string{"before there was one"}, "guest.config"},
		{"driver", &script{start: []op{call("set_header_value", 1, "a", "b")}}, time.Minute, []string{"before there was one"}, "guest.config"},
		{"driver", &script{start: []op{call("write_body", 1, "b")}}, time.Minute, []string{"before there was one"}, "guest.config"},
		{"driver", &script{start: []op{call("read_body", 0, memFree, 9)}}, time.Minute, []string{"before there was one"}, "guest.config"},
		{"driver", &script{start: []op{call("set_status_code", 200)}}, time.Minute, []string{"before there was one"}, "guest.config"},
	}
	for _, tt := range tests {
		t.Run(tt.module, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), tt.timeout)
			defer cancel()
			var o Options
			if tt.script != nil {
				o.Config = tt.script.encode()
			}
			g, err := New(ctx, l.engine, l.module(tt.module), o)
			if err == nil {
				_ = g.Close()
				t.Fatal("the module was loaded")
			}
			for _, want := range tt.contains {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not contain %q", err, want)
				}
			}
			if strings.ContainsAny(err.Error(), "\n\x1b") {
				t.Errorf("error %q has control characters", err)
			}
			if hint := fault.Hint(err); fault.Code(err) != fault.LoadFailed || !strings.Contains(hint, tt.hint) {
				t.Errorf("code %d, hint %q", fault.Code(err), hint)
			}
		})
	}
	if n := l.engine.Stats().Instances; n != 0 {
		t.Errorf("%d instances are left over", n)
	}
}

// TestSharedHostModule loads guests one after the other into an engine: the second must not take the host functions
// away from the first.
func TestSharedHostModule(t *testing.T) {
	l := newLab(t, engine.Options{})
	end := l.drive(t, script{request: []op{call("write_body", 1, "the end")}}, Options{})
	first := l.drive(t, script{next: 1}, Options{Next: l.drive(t, script{request: []op{call("set_header_value", 1, "x-second", "1")}, next: 1}, Options{Next: end})})
	for range 3 {
		x, s := newExchange("GET", "/", "")
		mustServe(t, first, x)
		if s.body.String() != "the end" || !s.fields.Has("x-second") {
			t.Errorf("have %q %v", s.body.String(), s.fields)
		}
	}
}

// TestNestedBuffering has two guests in a chain that both buffer the response.
func TestNestedBuffering(t *testing.T) {
	l := newLab(t, engine.Options{})
	buffering := func(ops ...op) script {
		return script{start: []op{call("enable_features", 3)}, response: ops, next: 1}
	}
	inner := l.drive(t, buffering(call("write_body", 1, "inner")), Options{Next: big(5 * exchange.BufferSize)})
	outer := l.drive(t, buffering(call("read_body", 1, memFree, 9), call("set_status_code", 201)), Options{Next: inner})
	x, s := newExchange("GET", "/", "")
	mustServe(t, outer, x)
	if s.status != 201 || s.body.String() != "inner" || s.length != 5 || text(t, outer, memFree, 6) != "inner\x00" {
		t.Errorf("status %d, body %q, length %d", s.status, s.body.String(), s.length)
	}
}

// TestTrapThenGoodRequests is the acceptance test of the pool: an instance that trapped is never used again.
func TestTrapThenGoodRequests(t *testing.T) {
	for _, interrupt := range []engine.Interrupt{engine.InterruptOff, engine.InterruptClose, engine.InterruptFuel} {
		l := newLab(t, engine.Options{Interrupt: interrupt, MemoryLimit: 4 << 20})
		g := l.load(t, "hostile", Options{Instances: 2})
		for _, bad := range []struct {
			target string
			status int
			reason exchange.Reason
		}{{"/trap", 500, exchange.Trapped}, {"/exit", 500, exchange.Exited}, {"/recurse", 500, exchange.Trapped}, {"/grow", 500, exchange.Trapped}} {
			x, s := newExchange("GET", bad.target, "")
			f := exchange.AsFailure(serve(t.Context(), g, x))
			if f.Status != bad.status || f.Reason != bad.reason || s.status != bad.status {
				t.Fatalf("%s: have %+v, status %d", bad.target, f, s.status)
			}
			if bad.target == "/trap" && !strings.Contains(f.Stack, "handle_request") {
				t.Errorf("stack %q", f.Stack)
			}
		}
		for i := range 1000 {
			x, s := newExchange("GET", "/", "")
			mustServe(t, g, x)
			if s.status != 200 || s.body.String() != "ok" && s.body.String() != "ok\n" {
				t.Fatalf("request %d: %d %q", i, s.status, s.body.String())
			}
		}
		if n := l.engine.Stats().Instances; n != 1 {
			t.Errorf("%d instances are live, want 1", n)
		}
	}
}

func TestExitIsAFailure(t *testing.T) {
	l := newLab(t, engine.Options{})
	for code := range 2 {
		for _, s := range []script{{request: []op{call("exit", code)}}, {response: []op{call("exit", code)}, next: 1}} {
			g := l.drive(t, s, Options{Next: exchange.HandlerFunc(ok)})
			x, _ := newExchange("GET", "/", "")
			f := exchange.AsFailure(serve(t.Context(), g, x))
			if f.Status != 500 || f.Reason != exchange.Exited || !strings.Contains(f.Error(), fmt.Sprintf("code %d", code)) {
				t.Errorf("code %d: have %+v", code, f)
			}
		}
	}
}

func TestDeadline(t *testing.T) {
	for _, way := range []engine.Interrupt{engine.InterruptFuel, engine.InterruptClose} {
		testDeadline(t, newLab(t, engine.Options{Interrupt: way}))
	}
}

func testDeadline(t *testing.T, l *lab) {
	for _, s := range []script{
		{request: []op{call("spin")}},
		{response: []op{call("spin")}, next: 1},
	} {
		g := l.drive(t, s, Options{Instances: 1, Next: exchange.HandlerFunc(ok)})
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		x, _ := newExchange("GET", "/", "")
		f := exchange.AsFailure(serve(ctx, g, x))
		cancel()
		if f.Status != 504 || f.Reason != exchange.TimedOut || !strings.Contains(f.Stack, "spin") {
			t.Errorf("have %+v", f)
		}
	}
}

func TestCancel(t *testing.T) {
	l := newLab(t, engine.Options{Interrupt: engine.InterruptFuel})
	g := l.drive(t, script{request: []op{call("read_body", 0, memFree, 1), call("spin")}}, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	x, _ := newExchange("POST", "/", "")
	x.Request.Body = readFunc(func(p []byte) (int, error) { cancel(); p[0] = 'x'; return 1, nil })
	f := exchange.AsFailure(serve(ctx, g, x))
	if f.Status != 503 || f.Reason != exchange.Canceled {
		t.Errorf("have %+v", f)
	}
}

type readFunc func(p []byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

// TestContextEndsInNext checks that a client which leaves while the next handler works does not cost an instance: its
// guest still learns the end of the request. When the time is over, it does not, and so is not used again.
func TestContextEndsInNext(t *testing.T) {
	for _, tt := range []struct {
		name   string
		cancel bool
		calls  uint32
		reason exchange.Reason
	}{{"canceled", true, 1, exchange.Canceled}, {"deadline", false, 0, exchange.TimedOut}} {
		t.Run(tt.name, func(t *testing.T) {
			l := newLab(t, engine.Options{Interrupt: engine.InterruptFuel})
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			if !tt.cancel {
				ctx, cancel = context.WithTimeout(t.Context(), 20*time.Millisecond)
			}
			defer cancel()
			g := l.drive(t, script{next: 9<<32 | 1}, Options{Instances: 1, Next: exchange.HandlerFunc(func(ctx context.Context, _ *exchange.Exchange) error {
				if tt.cancel {
					cancel()
				}
				<-ctx.Done()
				return exchange.Fail(503, tt.reason, "next: %w", ctx.Err())
			})})
			x, _ := newExchange("GET", "/", "")
			if f := exchange.AsFailure(serve(ctx, g, x)); f.Reason != tt.reason {
				t.Errorf("have %+v", f)
			}
			peek(t, g, func(in *instance) {
				if n, _ := in.memory.ReadUint32Le(memCalls); n != tt.calls {
					t.Errorf("handle_response was called %d times in the instance left, want %d", n, tt.calls)
				}
			})
		})
	}
}

func TestWaitForInstance(t *testing.T) {
	l := newLab(t, engine.Options{})
	g := l.drive(t, script{}, Options{Instances: 1})
	in, err := g.pool.Get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		ctx    func() (context.Context, context.CancelFunc)
		status int
		reason exchange.Reason
	}{
		{func() (context.Context, context.CancelFunc) { return context.WithTimeout(t.Context(), 0) }, 504, exchange.TimedOut},
		{func() (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			return ctx, cancel
		}, 503, exchange.Canceled},
	} {
		ctx, cancel := tt.ctx()
		x, _ := newExchange("GET", "/", "")
		f := exchange.AsFailure(g.Serve(ctx, x))
		cancel()
		if f.Status != tt.status || f.Reason != tt.reason {
			t.Errorf("have %+v", f)
		}
	}
	g.pool.Put(in)
	if err := errors.Join(g.Close(), g.Close()); err != nil {
		t.Error(err)
	}
	x, _ := newExchange("GET", "/", "")
	if f := exchange.AsFailure(g.Serve(t.Context(), x)); f.Status != 503 || f.Reason != exchange.Canceled {
		t.Errorf("after Close: %+v", f)
	}
}

// TestNoMemoryForInstance has a budget for one instance and a half.
func TestNoMemoryForInstance(t *testing.T) {
	l := newLab(t, engine.Options{MemoryBudget: 12 * 64 << 10})
	g := l.drive(t, script{}, Options{Instances: 2})
	in, err := g.pool.Get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	x, _ := newExchange("GET", "/", "")
	if f := exchange.AsFailure(g.Serve(t.Context(), x)); f.Status != 503 || f.Reason != exchange.Overloaded {
		t.Errorf("have %+v", f)
	}
	g.pool.Put(in)
	x, _ = newExchange("GET", "/", "")
	mustServe(t, g, x)
}

func TestFeatureScope(t *testing.T) {
	l := newLab(t, engine.Options{})
	names := call("get_header_names", 2, memFree, 9)
	g := l.drive(t, script{start: []op{call("enable_features", 0xff00)}, request: []op{names, call("enable_features", 4), names}}, Options{Instances: 1})
	for range 2 {
		x, _ := newExchange("GET", "/", "")
		x.Request.Trailers.Add("X-T", "1")
		mustServe(t, g, x)
	}
	const have = 1<<32 | 4
	if log := results(t, g); fmt.Sprint(log) != fmt.Sprint([]uint64{7, 0, 7, have, 0, 7, have}) {
		t.Errorf("log %#x: the feature must last for one request", log)
	}
}

// logged collects what a guest logs.
type logged struct {
	mu    sync.Mutex
	lines []string
}

func (l *logged) log(_ context.Context, level slog.Level, line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, level.String()+" "+line)
}

func TestLog(t *testing.T) {
	l := newLab(t, engine.Options{})
	var levels []op
	for level := -2; level <= 4; level++ {
		levels = append(levels, call("log_enabled", level))
	}
	ops := append(levels,
		call("log", 0, "info\nline"), call("log", 1, "warn"), call("log", 2, "error"), call("log", -1, "debug"),
		call("log", 3, "none"), call("log", 0, ""), call("log", 0, memEnd, 9), call("log", 1, memFree, 9000),
		call("print", 1, "out\npart"), call("print", 2, "err\n"))
	var got logged
	g := l.drive(t, script{start: []op{call("log", 0, "start")}, request: ops}, Options{
		Log: slog.New(slog.NewTextHandler(discard{}, nil)), GuestLog: got.log,
	})
	x, _ := newExchange("GET", "/", "")
	mustServe(t, g, x)
	if log := results(t, g)[1:8]; fmt.Sprint(log) != "[0 0 1 1 1 0 0]" {
		t.Errorf("log_enabled from -2 to 4 is %v", log)
	}
	want := []string{
		"INFO start", "INFO info\nline", "WARN warn", "ERROR error", "INFO ", "WARN " + strings.Repeat("\x00", maxLogLine),
		"INFO out", "WARN err", "INFO part",
	}
	if fmt.Sprint(got.lines) != fmt.Sprint(want) {
		t.Errorf("logged %.300q\nwant %.300q", got.lines, want)
	}
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

func TestLogDefaults(t *testing.T) {
	l := newLab(t, engine.Options{})
	var out strings.Builder
	g := l.drive(t, script{request: []op{call("log", 0, "a\nforged")}}, Options{Log: slog.New(slog.NewTextHandler(&out, nil))})
	x, _ := newExchange("GET", "/", "")
	mustServe(t, g, x)
	if !strings.Contains(out.String(), `msg=guest text="a\nforged"`) {
		t.Errorf("logged %q", out.String())
	}
	g = l.drive(t, script{request: []op{call("log", 0, "a"), call("log_enabled", 0)}}, Options{})
	x, _ = newExchange("GET", "/", "")
	mustServe(t, g, x)
	if log := results(t, g); log[1] != 0 {
		t.Error("log_enabled is true without a logger")
	}
}

// TestHammer serves many requests at a time, good and bad, over few instances.
func TestHammer(t *testing.T) {
	l := newLab(t, engine.Options{Interrupt: engine.InterruptFuel})
	end := l.load(t, "hostile", Options{Instances: 3})
	g := l.drive(t, script{start: []op{call("enable_features", 3)}, request: []op{call("enable_features", 7)}, next: 1}, Options{Instances: 4, Next: end})
	var bad, good atomic.Int64
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			for j := range 50 {
				target := "/"
				if (i+j)%10 == 0 {
					target = []string{"/trap", "/exit"}[j%2]
				}
				x, s := newExchange("POST", target, "body")
				err := serve(context.Background(), g, x)
				switch {
				case target == "/" && err == nil && s.status == 200:
					good.Add(1)
				case target != "/" && s.status == 500:
					bad.Add(1)
				default:
					t.Errorf("%s: %v, status %d", target, err, s.status)
				}
			}
		})
	}
	wg.Wait()
	if good.Load() != 720 || bad.Load() != 80 {
		t.Errorf("%d good, %d bad", good.Load(), bad.Load())
	}
}
