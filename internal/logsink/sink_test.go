package logsink

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/appserver-go/appserver/internal/fault"
)

// TestMain ignores SIGPIPE as the command does.
func TestMain(m *testing.M) {
	signal.Ignore(syscall.SIGPIPE)
	os.Exit(m.Run())
}

const patience = 10 * time.Second

func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("still waiting for %s", what)
		}
	}
}

// blockingPipe is a pipe whose writer blocks in write(2), as standard output does; os.Pipe's waits in the poller.
func blockingPipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	var fds [2]int
	if err := syscall.Pipe2(fds[:], syscall.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	r, w = os.NewFile(uintptr(fds[0]), "reader"), os.NewFile(uintptr(fds[1]), "writer")
	t.Cleanup(func() {
		_ = r.Close() // lets go of a writer that still hangs
		_ = w.Close()
	})
	return r, w
}

func notice(n int64) []byte { return fmt.Appendf(nil, "dropped %d log records\n", n) }

func write(t *testing.T, s *Sink, format string, args ...any) {
	t.Helper()
	line := fmt.Sprintf(format, args...) + "\n"
	if n, err := s.Write([]byte(line)); n != len(line) || err != nil {
		t.Fatalf("Write = %d, %v", n, err)
	}
}

func open(t *testing.T, path string, o Options) *Sink {
	t.Helper()
	s, err := Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close(0) })
	return s
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestStalledReader(t *testing.T) {
	r, w := blockingPipe(t)
	var dropped atomic.Int64
	s := New(w, Options{Limit: 64 << 10, Notice: notice, OnDrop: func(n int) { dropped.Add(int64(n)) }})
	const records = 10_000
	padding := strings.Repeat("x", 90)
	for i := range records { // ten times what pipe and queue hold
		write(t, s, "%05d %s", i, padding)
	}
	if dropped.Load() < records/2 || s.Stats().Dropped != dropped.Load() {
		t.Fatalf("%d records dropped, stats %+v", dropped.Load(), s.Stats())
	}
	if err := s.Flush(time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Flush = %v", err)
	}
	lines := bufio.NewScanner(r)
	seen, last, told := 0, -1, int64(0)
	for int64(seen)+told < records && lines.Scan() {
		var n int64
		if _, err := fmt.Sscanf(lines.Text(), "dropped %d log records", &n); err == nil {
			told += n
			continue
		}
		var i int
		if _, err := fmt.Sscanf(lines.Text(), "%d", &i); err != nil || i <= last || lines.Text() != fmt.Sprintf("%05d %s", i, padding) {
			t.Fatalf("after record %d comes %q", last, lines.Text())
		}
		seen, last = seen+1, i
	}
	if told != dropped.Load() || int64(seen)+told != records {
		t.Errorf("%d records were read and %d were told to be dropped, of %d; %d were", seen, told, records, dropped.Load())
	}
	write(t, s, "after")
	if !lines.Scan() || lines.Text() != "after" {
		t.Errorf("after the notice comes %q", lines.Text())
	}
	if err := s.Close(patience); err != nil {
		t.Errorf("Close = %v", err)
	}
	if got := s.Stats(); got.Written != int64(seen)+1 || got.Errors != 0 {
		t.Errorf("stats %+v after %d records", got, seen+1)
	}
}

func TestCloseGivesUpOnStalledReader(t *testing.T) {
	_, w := blockingPipe(t)
	var dropped atomic.Int64
	s := New(w, Options{OnDrop: func(n int) { dropped.Add(int64(n)) }})
	const records = 3000
	for i := range records {
		write(t, s, "%099d", i)
	}
	begin := time.Now()
	if err := s.Close(20 * time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Close = %v", err)
	}
	if took := time.Since(begin); took > patience/2 {
		t.Errorf("Close took %v", took)
	}
	if got := s.Stats(); got.Written+got.Dropped != records || got.Dropped == 0 || got.Dropped != dropped.Load() {
		t.Errorf("stats %+v, %d dropped", got, dropped.Load())
	}
	if n, err := s.Write([]byte("x\n")); n != 0 || !errors.Is(err, os.ErrClosed) {
		t.Errorf("Write after Close = %d, %v", n, err)
	}
	if err := s.Close(time.Hour); err != nil {
		t.Errorf("second Close = %v", err)
	}
}

func TestClosedReader(t *testing.T) {
	r, w := blockingPipe(t)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	s := New(w, Options{Limit: 1000, Retry: time.Millisecond})
	for i := range 100 {
		write(t, s, "%030d", i)
	}
	eventually(t, "two failed writes", func() bool { return s.Stats().Errors >= 2 })
	if got := s.Stats(); got.Written != 0 || got.Dropped == 0 {
		t.Errorf("stats %+v", got)
	}
	if err := s.Close(patience); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("Close = %v", err)
	}
	if got := s.Stats(); got.Dropped != 100 {
		t.Errorf("stats %+v", got)
	}
}

