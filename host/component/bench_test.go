package component

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/host/engine"
)

// null takes a response and keeps nothing.
type null struct{}

func (null) WriteHead(int, exchange.Fields, int64) error { return nil }
func (null) Write(p []byte) (int, error)                 { return len(p), nil }
func (null) Flush() error                                { return nil }
func (null) Close(exchange.Fields) error                 { return nil }
func (null) Abort()                                      {}

func BenchmarkHello(b *testing.B) {
	for _, isolation := range []engine.Isolation{engine.IsolationShared, engine.IsolationReset, engine.IsolationFresh} {
		b.Run(string(isolation), func(b *testing.B) {
			s := load(b, testdata(b, "hello"), engine.Options{}, Options{Isolation: isolation})
			serve(b, s)
		})
	}
}

// serve benchmarks GET requests.
func serve(b *testing.B, s *server) {
	b.Helper()
	b.ReportAllocs()
	x := &exchange.Exchange{Request: exchange.Request{
		Method: "GET", Target: "/", Proto: "HTTP/1.1", Scheme: "http", Host: "localhost", Body: null{}, ID: "1",
	}}
	ctx := context.Background()
	before := cpu()
	for b.Loop() {
		x.Response.Reset(null{}, "GET")
		if err := s.Serve(ctx, x); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(cpu()-before)/float64(b.N), "cpu-ns/op")
}

// cpu returns the CPU time that the process has used, which other processes disturb less than the time of day.
func cpu() time.Duration {
	var u unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func (null) Read([]byte) (int, error) { return 0, context.Canceled }

// BenchmarkFile serves GET /x with the component that $COMPONENT names; its code is kept in $COMPONENT_CACHE.
func BenchmarkFile(b *testing.B) {
	wasm, err := os.ReadFile(os.Getenv("COMPONENT"))
	if err != nil {
		b.Skip("COMPONENT names no component")
	}
	for _, isolation := range []engine.Isolation{engine.IsolationShared, engine.IsolationReset, engine.IsolationFresh} {
		b.Run(string(isolation), func(b *testing.B) {
			s := load(b, wasm, engine.Options{CacheDir: os.Getenv("COMPONENT_CACHE")}, Options{Isolation: isolation})
			if a := s.ask(b.Context(), "GET", "/x", ""); a.err != nil {
				b.Fatal(a)
			} else {
				b.Logf("%.100s", a)
			}
			serve(b, s)
		})
	}
}

// BenchmarkLoad loads the component that $COMPONENT names with its code from $COMPONENT_CACHE, as each worker but the first does.
func BenchmarkLoad(b *testing.B) {
	wasm, err := os.ReadFile(os.Getenv("COMPONENT"))
	if err != nil {
		b.Skip("COMPONENT names no component")
	}
	ctx := context.Background()
	before := cpu()
	for b.Loop() {
		eng, err := engine.New(ctx, engine.Options{CacheDir: os.Getenv("COMPONENT_CACHE"), Interrupt: engine.InterruptFuel, Reset: true})
		if err != nil {
			b.Fatal(err)
		}
		o := Options{Isolation: engine.IsolationReset}
		c, err := Load(ctx, eng, wasm, o)
		if err != nil {
			b.Fatal(err)
		}
		g, err := New(ctx, c, o)
		if err := errors.Join(err, g.Close(), c.Close(ctx), eng.Close(ctx)); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64((cpu()-before).Milliseconds())/float64(b.N), "cpu-ms/op")
}
