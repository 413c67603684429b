package httpwasm

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/appserver-go/appserver/host/engine"
)

// goGuests builds the Go guest several times, with more and more functions that it imports and does not call. They move
// what wazero keeps for an instance in memory, and where that lies can make the same code 30 % slower. Only averages tell.
func goGuests(tb testing.TB) (modules [][]byte) {
	tb.Helper()
	dir := tb.TempDir()
	for n := range 4 {
		out, pad, overlay := filepath.Join(dir, "guest.wasm"), filepath.Join(dir, "pad.go"), filepath.Join(dir, "overlay.json")
		source := "package main\n"
		for i := range n {
			source += fmt.Sprintf("\n//go:wasmimport wasi_snapshot_preview1 sched_yield\nfunc pad%d() uint32\n\nvar Pad%d = pad%d\n", i, i, i)
		}
		there, err := filepath.Abs("../../guests/go-hello/pad.go")
		if err != nil {
			tb.Fatal(err)
		}
		for name, text := range map[string]string{pad: source, overlay: fmt.Sprintf(`{"Replace": {%q: %q}}`, there, pad)} {
			if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
				tb.Fatal(err)
			}
		}
		cmd := exec.Command("go", "build", "-buildvcs=false", "-buildmode=c-shared", "-overlay", overlay, "-o", out, "../../guests/go-hello")
		cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOFLAGS=")
		if text, err := cmd.CombinedOutput(); err != nil {
			tb.Skipf("go build: %v\n%s", err, text)
		}
		modules = append(modules, readFile(tb, out))
	}
	return modules
}

// BenchmarkIsolation serves requests with each way of isolation and interruption; "cold" is reset without a warm-up
// request. The figures to compare are those of one run.
func BenchmarkIsolation(b *testing.B) {
	hello, cache := [][]byte{readFile(b, "../../testdata/wasm/hello.wasm")}, b.TempDir()
	var golang [][]byte
	for _, guest := range []struct{ name, target string }{{"hello", "/"}, {"go", "/"}, {"go-json", "/json"}} {
		for _, interrupt := range []engine.Interrupt{engine.InterruptOff, engine.InterruptFuel} {
			for _, isolation := range []string{"shared", "reset", "cold", "fresh"} {
				b.Run(guest.name+"/"+string(interrupt)+"/"+isolation, func(b *testing.B) {
					wasm := hello
					if guest.name != "hello" {
						if golang == nil {
							golang = goGuests(b)
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

func benchmarkGuest(b *testing.B, modules [][]byte, target string, eo engine.Options, o Options) {
	ctx := context.Background()
	eng, err := engine.New(ctx, eo)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = eng.Close(ctx) }()
	var guests []*Guest
	for _, wasm := range modules {
		mod, err := eng.Compile(ctx, wasm)
		if err != nil {
			b.Fatal(err)
		}
		g, err := New(ctx, eng, mod, o)
		if err != nil {
			b.Fatal(err)
		}
		defer g.Close()
		guests = append(guests, g)
	}
	before := cpuTime(b)
	for n := 0; b.Loop(); n++ {
		benchmarkRequest(b, guests[n/100%len(guests)], target)
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
