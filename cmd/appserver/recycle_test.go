package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/appserver-go/appserver/internal/load"
)

// Random TTIN and TTOU while workers retire after 200 requests.
func TestRandomScalingUnderLoadLosesNothing(t *testing.T) {
	span := 2 * time.Second
	if torture() {
		span = 30 * time.Second
	}
	for class, args := range classArgs {
		for _, keepAlive := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/keepalive=%v", class, keepAlive), func(t *testing.T) {
				s := start(t, append([]string{wasm("hello"), "--max-requests", "200", "--max-requests-jitter", "50"}, args...)...)
				stop := hammer(s, s.addr, 16, keepAlive)
				tick := time.NewTicker(100 * time.Millisecond)
				defer tick.Stop()
				for end := time.Now().Add(span); time.Now().Before(end); <-tick.C {
					s.signal([]syscall.Signal{syscall.SIGTTIN, syscall.SIGTTOU}[rand.IntN(2)])
				}
				lostNothing(t, stop())
				s.stop()
			})
		}
	}
}

// throughput returns how many requests a server answers in a while.
func throughput(t *testing.T, s *appserver, span time.Duration) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), span)
	defer cancel()
	r := load.Run(ctx, load.Plan{Addr: s.addr, Clients: 8, Raw: get(false), Check: load.Status(200)})
	if r.Bad+r.Lost+r.Refused > 0 {
		t.Errorf("%s", r)
	}
	return r.Done
}

// A storm of max_requests=10 must leave most of the throughput, and lose nothing. Measured with TORTURE=1 on two busy
// processors that load and server share: 163 workers recycled in 25 s, and no difference that could be told from noise
// (short runs give 75 to 108 %), where gunicorn keeps 3 %. The bound is 70 % there, and lower in the short run, which shares the machine with other tests.
func TestRecycleStorm(t *testing.T) {
	span, rounds := 300*time.Millisecond, 3
	if torture() {
		span, rounds = 5*time.Second, 5
	}
	calm := start(t, wasm("hello"), "-w", "2", "--log-level", "info")
	storm := start(t, wasm("hello"), "-w", "2", "--log-level", "info", "--max-requests", "10")
	var without, with int
	for range rounds { // in turns, so that both meet the same neighbours
		without += throughput(t, calm, span)
		with += throughput(t, storm, span)
	}
	share := 100 * with / max(without, 1)
	t.Logf("%d requests without recycling, %d with: %d %%; %d workers were recycled", without, with, share, storm.count("Draining worker"))
	least := 50
	if torture() {
		least = 70
	}
	if share < least {
		t.Errorf("the storm leaves %d %% of the throughput", share)
	}
	if storm.count("Draining worker") < 2 {
		t.Error("nobody was recycled")
	}
	calm.stop()
	storm.stop()
}

// A worker past max_worker_memory or max_age is replaced, the replacement first.
func TestRecyclingByMemoryAndAge(t *testing.T) {
	for name, args := range map[string][]string{
		"memory": {"--max-worker-memory", "1MiB"}, // less than any worker has
		"age":    {"--max-age", "1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, append([]string{wasm("hello"), "-w", "1"}, args...)...)
			first := s.workers()[0]
			stop := hammer(s, s.addr, 2, false)
			s.awaitRecord("a replacement", func(r record) bool { return r.msg() == "Draining worker" && r.text("pid") != "" })
			eventually(t, patience, "the first worker is gone", func() bool { return !slices.Contains(s.workers(), first) })
			lostNothing(t, stop())
			s.stop()
		})
	}
}

// Reloads and kills by the hundred must not leak descriptors, threads, memory or processes of the arbiter's, whether the
// reloads succeed or fail.
func TestReloadsAndKillsLeaveArbiterFlat(t *testing.T) {
	cycles := 60
	if torture() {
		cycles = 1000
	}
	d := newSite(t, "hello", "graceful_timeout = 1\n")
	s := d.start("-w", "2")
	ended := func() int { return s.reloads() + s.count("Reload failed, the old generation serves on") }
	cycle := func(i int) {
		switch i % 3 {
		case 0:
			syscall.Kill(s.workers()[0], syscall.SIGKILL)
		case 1:
			d.write("app.wasm", []byte("no module"))
		case 2:
			d.guest("hello")
		}
		before := ended()
		s.signal(syscall.SIGHUP)
		eventually(t, patience, "the reload ends", func() bool { return ended() > before })
	}
	settle := func() {
		eventually(t, patience, "two processes, and no zombie", func() bool {
			return len(s.workers()) == 2 && len(children(s.pid())) == 2
		})
	}
	for i := range 15 {
		cycle(i)
	}
	settle()
	pid := s.cmd.Process.Pid
	fds, threads, memory := descriptors(t, pid), threadCount(t, pid), peakRSS(t, pid)
	for i := range cycles {
		cycle(i)
	}
	settle()
	eventually(t, patience, "descriptors are flat", func() bool { return descriptors(t, pid) <= fds })
	if now := threadCount(t, pid); now > threads+4 {
		t.Errorf("threads grew from %d to %d", threads, now)
	}
	if now := peakRSS(t, pid); now > memory+memory/2 {
		t.Errorf("memory grew from %d to %d bytes", memory, now)
	}
	t.Logf("%d cycles: descriptors %d to %d, threads %d to %d, most memory %d to %d KiB", cycles, fds, descriptors(t, pid),
		threads, threadCount(t, pid), memory>>10, peakRSS(t, pid)>>10)
	s.mustGet("/", 200)
	s.stop()
}
