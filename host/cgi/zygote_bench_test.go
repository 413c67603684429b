package cgi

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// goCommand builds the Go guest as a command and returns its module.
func goCommand(tb testing.TB, dir string, flags ...string) []byte {
	tb.Helper()
	out := filepath.Join(tb.TempDir(), "guest.wasm")
	cmd := exec.Command("go", append(append([]string{"build", "-buildvcs=false", "-o", out}, flags...), dir)...)
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOFLAGS=")
	if text, err := cmd.CombinedOutput(); err != nil {
		tb.Skipf("go build: %v\n%s", err, text)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// BenchmarkReset serves requests with a fresh instance for each and with instances that are reset: from before the start,
// from the first question to the host, and from where the Go kit says.
func BenchmarkReset(b *testing.B) {
	kit := goCommand(b, "../../guests/go-hello", "-tags", "cgi")
	for _, guest := range []struct {
		name string
		wasm []byte
	}{{"hello", shared(b, "cgihello")}, {"env", shared(b, "cgienv")}, {"go-kit", kit}} {
		for _, reset := range []bool{false, true} {
			name := guest.name + "/fresh"
			if reset {
				name = guest.name + "/reset"
			}
			b.Run(name, func(b *testing.B) {
				g := load(b, guest.wasm, Options{Reset: reset})
				before := cpuTime(b)
				for b.Loop() {
					var w wire
					if status, err := serve(b, g, newExchange(&w, "GET", "/")); status != 200 {
						b.Fatal(status, err)
					}
				}
				b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N), "cpu-ns/op")
			})
		}
	}
}

// cpuTime returns the processor time of the process so far.
func cpuTime(tb testing.TB) time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
