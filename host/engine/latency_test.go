package engine

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/tetratelabs/wazero/api"
)

// TestSpinningGuestLetsOthersRun calls one instance again and again while another spins, with no processor to spare and
// garbage collections in between: without fuel a collection would wait for the spinning guest until its deadline, and all
// others with it.
func TestSpinningGuestLetsOthersRun(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	m, _ := compileReset(t, scanCompare)
	spinner, light := instantiate(t, m, Spec{}), instantiate(t, m, Spec{})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	ended := make(chan error, 1)
	spin := spinner.Function("spin")
	go func() { ended <- spinner.Call(ctx, spin, nil) }()
	fn, stack := light.Function("count"), make([]uint64, 1)
	var took, stopped []time.Duration
	for n := range 300 {
		begin := time.Now()
		if err := light.Call(ctx, fn, stack); err != nil {
			t.Fatal(err)
		}
		runtime.Gosched() // as a request does that waits for its client
		if n%50 == 0 {
			begin := time.Now()
			runtime.GC()
			stopped = append(stopped, time.Since(begin))
		}
		took = append(took, time.Since(begin))
	}
	cancel()
	if err := <-ended; err == nil {
		t.Error("the spinning guest returned")
	}
	if m := median(stopped); m > time.Second { // it would be the spinning guest's 30 s
		t.Errorf("garbage collections took %v at the median", m)
	}
	slices.Sort(took)
	// A machine that others use can hold up any single call: three quarters of them must be quick.
	if p75 := took[len(took)*3/4]; p75 > 5*time.Millisecond {
		t.Errorf("light calls took %v at the median, %v at 75 %%, %v at 99 %%", took[len(took)/2], p75, took[len(took)*99/100])
	}
	t.Logf("light calls: median %v, 99 %% %v, longest %v", took[len(took)/2], took[len(took)*99/100], took[len(took)-1])
}

// BenchmarkInterruption stops a spinning guest at its deadline, resets it and calls it again; "late" is how long after
// its deadline a call has ended, at the median and at most.
func BenchmarkInterruption(b *testing.B) {
	m, _ := compileReset(b, scanIoctl)
	m.engine.opts.VerifyReset = false
	i, _ := capture(b, m, Spec{})
	spin := i.Function("spin")
	var late []time.Duration
	for b.Loop() {
		ctx, cancel := context.WithTimeout(b.Context(), time.Millisecond)
		err := i.Call(ctx, spin, nil)
		deadline, _ := ctx.Deadline()
		late = append(late, time.Since(deadline))
		cancel()
		if err == nil {
			b.Fatal("the spinning guest returned")
		}
		if err := i.Reset(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(median(late))/1e3, "late-µs")
	b.ReportMetric(float64(slices.Max(late))/1e3, "latest-µs")
}

// BenchmarkNeighbour calls one instance while another spins; "stopped" is the longest that a garbage collection took, which
// has to stop both.
func BenchmarkNeighbour(b *testing.B) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	m, _ := compileReset(b, scanIoctl)
	spinner, light := instantiate(b, m, Spec{}), instantiate(b, m, Spec{})
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	spin := spinner.Function("spin")
	go func() { ended <- spinner.Call(ctx, spin, nil) }()
	fn, stack := light.Function("count"), make([]uint64, 1)
	var took []time.Duration
	var stopped time.Duration
	for n := 0; b.Loop(); n++ {
		begin := time.Now()
		if err := light.Call(ctx, fn, stack); err != nil {
			b.Fatal(err)
		}
		runtime.Gosched() // as a request does that waits for its client
		took = append(took, time.Since(begin))
		if n%100 == 0 {
			begin = time.Now()
			runtime.GC()
			stopped = max(stopped, time.Since(begin))
		}
	}
	cancel()
	<-ended
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)*99/100])/1e3, "p99-µs")
	b.ReportMetric(float64(stopped)/1e3, "stopped-µs")
}

// BenchmarkFuel runs tight loops and a recursion with each way of interruption.
func BenchmarkFuel(b *testing.B) {
	for _, fn := range []struct {
		name string
		arg  uint64
	}{{"lcg", 1_000_000}, {"hash", 1_000_000}, {"fib", 25}} {
		for _, way := range []Interrupt{InterruptOff, InterruptFuel, InterruptClose} {
			b.Run(fn.name+"/"+string(way), func(b *testing.B) {
				e := newEngine(b, Options{Interrupt: way})
				none := api.GoModuleFunc(func(context.Context, api.Module, []uint64) {})
				_, err := e.HostModule("test").NewFunctionBuilder().
					WithGoModuleFunction(none, []api.ValueType{api.ValueTypeI32}, nil).Export("host").Instantiate(b.Context())
				if err != nil {
					b.Fatal(err)
				}
				m, err := e.Compile(b.Context(), resetWasm)
				if err != nil {
					b.Fatal(err)
				}
				i := instantiate(b, m, Spec{})
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				f, stack := i.Function(fn.name), make([]uint64, 1)
				for b.Loop() {
					stack[0] = fn.arg
					if err := i.Call(ctx, f, stack); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkReset writes to so many pages and resets, with each way of finding them.
func BenchmarkReset(b *testing.B) {
	for _, mode := range []scanMode{scanCompare, scanPagemap, scanIoctl} {
		for _, pages := range []uint64{0, 4, 60} {
			b.Run(fmt.Sprintf("%v/%d", mode, pages), func(b *testing.B) {
				m, _ := compileReset(b, mode)
				m.engine.opts.VerifyReset = false
				i := instantiate(b, m, Spec{})
				call(b, i, "grow", 60)
				img, err := i.Capture(m, 0)
				if err != nil {
					b.Fatal(err)
				}
				defer img.Close()
				poke, stack := i.Function("poke"), make([]uint64, 2)
				for b.Loop() {
					for n := range pages {
						stack[0], stack[1] = n*4*osPage, 1
						if err := i.Call(context.Background(), poke, stack); err != nil {
							b.Fatal(err)
						}
					}
					if err := i.Reset(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
