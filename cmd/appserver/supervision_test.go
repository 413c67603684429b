package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/appserver-go/appserver/internal/load"
)

// slack is what a loaded machine may add to a bound on time that nobody has promised.
const slack = 2 * time.Second

// repeats returns how often to do what must not leak or lose: n times, or ten times as often under TORTURE=1 (make torture).
func repeats(n int) int {
	if torture() {
		return 10 * n
	}
	return n
}

func TestKilledWorkerIsReplaced(t *testing.T) {
	s := start(t, wasm("hello"), "-w", "2")
	victim := s.workers()[0]
	syscall.Kill(victim, syscall.SIGKILL)
	eventually(t, patience, "two workers again", func() bool {
		now := s.workers()
		return len(now) == 2 && !slices.Contains(now, victim)
	})
	s.mustGet("/", 200)
	s.stop()
}

func TestKilledArbiterLeavesNothing(t *testing.T) {
	s := start(t, wasm("hello"), "-w", "3")
	workers := s.workers()
	s.cmd.Process.Kill()
	killed := time.Now()
	eventually(t, patience, "all workers are gone", func() bool {
		for _, pid := range workers {
			if alive(pid) {
				return false
			}
		}
		return true
	})
	eventually(t, patience, "the port is free", func() bool {
		l, err := net.Listen("tcp", s.addr)
		if err == nil {
			l.Close()
		}
		return err == nil
	})
	if took := time.Since(killed); took > time.Second {
		t.Errorf("workers and port outlived the arbiter by %v", took)
	}
}

// An arbiter that is stopped does not matter to clients.
func TestStoppedArbiter(t *testing.T) {
	s := start(t, wasm("hello"), "-w", "2")
	before := s.workers()
	stop := hammer(s, s.addr, 8, false)
	s.signal(syscall.SIGSTOP)
	for range repeats(50) {
		s.mustGet("/", 200)
	}
	s.signal(syscall.SIGCONT)
	s.mustGet("/", 200)
	lostNothing(t, stop())
	if !sameInts(before, s.workers()) {
		t.Errorf("workers changed from %v to %v", before, s.workers())
	}
	s.stop()
}

func TestTermUnderLoadLosesNothing(t *testing.T) {
	for class, args := range classArgs {
		for n := range repeats(2) {
			keepAlive := n%2 == 1
			t.Run(fmt.Sprintf("%s/keepalive=%v", class, keepAlive), func(t *testing.T) {
				s := start(t, append([]string{wasm("hello")}, args...)...)
				done := make(chan *load.Report, 1)
				go func() {
					done <- load.Run(t.Context(), load.Plan{
						Addr: s.addr, Clients: 32, KeepAlive: keepAlive, RefusedOK: true,
						Raw: get(keepAlive), Check: load.Status(200),
					})
				}()
				eventually(t, patience, "load is on", func() bool { return s.served() > 500 })
				s.stop()
				report := <-done
				if report.Bad+report.Lost > 0 || report.Done < 500 {
					t.Errorf("%s", report)
				}
			})
		}
	}
}

// A stop with 200 requests in guests, none of which is done before the stop has begun, loses none of them.
func TestTermWithRequestsInFlight(t *testing.T) {
	const requests = 200
	var arrived sync.WaitGroup
	arrived.Add(requests)
	release := make(chan struct{})
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		arrived.Done()
		<-release
		w.WriteHeader(http.StatusOK)
	}))
	defer upstream.Close()
	s := start(t, wasm("next"), "-w", "2", "-k", "threaded", "--threads", strconv.Itoa(requests), "--upstream", upstream.URL, "--log-level", "info")
	done := make(chan *load.Report, 1)
	go func() {
		done <- load.Run(t.Context(), load.Plan{Addr: s.addr, Clients: requests, Requests: 1, Raw: get(false), Check: load.Status(200)})
	}()
	arrived.Wait()
	s.signal(syscall.SIGTERM)
	s.awaitMsg("Shutting down")
	if torture() {
		time.Sleep(2 * time.Second) // as long as the requests are to take
	}
	close(release)
	if r := <-done; r.Done != requests || r.Bad+r.Lost+r.Refused > 0 {
		t.Errorf("%s", r)
	} else {
		t.Logf("%s", r)
	}
	if code := s.wait(); code != 0 {
		t.Errorf("exit code %d\n%s", code, s.log())
	}
}

