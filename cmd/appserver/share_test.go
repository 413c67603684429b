package main

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// awaitWorker waits until the worker of the age is ready, and returns its pid.
func (s *appserver) awaitWorker(age int) (pid int) {
	s.t.Helper()
	r := s.awaitRecord("worker "+strconv.Itoa(age)+" is ready", func(r record) bool {
		return r.msg() == "Worker is ready" && r.text("worker") == strconv.Itoa(age)
	})
	pid, err := strconv.Atoi(r.text("pid"))
	if err != nil {
		s.t.Fatal(err)
	}
	return pid
}

// adopters are the workers that went on from another's start, by age.
func (s *appserver) adopters() (ages []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.records {
		if r.msg() == "Guest goes on from another worker's start" {
			ages = append(ages, r.text("worker"))
		}
	}
	return ages
}

// The first workers of a generation start the guest, and those after them go on from there; a new generation begins anew.
func TestWorkersGoOnFromTheFirstOnesStart(t *testing.T) {
	s := start(t, wasm("hello"), "-w", "2")
	expect := func(want ...string) {
		t.Helper()
		s.mustGet("/", 200)
		if got := s.adopters(); !slices.Equal(got, want) {
			t.Errorf("workers %v adopted an image, want %v\n%s", got, want, s.log())
		}
	}
	s.awaitMsg("Kept for later workers")
	expect() // both were started before there was one
	if err := unix.Kill(s.awaitWorker(1), unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s.awaitWorker(3)
	expect("3")
	s.signal(syscall.SIGHUP)
	s.awaitMsg("Reload complete")
	expect("3", "5") // and not 4, the canary
	s.stop()
}

// smaps returns how much of its memory a process has for itself, in KiB, and what it maps.
func smaps(t *testing.T, pid int) (private int, maps string) {
	t.Helper()
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	b, err := os.ReadFile(filepath.Join(dir, "smaps_rollup"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); f[0] == "Private_Dirty:" || f[0] == "Private_Clean:" {
			n, err := strconv.Atoi(f[1])
			if err != nil {
				t.Fatal(err)
			}
			private += n
		}
	}
	if b, err = os.ReadFile(filepath.Join(dir, "maps")); err != nil {
		t.Fatal(err)
	}
	return private, string(b)
}

// With guest.share_code the workers of a large guest execute the same memory. The figures go to the log: docs/performance.md.
func TestWorkersShareCode(t *testing.T) {
	guest, cache := goHello(t), t.TempDir()
	for _, share := range []bool{false, true} {
		s := start(t, guest, "-w", "2", "--guest-cache-dir", cache, "--guest-share-code="+strconv.FormatBool(share))
		s.mustGet("/", 200)
		if err := unix.Kill(s.awaitWorker(2), unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		pid := s.awaitWorker(3)
		s.mustGet("/", 200)
		private, maps := smaps(t, pid)
		ready := s.awaitRecord("worker 3", func(r record) bool { return r.msg() == "Worker is ready" && r.text("worker") == "3" })
		t.Logf("share_code=%v: a second worker was ready after %s and has %d KiB for itself", share, ready.text("boot"), private)
		if got := strings.Contains(maps, "memfd:appserver-code"); got != share {
			t.Errorf("share_code=%v: the code is shared: %v\n%s", share, got, s.log())
		}
		if !strings.Contains(maps, "memfd:appserver-image") || !strings.Contains(maps, "memfd:appserver-module") {
			t.Errorf("share_code=%v: image or module is not shared", share)
		}
		if share && private > 40<<10*raceFactor {
			t.Errorf("a second worker has %d KiB for itself", private)
		}
		s.stop()
	}
}
