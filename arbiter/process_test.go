package arbiter

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/appserver-go/appserver/internal/fault"
	"github.com/appserver-go/appserver/sockets"
)

// These tests run real processes. They share this process's children and signals, so none of them is parallel.

// patience bounds every wait; only a broken test comes near it.
const patience = 30 * time.Second

// journal is a log that tests can read and wait for.
type journal struct {
	mu    sync.Mutex
	text  bytes.Buffer
	ready chan int // the process ids of workers that became ready
}

func newJournal() *journal { return &journal{ready: make(chan int, 1000)} }

func (j *journal) logger() *slog.Logger {
	replace := func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}
	return slog.New(slog.NewTextHandler(j, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: replace}))
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if line := string(p); strings.Contains(line, `"Worker is ready"`) {
		_, rest, _ := strings.Cut(line, " pid=")
		digits, _, _ := strings.Cut(rest, " ")
		pid, err := strconv.Atoi(digits)
		if err != nil {
			return 0, err
		}
		j.ready <- pid
	}
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// line waits for a line with all of the words and returns it.
func (j *journal) line(t *testing.T, words ...string) string {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
	lines:
		for line := range strings.Lines(j.String()) {
			for _, w := range words {
				if !strings.Contains(line, w) {
					continue lines
				}
			}
			return line
		}
	}
	t.Fatalf("no line with %q:\n%s", words, j)
	return ""
}

func (j *journal) nextReady(t *testing.T) int {
	t.Helper()
	select {
	case pid := <-j.ready:
		return pid
	case <-time.After(patience):
		t.Fatalf("no worker got ready:\n%s", j)
		return 0
	}
}

// running is an arbiter at work in this process.
type running struct {
	*journal
	cancel context.CancelFunc
	err    chan error
	lost   chan LostRequest
}

func options(mode string, j *journal) Options {
	return Options{
		Settings: Settings{
			Workers: 1, Threads: 1, AbortGrace: 100 * time.Millisecond, BootTimeout: patience, GracefulTimeout: patience,
			Sockets: &sockets.Set{},
		},
		AppName: "app.wasm", Env: append(os.Environ(), modeEnv+"="+mode), Log: j.logger(),
	}
}