// Killing workers by the hundred must not leak anything of the arbiter's.
func TestKillStormLeavesArbiterFlat(t *testing.T) {
	kills := repeats(200)
	s := start(t, wasm("hello"), "-w", "4")
	kill := func() {
		victim := s.workers()[0] // the oldest: it has long been ready, so its place is filled at once
		syscall.Kill(victim, syscall.SIGKILL)
		eventually(t, patience, "the victim is replaced", func() bool {
			now := s.workers()
			return len(now) == 4 && !slices.Contains(now, victim)
		})
	}
	for range 10 {
		kill()
	}
	fds, threads := descriptors(t, s.cmd.Process.Pid), threadCount(t, s.cmd.Process.Pid)
	for range kills {
		kill()
	}
	eventually(t, patience, "descriptors are flat", func() bool { return descriptors(t, s.cmd.Process.Pid) <= fds+2 })
	if now := threadCount(t, s.cmd.Process.Pid); now > threads+4 {
		t.Errorf("threads grew from %d to %d", threads, now)
	}
	s.mustGet("/", 200)
	s.stop()
}

func TestScaleBySignals(t *testing.T) {
	s := start(t, wasm("hello"), "-w", "1")
	want := func(n int) {
		t.Helper()
		eventually(t, patience, fmt.Sprintf("%d workers", n), func() bool { return len(s.workers()) == n })
	}
	for n := 2; n <= 4; n++ { // one by one: the kernel merges signals that are still pending
		s.signal(syscall.SIGTTIN)
		want(n)
	}
	s.signal(syscall.SIGTTOU)
	want(3)
	s.signal(syscall.SIGTTOU)
	want(2)
	for range 5 {
		s.signal(syscall.SIGTTOU)
	}
	want(1)
	s.mustGet("/", 200)
	s.stop()
}

func TestGuestThatHangsAtStart(t *testing.T) {
	begin := time.Now()
	s := launch(t, wasm("loopstart"), "-w", "2", "--boot-timeout", "1", "--abort-grace", "0.3")
	if code := s.wait(); code != 4 {
		t.Errorf("exit code %d, want 4", code)
	}
	if took := time.Since(begin); took > 5*time.Second+slack {
		t.Errorf("gave up after %v", took)
	}
	wantVoice(t, s, "boot_timeout")
}

// wantVoice wants one error and one hint on standard error, the error with the text.
func wantVoice(t *testing.T, s *appserver, text string) {
	t.Helper()
	s.mu.Lock()
	raw := s.raw.String()
	s.mu.Unlock()
	if strings.Count(raw, "appserver: error: ") != 1 || strings.Count(raw, "appserver: hint: ") != 1 || !strings.Contains(raw, text) {
		t.Errorf("want one error line with %q and one hint line:\n%s", text, s.log())
	}
}

func TestQuickStopWhileBusy(t *testing.T) {
	s := start(t, wasm("hostile"), "-w", "1", "-k", "threaded", "--threads", "2")
	go s.get("/sleep")
	s.awaitBusy(1)
	begin := time.Now()
	s.signal(syscall.SIGINT)
	if code := s.wait(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if took := time.Since(begin); took > 4*time.Second+slack {
		t.Errorf("a quick stop took %v", took)
	}
}

func TestGracefulStopIsBounded(t *testing.T) {
	s := start(t, wasm("hostile"), "-w", "1", "--graceful-timeout", "1")
	go s.get("/sleep")
	s.awaitBusy(1)
	begin := time.Now()
	s.stop()
	if took := time.Since(begin); took > 4*time.Second+slack {
		t.Errorf("a graceful stop of 1 s took %v", took)
	}
}

func TestMaxRequestsReplacesFirst(t *testing.T) {
	s := start(t, wasm("hello"), "-w", "2", "--max-requests", "50", "--max-requests-jitter", "10")
	first := s.workers()
	report := load.Run(context.Background(), load.Plan{Addr: s.addr, Clients: 8, Requests: 60, Raw: get(false), Check: load.Status(200)})
	if report.Bad+report.Lost > 0 || report.Done != 480 {
		t.Errorf("%s", report)
	}
	eventually(t, patience, "both workers are replaced", func() bool {
		now := s.workers()
		return len(now) == 2 && !slices.Contains(now, first[0]) && !slices.Contains(now, first[1])
	})
	s.stop()
}

func get(keepAlive bool) string {
	if keepAlive {
		return "GET / HTTP/1.1\r\nHost: test\r\n\r\n"
	}
	return "GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"
}

func sameInts(a, b []int) bool {
	for _, n := range a {
		if !slices.Contains(b, n) {
			return false
		}
	}
	return len(a) == len(b)
}

func descriptors(t *testing.T, pid int) int {
	t.Helper()
	return entries(t, fmt.Sprintf("/proc/%d/fd", pid))
}

func threadCount(t *testing.T, pid int) int {
	t.Helper()
	return entries(t, fmt.Sprintf("/proc/%d/task", pid))
}

func entries(t *testing.T, dir string) int {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}
