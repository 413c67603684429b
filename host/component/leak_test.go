package component

import (
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"

	"github.com/appserver-go/appserver/host/engine"
)

// TestInstancesLeaveNothing makes and closes instances, each of which serves a request, and looks at the memory of the
// process: 50,000 with TORTURE=1.
func TestInstancesLeaveNothing(t *testing.T) {
	n := 2000
	if os.Getenv("TORTURE") != "" {
		n = 50_000
	}
	s := load(t, testdata(t, "probe"), engine.Options{}, Options{Isolation: engine.IsolationFresh})
	ask := func(n int) {
		for range n {
			if a := s.ask(t.Context(), "GET", "/", ""); a.err != nil {
				t.Fatal(a)
			}
		}
	}
	ask(500)
	before := resident(t)
	ask(n)
	after := resident(t)
	t.Logf("%d KiB resident before %d instances, %d KiB after", before, n, after)
	if after > before+8<<10 {
		t.Errorf("%d KiB more are resident after %d instances", after-before, n)
	}
}

// resident returns the process's resident memory in KiB, without what waits to be collected.
func resident(t *testing.T) int {
	t.Helper()
	debug.FreeOSMemory()
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Skip("no /proc")
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "VmRSS:" {
			n, _ := strconv.Atoi(f[1])
			return n
		}
	}
	t.Fatal("no VmRSS")
	return 0
}
