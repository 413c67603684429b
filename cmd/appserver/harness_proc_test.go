package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/appserver-go/appserver/internal/load"
	"github.com/appserver-go/appserver/scoreboard"
)

// What tests learn of a server from outside: its processes in /proc, and its scoreboards, which are files in /proc too.

// snapshots reads the scoreboards the arbiter holds.
func (s *appserver) snapshots() []scoreboard.Snapshot {
	var all []scoreboard.Snapshot
	links, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", s.pid()))
	for _, link := range links {
		name, err := os.Readlink(link)
		if err != nil || !strings.HasPrefix(name, "/memfd:appserver-scoreboard") {
			continue
		}
		f, err := os.OpenFile(link, os.O_RDWR, 0)
		if err != nil {
			continue // closed meanwhile
		}
		b, err := scoreboard.Open(f)
		if err != nil {
			continue
		}
		all = append(all, b.Snapshot())
		b.Close()
	}
	return all
}

// awaitBusy waits until n requests are in guests.
func (s *appserver) awaitBusy(n int) {
	s.t.Helper()
	eventually(s.t, patience, fmt.Sprintf("%d busy slots", n), func() bool {
		busy := 0
		for _, snap := range s.snapshots() {
			busy += snap.Busy()
		}
		return busy >= n
	})
}

// served returns how many requests the living workers have answered.
func (s *appserver) served() int64 {
	var n int64
	for _, snap := range s.snapshots() {
		n += snap.Counters[scoreboard.Requests]
	}
	return n
}

// statusValue reads a number from /proc/PID/status, in bytes where the file says kB.
func statusValue(pid int, key string) (int64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, key+":"); ok {
			fields := strings.Fields(rest)
			n, err := strconv.ParseInt(fields[0], 10, 64)
			if len(fields) > 1 && fields[1] == "kB" {
				n <<= 10
			}
			return n, err
		}
	}
	return 0, fmt.Errorf("no %s in the status of %d", key, pid)
}

// peakRSS returns the most memory a process has held, in bytes.
func peakRSS(t *testing.T, pid int) int64 {
	t.Helper()
	n, err := statusValue(pid, "VmHWM")
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// drainMeasuring reads all that comes on a connection and returns how many bytes, and the most memory any worker held.
func drainMeasuring(t *testing.T, c *load.Conn, s *appserver) (bytes, peak int64) {
	t.Helper()
	buf := make([]byte, 1<<20)
	for {
		n, err := c.Conn.Read(buf)
		bytes += int64(n)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("after %d bytes: %v", bytes, err)
		}
	}
	for _, pid := range s.workers() {
		peak = max(peak, peakRSS(t, pid))
	}
	return bytes, peak
}
