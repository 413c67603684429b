package httpwasm

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/host/engine"
)

// goGuest builds the Go guest and returns its module.
func goGuest(tb testing.TB) []byte {
	tb.Helper()
	out := filepath.Join(tb.TempDir(), "guest.wasm")
	cmd := exec.Command("go", "build", "-buildvcs=false", "-buildmode=c-shared", "-o", out, "../../guests/go-hello")
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOFLAGS=")
	if text, err := cmd.CombinedOutput(); err != nil {
		tb.Skipf("go build: %v\n%s", err, text)
	}
	return readFile(tb, out)
}

// BenchmarkIsolation serves requests with each way of isolation and interruption; "cold" is reset without a warm-up
// request. The figures to compare are those of one run.
func BenchmarkIsolation(b *testing.B) {
	hello, cache := readFile(b, "../../testdata/wasm/hello.wasm"), b.TempDir()
	var golang []byte
	for _, guest := range []struct{ name, target string }{{"hello", "/"}, {"go", "/"}, {"go-json", "/json"}} {
		for _, interrupt := range []engine.Interrupt{engine.InterruptOff, engine.InterruptFuel} {
			for _, isolation := range []string{"shared", "reset", "cold", "fresh"} {
				b.Run(guest.name+"/"+string(interrupt)+"/"+isolation, func(b *testing.B) {
					wasm := hello
					if guest.name != "hello" {
						if golang == nil {
							golang = goGuest(b)
						}
						wasm = golang
					}
					o := Options{Isolation: Isolation(isolation)}
					switch isolation {
					case "cold":
						o.Isolation = IsolationReset
					case "reset":
						o.Warmup = []string{guest.target}
					}
					benchmarkGuest(b, wasm, guest.target, engine.Options{
						Interrupt: interrupt, Reset: o.Isolation == IsolationReset, CacheDir: cache,
					}, o)
				})
			}
		}
	}
}

func benchmarkGuest(b *testing.B, wasm []byte, target string, eo engine.Options, o Options) {
	ctx := context.Background()
	eng, err := engine.New(ctx, eo)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = eng.Close(ctx) }()
	mod, err := eng.Compile(ctx, wasm)
	if err != nil {
		b.Fatal(err)
	}
	g, err := New(ctx, eng, mod, o)
	if err != nil {
		b.Fatal(err)
	}
	defer g.Close()
	null := exchange.Sink(nullSink{})
	before := cpuTime(b)
	for b.Loop() {
		x, _ := newExchange("GET", target, "")
		x.Response.Reset(null, "GET")
		if err := g.Serve(ctx, x); err != nil {
			b.Fatal(err)
		}
		if err := x.Response.Finish(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N), "cpu-ns/op")
}

// cpuTime returns the processor time of the process so far, which tells more than the clock on a machine that others use.
func cpuTime(b *testing.B) time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		b.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
