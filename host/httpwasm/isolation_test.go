package httpwasm

import (
	"bytes"
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

	"golang.org/x/sys/unix"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/host/engine"
)

// resetLab is a lab whose instances are reset, and verified after it.
func resetLab(t *testing.T) *lab {
	return newLab(t, engine.Options{Interrupt: engine.InterruptFuel, Reset: true, VerifyReset: true, MemoryLimit: 64 << 20})
}

// TestIsolation counts in the guest's memory: the driver logs what its operations return.
func TestIsolation(t *testing.T) {
	for isolation, want := range map[Isolation]int{IsolationReset: 0, IsolationShared: 3, IsolationFresh: 0, "": 3} {
		t.Run("isolation "+string(isolation), func(t *testing.T) {
			g := resetLab(t).drive(t, script{request: []op{call("get_method", memFree, 10)}}, Options{Isolation: isolation, Instances: 1})
			for range 3 {
				x, _ := newExchange("GET", "/", "")
				mustServe(t, g, x)
			}
			if got := len(results(t, g)); got != want {
				t.Errorf("the instance remembers %d requests, want %d", got, want)
			}
		})
	}
}

// TestResetAfterFailure lets requests fail in every way: the pool keeps its only instance, which does not remember.
func TestResetAfterFailure(t *testing.T) {
	l := resetLab(t)
	for _, bad := range []struct {
		op     op
		status int
	}{{call("trap"), 500}, {call("exit", 3), 500}, {call("spin"), 504}, {call("get_method", -1, 100), 500}} {
		g := l.drive(t, script{request: []op{call("get_uri", memFree, 10), bad.op}}, Options{Isolation: IsolationReset, Instances: 1})
		var first *engine.Instance
		peek(t, g, func(in *instance) { first = in.engine })
		for range 5 {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			if bad.status == 504 {
				ctx, cancel = context.WithTimeout(t.Context(), 20*time.Millisecond)
			}
			x, _ := newExchange("GET", "/", "")
			f := exchange.AsFailure(serve(ctx, g, x))
			cancel()
			if f.Status != bad.status || f.Stack == "" {
				t.Errorf("%s: %+v", bad.op.name, f)
			}
			if n := len(results(t, g)); n != 0 {
				t.Errorf("after %s the instance remembers %d results", bad.op.name, n)
			}
			peek(t, g, func(in *instance) {
				if in.engine != first || in.engine.Broken() || in.memory.Size() != uint32(g.image.Size()) {
					t.Errorf("after %s: kept %v, broken %v, %d bytes", bad.op.name, in.engine == first, in.engine.Broken(), in.memory.Size())
				}
			})
		}
	}
}

// TestResetConcurrently serves from several instances of one image at once.
func TestResetConcurrently(t *testing.T) {
	g := resetLab(t).load(t, "echo", Options{Isolation: IsolationReset, Instances: 4})
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			for n := range 50 {
				body := strings.Repeat(fmt.Sprintf("%d-%d ", worker, n), 1+n*100)
				x, s := newExchange("POST", "/", body)
				if err := serve(t.Context(), g, x); err != nil || s.body.String() != body {
					t.Errorf("%d bytes of %d, %v", s.body.Len(), len(body), err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// TestFallbackToFresh loads a guest that changes its table, which a reset would not undo.
func TestFallbackToFresh(t *testing.T) {
	var log bytes.Buffer
	l := resetLab(t)
	g := l.load(t, "hostile", Options{Isolation: IsolationReset, Log: slog.New(slog.NewTextHandler(&log, nil))})
	if g.isolation != IsolationFresh || !strings.Contains(log.String(), "tables can change") || !strings.Contains(log.String(), "level=WARN") {
		t.Errorf("isolation %s, log %q", g.isolation, log.String())
	}
	for range 2 {
		x, _ := newExchange("GET", "/", "")
		mustServe(t, g, x)
	}
}

func TestWarmup(t *testing.T) {
	l := resetLab(t)
	g := l.drive(t, script{request: []op{call("get_method", memFree, 10), call("write_body", 1, "x")}}, Options{Isolation: IsolationReset, Warmup: []string{"/a", "/b"}})
	if got := len(results(t, g)); got != 3*2-2 {
		t.Errorf("the image has %d results of warm-up requests", got)
	}
	_, err := New(t.Context(), l.engine, l.module("driver"), Options{
		Isolation: IsolationReset, Warmup: []string{"/bad"}, Config: script{request: []op{call("trap")}}.encode(),
	})
	if err == nil || !strings.Contains(err.Error(), `warm-up request for "/bad"`) {
		t.Errorf("a guest that fails at its warm-up: %v", err)
	}
	var failure *exchange.Failure
	if !errors.As(err, &failure) {
		t.Errorf("%v does not say how it failed", err)
	}
}

// TestResetWithDirectory keeps the instance of a guest that could have opened files and did not.
func TestResetWithDirectory(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "f"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	g := resetLab(t).load(t, "hello", Options{Isolation: IsolationReset, Instances: 1, Dirs: []engine.Dir{{Host: dir, Guest: "/"}}})
	var first, second *instance
	peek(t, g, func(in *instance) { first = in })
	x, _ := newExchange("GET", "/", "")
	mustServe(t, g, x)
	peek(t, g, func(in *instance) { second = in })
	if first != second {
		t.Error("the instance was not kept")
	}
}

// TestMaxRequests replaces instances after so many requests, whatever a request finds in them.
func TestMaxRequests(t *testing.T) {
	for _, isolation := range []Isolation{IsolationShared, IsolationReset} {
		g := resetLab(t).drive(t, script{request: []op{call("get_method", memFree, 10)}}, Options{Isolation: isolation, Instances: 1, MaxRequests: 3})
		var instances []*engine.Instance
		for range 7 {
			peek(t, g, func(in *instance) { instances = append(instances, in.engine) })
			x, _ := newExchange("GET", "/", "")
			mustServe(t, g, x)
		}
		for n, i := range instances[1:] {
			if replaced := i != instances[n]; replaced != (n%3 == 2) {
				t.Errorf("%s: after %d requests the instance was replaced: %v", isolation, n+1, replaced)
			}
		}
	}
}

// TestInheritImage has a second engine go on from the start of a guest in the first. What does not fit is not used, with a
// warning.
func TestInheritImage(t *testing.T) {
	var shared *os.File
	siblings := engine.Siblings{
		Inherit: func(string) *os.File { return shared },
		Offer: func(_ string, f *os.File) {
			fd, err := unix.Dup(int(f.Fd()))
			if err != nil {
				t.Error(err)
			}
			shared = os.NewFile(uintptr(fd), "image")
			t.Cleanup(func() { shared.Close() })
		},
	}
	for n, c := range []struct{ salt, log string }{
		{"a", ""}, {"a", "goes on from another worker's start"}, {"b", "level=WARN"}, {"b", "goes on from another worker's start"},
	} {
		var log bytes.Buffer
		l := newLab(t, engine.Options{
			Interrupt: engine.InterruptFuel, Reset: true, VerifyReset: true, Salt: []byte(c.salt), Siblings: siblings,
		})
		g := l.load(t, "hello", Options{
			Isolation: IsolationReset, Warmup: []string{"/"},
			Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		})
		for range 3 {
			x, s := newExchange("GET", "/", "")
			if mustServe(t, g, x); !strings.Contains(s.body.String(), "Hello") {
				t.Errorf("engine %d answers %q", n, s.body.String())
			}
		}
		if got := log.String(); !strings.Contains(got, c.log) || c.log == "" && got != "" {
			t.Errorf("engine %d: the log has %q, want %q", n, got, c.log)
		}
	}
}