func TestFullDiskDoesNotSpin(t *testing.T) {
	s := open(t, "/dev/full", Options{Retry: 20 * time.Millisecond})
	begin := time.Now()
	write(t, s, "lost")
	eventually(t, "three failed writes", func() bool { return s.Stats().Errors >= 3 })
	// Failures come after pauses of 20, 40, 80 … ms.
	if took := time.Since(begin); took < 60*time.Millisecond {
		t.Errorf("three failures in %v", took)
	}
	if err := s.Close(patience); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Close = %v", err)
	}
}

// TestErrorThenNewFile has a disk that is full, and space after a Reopen.
func TestErrorThenNewFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "log")
	if err := os.Symlink("/dev/full", path); err != nil {
		t.Fatal(err)
	}
	s := open(t, path, Options{Retry: time.Hour})
	write(t, s, "one")
	eventually(t, "a failed write", func() bool { return s.Stats().Errors == 1 })
	write(t, s, "two")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := s.Reopen(); err != nil {
		t.Fatal(err)
	}
	if err := s.Flush(patience); err != nil {
		t.Fatal(err)
	}
	if got := read(t, path); got != "one\ntwo\n" {
		t.Errorf("the new file has %q", got)
	}
}

// TestPartialRecordGoesOn breaks a write off in the middle of a record.
func TestPartialRecordGoesOn(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	// A deadline makes a write of a pollable pipe end with an error after a part, as ENOSPC does for a file.
	s := New(w, Options{Retry: time.Millisecond})
	s.longest.Store(DefaultLimit)          // as for a file, which a pipe stands in for
	record := strings.Repeat("a", 300_000) // more than a pipe holds
	if err := w.SetWriteDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	write(t, s, "%s", record)
	write(t, s, "end")
	eventually(t, "a failed write", func() bool { return s.Stats().Errors > 0 })
	if err := w.SetWriteDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(record)+5)
	if _, err := io.ReadFull(r, got); err != nil || string(got) != record+"\nend\n" {
		t.Errorf("%v, %d bytes do not match", err, len(got))
	}
	if err := s.Close(patience); err != nil || s.Stats().Written != 2 {
		t.Errorf("Close = %v, stats %+v", err, s.Stats())
	}
}

func TestRotationLosesNothing(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "log")
	s := open(t, path, Options{Limit: 16 << 20})
	const records, rotations = 20_000, 20
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range records {
			write(t, s, "%d", i)
		}
	})
	for i := range rotations {
		old := filepath.Join(dir, fmt.Sprintf("log.%02d", i))
		if err := os.Rename(path, old); err != nil {
			t.Fatal(err)
		}
		if err := s.Reopen(); err != nil {
			t.Fatal(err)
		}
		size := len(read(t, old))
		write(t, s, "rotated %d", i)
		if err := s.Flush(patience); err != nil {
			t.Fatal(err)
		}
		if len(read(t, old)) != size {
			t.Error("the old file grew after Reopen")
		}
	}
	wg.Wait()
	if err := s.Close(patience); err != nil {
		t.Fatal(err)
	}
	var all bytes.Buffer
	for i := range rotations {
		all.WriteString(read(t, filepath.Join(dir, fmt.Sprintf("log.%02d", i))))
	}
	all.WriteString(read(t, path))
	next, rotated := 0, 0
	for line := range strings.Lines(all.String()) {
		switch line {
		case fmt.Sprintf("%d\n", next):
			next++
		case fmt.Sprintf("rotated %d\n", rotated):
			rotated++
		default:
			t.Fatalf("after record %d comes %q", next, line)
		}
	}
	if next != records || rotated != rotations {
		t.Errorf("%d of %d records, %d of %d marks", next, records, rotated, rotations)
	}
}

func TestReopenFailureKeepsFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "sub")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "log")
	s := open(t, path, Options{})
	moved := dir + ".moved"
	if err := os.Rename(dir, moved); err != nil {
		t.Fatal(err)
	}
	err := s.Reopen()
	if err == nil || fault.Hint(err) != "create its directory" || !strings.HasPrefix(err.Error(), "open log "+path+": ") {
		t.Errorf("Reopen = %v, hint %q", err, fault.Hint(err))
	}
	write(t, s, "still here")
	if err := s.Flush(patience); err != nil {
		t.Fatal(err)
	}
	if got := read(t, filepath.Join(moved, "log")); got != "still here\n" {
		t.Errorf("the old file has %q", got)
	}
}

func TestConcurrentWritersKeepLinesWhole(t *testing.T) {
	const writers, records = 8, 500
	path := filepath.Join(t.TempDir(), "log")
	sinks := []*Sink{open(t, path, Options{}), open(t, path, Options{})} // as two processes would
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			for j := range records {
				write(t, sinks[i%2], "%d:%s:%d", i, strings.Repeat(string(rune('a'+i)), 10+j%200), j)
			}
		})
	}
	wg.Wait()
	for _, s := range sinks {
		if err := s.Close(patience); err != nil {
			t.Fatal(err)
		}
	}
	var next [writers]int
	for line := range strings.Lines(read(t, path)) {
		var i, j int
		var text string
		if _, err := fmt.Sscanf(strings.ReplaceAll(line, ":", " "), "%d %s %d\n", &i, &text, &j); err != nil {
			t.Fatalf("torn line %q: %v", line, err)
		}
		if j != next[i] || text != strings.Repeat(string(rune('a'+i)), 10+j%200) {
			t.Fatalf("line %q, want number %d", line, next[i])
		}
		next[i]++
	}
	for i, n := range next {
		if n != records {
			t.Errorf("writer %d has %d records", i, n)
		}
	}
}

