package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/appserver-go/appserver/internal/load"
	"github.com/appserver-go/appserver/internal/texttest"
)

// TestMain makes this test binary an appserver when it is run under that name: by testscript, by the tests below, and
// by an arbiter that re-executes itself for a worker.
func TestMain(m *testing.M) {
	name := os.Args[0] // which testscript shortens, and an upgrade needs
	testscript.Main(cleaner{m}, map[string]func(){"appserver": func() { os.Args[0] = name; main() }})
}

// cleaner removes what the tests of a run share once all have run.
type cleaner struct{ *testing.M }

// Run implements testscript.TestingM.
func (c cleaner) Run() int {
	defer removePlugins()
	return c.M.Run()
}

// patience is how long a test waits for what must happen; it is never spent when things work.
const patience = 20 * time.Second

func wasm(name string) string { return filepath.Join("..", "..", "testdata", "wasm", name+".wasm") }

// appserver is a running `appserver serve`.
type appserver struct {
	t    *testing.T
	cmd  *exec.Cmd
	addr string // what to dial
	out  *texttest.Buffer

	successor int // pid of the arbiter that has taken over from cmd, or 0

	mu      sync.Mutex
	changed *sync.Cond
	records []record
	raw     strings.Builder // lines of standard error that are no records
	exited  chan struct{}

	patience time.Duration // of tests in which a compiler runs
}

// record is one line of the JSON log.
type record map[string]any

func (r record) msg() string { return r.text("msg") }

func (r record) text(key string) string {
	if v, ok := r[key]; ok {
		return fmt.Sprint(v)
	}
	return ""
}

// start runs `appserver serve` with a free port, unless args bind something else, and a JSON log, and waits until
// it is ready.
func start(t *testing.T, args ...string) *appserver {
	t.Helper()
	s := launch(t, args...)
	s.awaitReady()
	return s
}

// launch runs `appserver serve` without waiting.
func launch(t *testing.T, args ...string) *appserver {
	t.Helper()
	s := prepare(t, args...)
	s.begin()
	return s
}

// prepare makes a server that begin will run.
func prepare(t *testing.T, args ...string) *appserver {
	t.Helper()
	return prepareAs(t, "serve", args...)
}

// prepareAs is prepare for another subcommand that serves.
func prepareAs(t *testing.T, subcommand string, args ...string) *appserver {
	t.Helper()
	var guests []string // what is behind "--" is the guest's
	if n := slices.Index(args, "--"); n >= 0 {
		args, guests = args[:n], args[n:]
	}
	all := append([]string{subcommand}, args...)
	if !hasFlag(args, "--bind", "-b") {
		all = append(all, "--bind", "127.0.0.1:0")
	}
	if !hasFlag(args, "--log-level") {
		all = append(all, "--log-level", "debug")
	}
	s := &appserver{t: t, out: &texttest.Buffer{}, exited: make(chan struct{})}
	s.changed = sync.NewCond(&s.mu)
	all = append(all, "--log-format", "json")
	all = append(all, guests...)
	s.cmd = command(all...)
	s.cmd.Stdout = s.out
	return s
}

// begin runs a prepared server. Its log is followed unless the test has given standard error to somebody else.
func (s *appserver) begin() {
	s.t.Helper()
	stderr := io.Reader(strings.NewReader(""))
	if s.cmd.Stderr == nil {
		pipe, err := s.cmd.StderrPipe()
		if err != nil {
			s.t.Fatal(err)
		}
		stderr = pipe
	}
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	go s.read(stderr)
	s.t.Cleanup(s.cleanup)
}

// command prepares this test binary to run as appserver.
func command(args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Args = append([]string{"appserver"}, args...)
	cmd.Env = append(os.Environ(), "XDG_CACHE_HOME="+os.TempDir(), "XDG_RUNTIME_DIR="+os.TempDir(),
		"GORACE=atexit_sleep_ms=0") // the race detector's pause at exit is not ours
	return cmd
}

func hasFlag(args []string, names ...string) bool {
	for _, a := range args {
		for _, n := range names {
			if a == n || strings.HasPrefix(a, n+"=") {
				return true
			}
		}
	}
	return false
}

// read follows the server's log until it ends, and then the process.
func (s *appserver) read(r io.Reader) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		s.mu.Lock()
		var rec record
		if json.Unmarshal(lines.Bytes(), &rec) == nil {
			s.records = append(s.records, rec)
		} else {
			s.raw.WriteString(lines.Text() + "\n")
		}
		s.mu.Unlock()
		s.changed.Broadcast()
	}
	s.cmd.Wait()
	close(s.exited)
	s.changed.Broadcast()
}

