package httpwasm

import (
	"context"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/host/engine"
)

// fuelLayout is a Go guest twice, which differ in nothing but fuel: both import the same number of functions.
type fuelLayout struct {
	guests [2]*Guest          // without and with
	took   [2][]time.Duration // processor time of each turn
}

// BenchmarkFuelOfRequest compares requests to the Go guest without and with fuel. Where an instance's data lies makes more
// of a difference than fuel does, and so does what else the machine is busy with. So there are several instances of
// several layouts, each beside its like, and they take short turns; "%" is the median of what fuel adds to the quickest quarter
// of the turns of each. With GOGC=off the guest collects no garbage, which is where most of its loops are.
func BenchmarkFuelOfRequest(b *testing.B) {
	modules, cache := goGuests(b), b.TempDir()
	for _, c := range []struct{ name, target, gogc string }{
		{"text", "/", "100"}, {"text-gogc-off", "/", "off"}, {"json", "/json", "100"}, {"json-gogc-off", "/json", "off"},
	} {
		b.Run(c.name, func(b *testing.B) {
			var layouts []*fuelLayout
			for range 3 {
				layouts = append(layouts, fuelLayouts(b, modules, cache, "GOGC="+c.gogc)...)
			}
			const turn = 20 // requests
			for n := 0; b.Loop(); n++ {
				l := layouts[n%len(layouts)]
				for k := range l.guests {
					before := cpuTime(b)
					for range turn {
						benchmarkRequest(b, l.guests[k], c.target)
					}
					l.took[k] = append(l.took[k], (cpuTime(b)-before)/turn)
				}
			}
			var more []float64
			quick := math.Inf(1)
			for _, l := range layouts {
				if len(l.took[0]) == 0 {
					return // a first, short run
				}
				off, fuel := quarter(l.took[0]), quarter(l.took[1])
				more = append(more, (fuel/off-1)*100)
				quick = min(quick, off)
			}
			slices.Sort(more)
			b.ReportMetric(more[len(more)/2], "%")
			b.ReportMetric(more[0], "%-least")
			b.ReportMetric(more[len(more)-1], "%-most")
			b.ReportMetric(quick/1e3, "off-µs")
		})
	}
}

// quarter returns the mean of the quickest quarter.
func quarter(took []time.Duration) float64 {
	took = slices.Clone(took)
	slices.Sort(took)
	took = took[:(len(took)+3)/4]
	var total time.Duration
	for _, d := range took {
		total += d
	}
	return float64(total) / float64(len(took))
}

// fuelLayouts pairs each module with fuel, which imports a function more, with the next one without.
func fuelLayouts(b *testing.B, modules [][]byte, cache, env string) (layouts []*fuelLayout) {
	var guests [2][]*Guest
	for k, way := range []engine.Interrupt{engine.InterruptOff, engine.InterruptFuel} {
		eng, err := engine.New(b.Context(), engine.Options{Interrupt: way, CacheDir: cache})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = eng.Close(context.Background()) })
		for _, wasm := range modules {
			mod, err := eng.Compile(b.Context(), wasm)
			if err != nil {
				b.Fatal(err)
			}
			g, err := New(b.Context(), eng, mod, Options{Isolation: IsolationShared, Env: []string{env}})
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { g.Close() })
			guests[k] = append(guests[k], g)
		}
	}
	for n := range len(modules) - 1 {
		layouts = append(layouts, &fuelLayout{guests: [2]*Guest{guests[0][n+1], guests[1][n]}})
	}
	return layouts
}

// benchmarkRequest makes a request and forgets the response.
func benchmarkRequest(b *testing.B, g *Guest, target string) {
	x, _ := newExchange("GET", target, "")
	x.Response.Reset(exchange.Sink(nullSink{}), "GET")
	if err := g.Serve(b.Context(), x); err != nil {
		b.Fatal(err)
	}
	if err := x.Response.Finish(); err != nil {
		b.Fatal(err)
	}
}
