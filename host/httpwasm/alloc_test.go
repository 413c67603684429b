package httpwasm

import (
	"context"
	"os"
	"testing"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/host/engine"
)

// nullSink takes a response and keeps nothing.
type nullSink struct{}

func (nullSink) WriteHead(int, exchange.Fields, int64) error { return nil }
func (nullSink) Write(p []byte) (int, error)                 { return len(p), nil }
func (nullSink) Flush() error                                { return nil }
func (nullSink) Close(exchange.Fields) error                 { return nil }
func (nullSink) Abort()                                      {}

// helloBudget is how many allocations a hello request may cost in the steady state.
const helloBudget = 0

func TestHelloAllocations(t *testing.T) {
	l := newLab(t, engine.Options{})
	g := l.load(t, "hello", Options{})
	x, s := newExchange("GET", "/", "")
	mustServe(t, g, x)
	if s.body.String() != "Hello from WebAssembly!\n" {
		t.Fatalf("body %q", s.body.String())
	}
	null := exchange.Sink(nullSink{})
	ctx := t.Context()
	n := testing.AllocsPerRun(200, func() {
		x.Response.Reset(null, "GET")
		if err := g.Serve(ctx, x); err != nil {
			t.Error(err)
		}
		if err := x.Response.Finish(); err != nil {
			t.Error(err)
		}
	})
	if n > helloBudget {
		t.Errorf("%v allocations per request, more than %d", n, helloBudget)
	}
}

// TestSimpleRequestAllocations does in one request what a small handler does: reads, headers, a body, through next.
func TestSimpleRequestAllocations(t *testing.T) {
	l := newLab(t, engine.Options{})
	end := l.drive(t, script{request: []op{
		call("get_method", memFree, 100), call("get_uri", memFree, 100), call("get_header_names", 0, memFree, 1000),
		call("get_header_values", 0, "accept", memFree, 100), call("set_status_code", 201),
		call("set_header_value", 1, "content-type", "text/plain"), call("add_header_value", 1, "x-a", "1"),
		call("write_body", 1, "hello"),
	}}, Options{})
	g := l.drive(t, script{request: []op{call("set_header_value", 0, "x-b", "1"), call("set_uri", "/other")}, next: 1}, Options{Next: end})
	x, _ := richRequest()
	null := exchange.Sink(nullSink{})
	ctx := t.Context()
	n := testing.AllocsPerRun(200, func() {
		for _, h := range []*Guest{g, end} { // the driver's log must not fill
			in, _ := h.pool.Get(ctx)
			in.memory.WriteUint32Le(memCount, 0)
			h.pool.Put(in)
		}
		x.Response.Reset(null, "GET")
		if err := g.Serve(ctx, x); err != nil {
			t.Error(err)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations per request", n)
	}
}

func BenchmarkHello(b *testing.B) {
	ctx := context.Background()
	eng, err := engine.New(ctx, engine.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = eng.Close(ctx) }()
	mod, err := eng.Compile(ctx, readFile(b, "../../testdata/wasm/hello.wasm"))
	if err != nil {
		b.Fatal(err)
	}
	g, err := New(ctx, eng, mod, Options{})
	if err != nil {
		b.Fatal(err)
	}
	x, _ := newExchange("GET", "/", "")
	null := exchange.Sink(nullSink{})
	b.ReportAllocs()
	for b.Loop() {
		x.Response.Reset(null, "GET")
		if err := g.Serve(ctx, x); err != nil {
			b.Fatal(err)
		}
		if err := x.Response.Finish(); err != nil {
			b.Fatal(err)
		}
	}
}

func readFile(tb testing.TB, path string) []byte {
	tb.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}