// launch runs an arbiter whose workers are of a mode. Change may alter the options, and set in the Arbiter what healthy
// is to be longer by, and bootAttempts.
func launch(t *testing.T, mode string, change func(*Options, *Arbiter)) *running {
	t.Helper()
	r := &running{journal: newJournal(), err: make(chan error, 1), lost: make(chan LostRequest, 100)}
	o := options(mode, r.journal)
	o.Lost = func(l LostRequest) { r.lost <- l }
	var probe Arbiter
	if change != nil {
		change(&o, &probe)
	}
	a, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	a.healthy += probe.healthy
	if probe.bootAttempts > 0 {
		a.bootAttempts = probe.bootAttempts
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	go func() { r.err <- a.Run(ctx) }()
	t.Cleanup(cancel)
	return r
}

// wait returns what Run returned.
func (r *running) wait(t *testing.T) error {
	t.Helper()
	select {
	case err := <-r.err:
		return err
	case <-time.After(patience):
		t.Fatalf("the arbiter does not end:\n%s", r)
		return nil
	}
}

func (r *running) stop(t *testing.T) {
	t.Helper()
	r.cancel()
	if err := r.wait(t); err != nil {
		t.Errorf("Run: %v", err)
	}
}

func entries(t *testing.T, dir string) int {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// settled waits until a count is at most want, and returns it.
func settled(want int, count func() int) int {
	n := count()
	for deadline := time.Now().Add(patience / 3); n > want && time.Now().Before(deadline); n = count() {
		time.Sleep(time.Millisecond)
	}
	return n
}

func TestKill9TwoHundredTimes(t *testing.T) {
	_, stop := (&system{}).signals() // starts the goroutine of os/signal, which never ends
	stop()
	goroutines := runtime.NumGoroutine()
	// Every death counts as the first, or back-off would slow the test down.
	r := launch(t, "serve", func(o *Options, a *Arbiter) { o.Workers, a.healthy = 2, -healthyAfter })
	kill := func(times int) {
		for range times {
			if err := unix.Kill(r.nextReady(t), unix.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
		one, other := r.nextReady(t), r.nextReady(t) // both are ready again, so all deaths have been dealt with
		r.ready <- one
		r.ready <- other
	}
	kill(20)
	fds, threads := entries(t, "/proc/self/fd"), entries(t, "/proc/self/task")
	kill(180)
	if n := settled(fds, func() int { return entries(t, "/proc/self/fd") }); n > fds {
		t.Errorf("%d descriptors after 20 kills, %d after 200", fds, n)
	}
	if n := entries(t, "/proc/self/task"); n > threads+4 { // the Go scheduler may add a few at any time
		t.Errorf("%d threads after 20 kills, %d after 200", threads, n)
	}
	if n := strings.Count(r.String(), "which the arbiter did not send"); n != 200 {
		t.Errorf("%d deaths were explained, want 200", n)
	}
	r.stop(t)
	if n := settled(goroutines, runtime.NumGoroutine); n > goroutines {
		t.Errorf("%d goroutines before, %d after", goroutines, n)
	}
}

func TestAWorkerGetsExactlyItsDescriptors(t *testing.T) {
	addr, err := sockets.Parse("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	set, err := sockets.Listen(t.Context(), []sockets.Addr{addr}, sockets.Options{})
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.MemfdCreate("artifact", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	artifact := os.NewFile(uintptr(fd), "artifact")
	defer artifact.Close()
	file := filepath.Join(t.TempDir(), "report")
	r := launch(t, "serve", func(o *Options, _ *Arbiter) {
		o.Sockets, o.Artifact, o.Env = set, artifact, append(o.Env, fileEnv+"="+file)
	})
	pid := r.nextReady(t)
	report := mustRead(t, file)
	for _, want := range []string{
		"args [\"worker\" \"app.wasm\" \"#0\"]\n", "group true\n", "fd 0 /dev/null nonblock=false\n", "fd 2 pipe nonblock=false\n",
		"fd 3 socket nonblock=false\n", "fd 4 /memfd:appserver-scoreboard (deleted) nonblock=false\n",
		"fd 5 socket nonblock=true\n", "fd 7 /memfd:artifact (deleted) nonblock=false\n",
	} {
		if !strings.Contains(report, want) {
			t.Errorf("the worker does not report %q", want)
		}
	}
	if strings.Count(report, " socket ") != 2 || strings.Count(report, "memfd") != 2 || strings.Count(report, "pipe") > 4 {
		t.Errorf("the worker has more than it should")
	}
	if t.Failed() {
		t.Log(report)
	}
	if cmdline := mustRead(t, fmt.Sprintf("/proc/%d/cmdline", pid)); !strings.HasPrefix(cmdline, os.Args[0]+"\x00worker\x00") {
		t.Errorf("ps shows %q", cmdline)
	}
	r.stop(t)
	if err := set.Sockets()[0].Control(func(uintptr) {}); err == nil {
		t.Error("the listening socket is still open")
	}
}

func TestSignalsOfTheSystem(t *testing.T) {
	dir := t.TempDir()
	pidfile, err := LockPidfile(filepath.Join(dir, "pid"))
	if err != nil {
		t.Fatal(err)
	}
	reopened := make(chan bool, 1)
	r := launch(t, "serve", func(o *Options, _ *Arbiter) {
		o.Pidfile = pidfile
		o.ReopenLogs = func() error { reopened <- true; return nil }
	})
	r.nextReady(t)
	self := os.Getpid()
	for i := range 3 {
		if err := unix.Kill(self, unix.SIGTTIN); err != nil {
			t.Fatal(err)
		}
		r.line(t, fmt.Sprintf("from=%d to=%d", i+1, i+2)) // the kernel merges what comes too fast
		r.nextReady(t)
	}
	if err := unix.Kill(self, unix.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	<-reopened
	if err := unix.Kill(self, unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := r.wait(t); err != nil {
		t.Errorf("Run: %v", err)
	}
	if n := entries(t, dir); n != 0 {
		t.Errorf("the pidfile was left behind")
	}
	if n := strings.Count(r.String(), `"Worker exited"`); n != 4 {
		t.Errorf("%d workers exited well, want 4:\n%s", n, r)
	}
}

func TestTheReasonOfAFailedBootIsReturned(t *testing.T) {
	err := launch(t, "fail", func(o *Options, _ *Arbiter) { o.Workers = 3 }).wait(t)
	if err == nil || err.Error() != "app.wasm: invalid magic number" || fault.Hint(err) != "build it first" || fault.Code(err) != fault.LoadFailed {
		t.Errorf("Run: %v, hint %q, code %d", err, fault.Hint(err), fault.Code(err))
	}
}

func TestCrashOutputIsCaptured(t *testing.T) {
	r := launch(t, "crash", func(_ *Options, a *Arbiter) { a.bootAttempts = 2 })
	err := r.wait(t)
	if fault.Code(err) != fault.BootFailed || !strings.Contains(err.Error(), "2 workers in a row") {
		t.Errorf("Run: %v", err)
	}
	if n := strings.Count(r.String(), `msg="Worker died"`); n != 2 {
		t.Errorf("%d records of a death, want 2", n)
	}
	died := r.line(t, "level=ERROR", `"Worker died"`, "noise")
	if len(died) > 2*stderrShown {
		t.Errorf("an error record has %d bytes", len(died))
	}
	r.line(t, "level=DEBUG", "panic: boom", "bytes left out", "goroutine")
}

func TestBootTimeoutOfAProcess(t *testing.T) {
	r := launch(t, "hang", func(o *Options, _ *Arbiter) { o.BootTimeout = 300 * time.Millisecond })
	err := r.wait(t)
	if fault.Code(err) != fault.LoadFailed || !strings.Contains(err.Error(), "still compiling") {
		t.Errorf("Run: %v", err)
	}
	r.line(t, `"Worker died"`, "SIGABRT: abort") // the runtime's dump
}

func TestAStuckProcessIsAborted(t *testing.T) {
	r := launch(t, "stuck", func(o *Options, _ *Arbiter) { o.Timeout = 200 * time.Millisecond })
	first := r.nextReady(t)
	lost := <-r.lost
	if lost.Call.Target != "/loop" || lost.PID != first || lost.Duration < 300*time.Millisecond {
		t.Errorf("lost %+v", lost)
	}
	r.line(t, "level=ERROR", "stuck in a request, aborting", "path=/loop", "request_id=r1")
	r.line(t, "level=ERROR", `"Worker died"`, "SIGABRT: abort", fmt.Sprintf("pid=%d", first))
	r.nextReady(t)
	r.stop(t)
}

func TestAStoppedProcessIsKilled(t *testing.T) {
	r := launch(t, "stopped", func(o *Options, _ *Arbiter) { o.WorkerTimeout = 500 * time.Millisecond })
	first := r.nextReady(t)
	if lost := <-r.lost; lost.Call.Target != "/stop" || lost.PID != first {
		t.Errorf("lost %+v", lost)
	}
	r.line(t, "survived SIGABRT")
	if err := unix.Kill(first, 0); err != unix.ESRCH {
		t.Errorf("the process is still there: %v", err)
	}
	// Its successor stops too, and the graceful halt must not wait for it for ever.
	r.nextReady(t)
	r.stop(t)
}

func TestADeafWorkerIsKilledAtTheEndOfTheGrace(t *testing.T) {
	r := launch(t, "deaf", func(o *Options, _ *Arbiter) { o.GracefulTimeout = 100 * time.Millisecond })
	pid := r.nextReady(t)
	r.stop(t)
	r.line(t, "did not finish within 100ms")
	if err := unix.Kill(pid, 0); err != unix.ESRCH {
		t.Errorf("the process is still there: %v", err)
	}
}

func TestAProcessThatSendsGarbageIsKilled(t *testing.T) {
	r := launch(t, "garbage", func(_ *Options, a *Arbiter) { a.bootAttempts = 2 })
	r.line(t, "level=ERROR", "broke the protocol", "malformed")
	if err := r.wait(t); fault.Code(err) != fault.BootFailed {
		t.Errorf("Run: %v", err)
	}
}

// As process 1 the arbiter inherits orphans; a subreaper does too. The orphan holds the dead worker's pipe and socket,
// which must not keep the arbiter from noticing the death.
func TestOrphansAreReaped(t *testing.T) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Skipf("subreaper: %v", err)
	}
	defer unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
	file := filepath.Join(t.TempDir(), "orphan")
	r := launch(t, "orphan", func(o *Options, _ *Arbiter) { o.Env = append(o.Env, fileEnv+"="+file) })
	for range 2 {
		// Until the file names another orphan; the arbiter starts the next worker only when the last one was buried.
		var orphan int
		deadline := time.Now().Add(patience)
		for orphan == 0 && time.Now().Before(deadline) {
			data, _ := os.ReadFile(file)
			orphan, _ = strconv.Atoi(string(data))
			time.Sleep(time.Millisecond)
		}
		if orphan == 0 {
			t.Fatalf("no orphan:\n%s", r)
		}
		os.Remove(file)
		r.line(t, `"Worker died"`, "panic: boom")
		if err := unix.Kill(orphan, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		r.line(t, "Reaped a process that is no worker", fmt.Sprintf("pid=%d", orphan))
	}
	r.cancel()
	if err := r.wait(t); err != nil && fault.Code(err) != fault.BootFailed {
		t.Errorf("Run: %v", err)
	}
	if data, err := os.ReadFile(file); err == nil {
		if orphan, err := strconv.Atoi(string(data)); err == nil {
			unix.Kill(orphan, syscall.SIGKILL)
		}
	}
}

func TestCheckOfAProcess(t *testing.T) {
	j := newJournal()
	facts, err := Check(t.Context(), options("serve", j))
	if err != nil || len(facts.Guest) != 1 || facts.Guest[0].Key != "slot" {
		t.Errorf("Check: %+v, %v\n%s", facts, err, j)
	}
	if _, err := Check(t.Context(), options("fail", newJournal())); fault.Code(err) != fault.LoadFailed || fault.Hint(err) != "build it first" {
		t.Errorf("Check of a broken guest: %v", err)
	}
	if _, err := Check(t.Context(), options("crash", newJournal())); fault.Code(err) != fault.BootFailed {
		t.Errorf("Check of a guest that crashes: %v", err)
	}
}