// TestPipeWritesStayWhole has two sinks on one pipe; each write may hold no more than the kernel keeps together.
func TestPipeWritesStayWhole(t *testing.T) {
	r, w := blockingPipe(t)
	a, b := New(w, Options{}), New(w, Options{})
	var wg sync.WaitGroup
	const records = 1000
	for name, s := range map[string]*Sink{"a": a, "b": b} {
		wg.Go(func() {
			for range records {
				write(t, s, "%s", strings.Repeat(name, 300))
			}
			if err := s.Close(patience); err != nil {
				t.Error(err)
			}
		})
	}
	lines, counts := bufio.NewScanner(r), map[string]int{}
	for counts["a"]+counts["b"] < 2*records && lines.Scan() {
		text := lines.Text()
		if text != strings.Repeat("a", 300) && text != strings.Repeat("b", 300) {
			t.Fatalf("torn line %q", text)
		}
		counts[text[:1]]++
	}
	wg.Wait()
	if counts["a"] != records || counts["b"] != records {
		t.Errorf("%v lines", counts)
	}
}

func TestFileIsPrivateAndAppended(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	for i := range 2 {
		s := open(t, path, Options{})
		write(t, s, "%d", i)
		if err := s.Close(patience); err != nil {
			t.Fatal(err)
		}
	}
	if got := read(t, path); got != "0\n1\n" {
		t.Errorf("the file has %q", got)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm()&^0o640 != 0 || info.Mode().Perm()&0o600 != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	dangling, fifo := filepath.Join(dir, "dangling"), filepath.Join(dir, "fifo")
	if err := os.Symlink(filepath.Join(dir, "nowhere"), dangling); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, hint := range map[string]string{
		dir: "name a file in the directory", filepath.Join(dir, "no", "log"): "create its directory",
		dangling: "symbolic link to nowhere", fifo: "start its reader first",
	} {
		if s, err := Open(path, Options{}); err == nil || !strings.Contains(fault.Hint(err), hint) {
			t.Errorf("Open(%s) = %v, %v, hint %q", filepath.Base(path), s, err, fault.Hint(err))
		}
	}
	if _, err := os.Lstat(filepath.Join(dir, "nowhere")); err == nil {
		t.Error("a file was created through a link")
	}
}

func TestChownOnlyWhatIsNew(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root may give files away")
	}
	dir := t.TempDir()
	fresh, old := filepath.Join(dir, "fresh"), filepath.Join(dir, "old")
	if err := os.WriteFile(old, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]uint32{fresh: 65534, old: 0} {
		open(t, path, Options{Chown: true, UID: 65534, GID: 65534})
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Sys().(*syscall.Stat_t).Uid; got != want {
			t.Errorf("%s belongs to %d, want %d", filepath.Base(path), got, want)
		}
	}
}

func TestNewLeavesFileOpen(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := New(f, Options{})
	if err := s.Reopen(); err != nil {
		t.Errorf("Reopen = %v", err)
	}
	write(t, s, "one")
	if err := s.Close(patience); err != nil {
		t.Errorf("Close = %v", err)
	}
	if _, err := f.WriteString("two\n"); err != nil {
		t.Errorf("the file is closed: %v", err)
	}
	if got := read(t, f.Name()); got != "one\ntwo\n" {
		t.Errorf("the file has %q", got)
	}
}

func TestRecordLargerThanQueue(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	s := open(t, path, Options{Limit: 10, Notice: notice})
	write(t, s, "0123456789")
	write(t, s, "short")
	if err := s.Flush(patience); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the notice", func() bool { return strings.Contains(read(t, path), "dropped 1 log records\n") })
	if err := s.Close(patience); err != nil || s.Stats() != (Stats{Written: 1, Dropped: 1}) {
		t.Errorf("Close = %v, stats %+v", err, s.Stats())
	}
}

func TestReopenAfterClose(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "log"), Options{})
	if err := s.Close(patience); err != nil {
		t.Fatal(err)
	}
	if err := s.Reopen(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Reopen = %v", err)
	}
}

func BenchmarkWrite(b *testing.B) {
	s, err := Open(os.DevNull, Options{})
	if err != nil {
		b.Fatal(err)
	}
	line := []byte(strings.Repeat("x", 120) + "\n")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Write(line); err != nil {
			b.Fatal(err)
		}
	}
	if err := s.Close(patience); err != nil {
		b.Fatal(err)
	}
}
