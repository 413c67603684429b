package main

import (
	"context"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/appserver-go/appserver/internal/load"
)

// A guest that spins is stopped at its deadline: 504 for its caller, service for the others meanwhile, and the worker
// lives on.
func TestSpinEndsIn504(t *testing.T) {
	for class, args := range classArgs {
		t.Run(class, func(t *testing.T) {
			t.Parallel()
			s := start(t, append([]string{wasm("hostile"), "--timeout", "1"}, args...)...)
			before := s.workers()
			spun := make(chan time.Duration, 1)
			go func() {
				begin := time.Now()
				resp, err := s.get("/spin")
				if err != nil || resp.Status != 504 {
					t.Errorf("/spin: %v, %v", resp, err)
				}
				spun <- time.Since(begin)
			}()
			served := 0
			for {
				select {
				case took := <-spun:
					if took < time.Second || took > 2*time.Second {
						t.Errorf("504 after %v, want 1 s to 2 s", took)
					}
					if served == 0 {
						t.Error("nobody else was served meanwhile")
					}
					for range 10 {
						s.mustGet("/", 200)
					}
					s.awaitRecord("where the guest was", func(r record) bool {
						return r.msg() == "Request failed" && r.text("path") == "/spin" && strings.Contains(r.text("stack"), "handle_request")
					})
					if !sameInts(before, s.workers()) {
						t.Errorf("workers changed from %v to %v", before, s.workers())
					}
					s.stop()
					return
				default:
					s.mustGet("/", 200)
					served++
				}
			}
		})
	}
}

// One worker alone: threads beside the spinning one serve on.
func TestSpinLeavesOtherThreads(t *testing.T) {
	s := start(t, wasm("hostile"), "-w", "1", "-k", "threaded", "--threads", "3", "--timeout", "2")
	spun := make(chan int, 1)
	go func() {
		resp, err := s.get("/spin")
		if err != nil {
			t.Error(err)
			spun <- 0
			return
		}
		spun <- resp.Status
	}()
	s.awaitBusy(1)
	for range 50 {
		s.mustGet("/", 200)
	}
	select {
	case status := <-spun:
		t.Errorf("/spin ended with %d before the others were served", status)
	default:
	}
	if status := <-spun; status != 504 {
		t.Errorf("/spin: status %d", status)
	}
	s.stop()
}

// With interruption off the arbiter's ladder does the work: abort, kill, a new worker, and a log that says what the
// worker was doing.
func TestArbiterKillsFrozenWorker(t *testing.T) {
	s := start(t, wasm("hostile"), "-w", "1", "--timeout", "1", "--abort-grace", "0.5", "--guest-interrupt", "off", "--access-log", "-")
	victim := s.workers()[0]
	if resp, err := s.get("/spin?secret=1"); err == nil {
		t.Errorf("/spin was answered with %d by a worker that was killed", resp.Status)
	}
	s.awaitRecord("the murder", func(r record) bool {
		return r.text("method") == "GET" && r.text("path") == "/spin?secret=1" && r.text("request_id") != "" && r.text("age") != ""
	})
	if runtime.GOARCH == "amd64" {
		s.awaitRecord("where the frozen worker was", func(r record) bool {
			return r.msg() == "Where the aborted worker was" && strings.Contains(r.text("stack"), "handle_request")
		})
	}
	eventually(t, patience, "the stuck worker is gone", func() bool { return !alive(victim) })
	killed := time.Now()
	s.mustGet("/", 200)
	if took := time.Since(killed); took > time.Second {
		t.Errorf("service came back after %v", took)
	}
	eventually(t, patience, "the access log has the line of the killed request", func() bool {
		return strings.Contains(s.out.String(), "/spin?secret=1")
	})
	s.stop()
}

// A worker that is stopped cannot handle SIGABRT; SIGKILL ends it all the same.
func TestStoppedWorkerIsReplaced(t *testing.T) {
	s := start(t, wasm("hello"), "-w", "1", "--worker-timeout", "1", "--abort-grace", "0.3")
	victim := s.workers()[0]
	syscall.Kill(victim, syscall.SIGSTOP)
	eventually(t, patience, "the stopped worker is gone", func() bool { return !alive(victim) })
	s.mustGet("/", 200)
	s.stop()
}

func TestMemoryHogsFailAlone(t *testing.T) {
	for class, args := range classArgs {
		t.Run(class, func(t *testing.T) {
			t.Parallel()
			s := start(t, append([]string{wasm("hostile"), "--guest-memory-limit", "64MiB"}, args...)...)
			before := s.workers()
			ctx, cancel := context.WithCancel(t.Context())
			others := make(chan *load.Report, 1)
			go func() {
				others <- load.Run(ctx, load.Plan{
					Addr: s.addr, Clients: 2, Raw: "GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n", Check: load.Status(200),
				})
			}()
			for range 3 {
				s.mustGet("/grow", 500)
				s.mustGet("/recurse", 500)
				s.mustGet("/tablegrow", 200)
			}
			cancel()
			if r := <-others; r.Bad+r.Lost > 0 || r.Done == 0 {
				t.Errorf("others: %s", r)
			}
			for _, pid := range before {
				rss := peakRSS(t, pid)
				t.Logf("worker %d reached %d MiB", pid, rss>>20)
				if rss > raceFactor*500<<20 { // 64 MiB of memory, a stack that overflows, tables: one of each at a time
					t.Error("that is too much")
				}
			}
			if !sameInts(before, s.workers()) {
				t.Errorf("workers changed from %v to %v", before, s.workers())
			}
			s.stop()
		})
	}
}

// A request's deadline also ends a guest that sleeps in the host.
func TestSleepEndsIn504(t *testing.T) {
	s := start(t, wasm("hostile"), "-w", "1", "--timeout", "0.5")
	begin := time.Now()
	s.mustGet("/sleep", 504)
	if took := time.Since(begin); took > 1500*time.Millisecond+slack {
		t.Errorf("504 after %v", took)
	}
	s.mustGet("/", 200)
	s.stop()
}

// Stacks that overflow are not under the guest's memory limit, but what they took is given back.
func TestOverflowedStacksAreGivenBack(t *testing.T) {
	if raceFactor > 1 {
		t.Skip("the race detector never gives back its shadow of a stack")
	}
	s := start(t, wasm("hostile"), "-w", "1", "-k", "threaded", "--threads", "4")
	worker := s.workers()[0]
	report := load.Run(t.Context(), load.Plan{
		Addr: s.addr, Clients: 4, Requests: 2, Check: load.Status(500), Raw: "GET /recurse HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n",
	})
	if report.Bad+report.Lost > 0 {
		t.Errorf("%s", report)
	}
	eventually(t, patience, "the memory is given back", func() bool {
		rss, err := statusValue(worker, "VmRSS")
		return err == nil && rss < 80<<20
	})
	s.stop()
}