// awaitRecord waits for a log record, old or new, that match accepts.
func (s *appserver) awaitRecord(what string, match func(record) bool) record {
	s.t.Helper()
	deadline := time.AfterFunc(patience, s.changed.Broadcast)
	defer deadline.Stop()
	end := time.Now().Add(patience)
	s.mu.Lock()
	defer s.mu.Unlock()
	for seen := 0; ; {
		for ; seen < len(s.records); seen++ {
			if match(s.records[seen]) {
				return s.records[seen]
			}
		}
		if s.gone() || time.Now().After(end) {
			s.t.Fatalf("no log record: %s\n%s", what, s.dump())
		}
		s.changed.Wait()
	}
}

// awaitMsg waits for a record with the message.
func (s *appserver) awaitMsg(msg string) record {
	s.t.Helper()
	return s.awaitRecord(strconv.Quote(msg), func(r record) bool { return r.msg() == msg })
}

func (s *appserver) gone() bool {
	select {
	case <-s.exited:
		return true
	default:
		return false
	}
}

// dump renders the log for a failure message; the caller holds the lock.
func (s *appserver) dump() string {
	var b strings.Builder
	for _, r := range s.records {
		line, _ := json.Marshal(r)
		fmt.Fprintf(&b, "\t%s\n", line)
	}
	return b.String() + s.raw.String()
}

func (s *appserver) log() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dump()
}

// wait waits for the exit and returns the exit code.
func (s *appserver) wait() int {
	s.t.Helper()
	select {
	case <-s.exited:
	case <-time.After(2 * patience):
		s.t.Fatalf("server does not exit\n%s", s.log())
	}
	return s.cmd.ProcessState.ExitCode()
}

func (s *appserver) signal(sig syscall.Signal) {
	s.t.Helper()
	if err := syscall.Kill(s.pid(), sig); err != nil {
		s.t.Fatal(err)
	}
}

// pid returns the process id of the arbiter.
func (s *appserver) pid() int {
	if s.successor != 0 {
		return s.successor
	}
	return s.cmd.Process.Pid
}

// stop terminates the server and wants it to exit cleanly.
func (s *appserver) stop() {
	s.t.Helper()
	s.signal(syscall.SIGTERM)
	if code := s.wait(); code != 0 {
		s.t.Fatalf("exit code %d after SIGTERM\n%s", code, s.log())
	}
}

// cleanup ends what the test has left running: the arbiter, and with it the workers.
func (s *appserver) cleanup() {
	if s.gone() {
		return
	}
	s.cmd.Process.Signal(syscall.SIGINT)
	syscall.Kill(s.pid(), syscall.SIGINT)
	select {
	case <-s.exited:
	case <-time.After(patience):
		s.t.Errorf("server does not exit on SIGINT\n%s", s.log())
		s.cmd.Process.Kill()
	}
}

// get fetches a path on a connection of its own.
func (s *appserver) get(path string) (*load.Response, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return load.Get(ctx, s.addr, path)
}

// mustGet fetches a path and wants the status.
func (s *appserver) mustGet(path string, status int) *load.Response {
	s.t.Helper()
	resp, err := s.get(path)
	if err != nil {
		s.t.Fatalf("GET %s: %v\n%s", path, err, s.log())
	}
	if resp.Status != status {
		s.t.Fatalf("GET %s: status %d, want %d; body %q\n%s", path, resp.Status, status, resp.Body, s.log())
	}
	return resp
}

// workers returns the process ids of the living workers.
func (s *appserver) workers() []int {
	var pids []int
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", s.pid()))
	for _, path := range tasks {
		data, _ := os.ReadFile(path)
		for f := range strings.FieldsSeq(string(data)) {
			if n, err := strconv.Atoi(f); err == nil && alive(n) {
				pids = append(pids, n)
			}
		}
	}
	return pids
}

// alive reports whether a process exists and is no zombie.
func alive(pid int) bool {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(data), ") ")
	return !strings.HasPrefix(rest, "Z") && !strings.HasPrefix(rest, "X")
}

// eventually waits until a condition holds.
func eventually(t *testing.T, within time.Duration, what string, cond func() bool) {
	t.Helper()
	end := time.Now().Add(within)
	for !cond() {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", within, what)
		}
		time.Sleep(2 * time.Millisecond) // the pace of looking, not a bound on anything
	}
}

// awaitReady waits until the server serves and notes its first address.
func (s *appserver) awaitReady() {
	s.t.Helper()
	r := s.awaitMsg("Ready")
	addrs, _ := r["addresses"].([]any)
	if len(addrs) == 0 {
		s.t.Fatalf("no addresses in %v", r)
	}
	s.addr = strings.TrimPrefix(strings.TrimPrefix(fmt.Sprint(addrs[0]), "http://"), "https://")
}
