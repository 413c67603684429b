package main

import (
	"errors"
	"fmt"
	"net"
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

	"golang.org/x/sys/unix"

	"github.com/appserver-go/appserver/internal/fault"
)

// serviceManager is a notify socket and what came in on it.
type serviceManager struct {
	t    *testing.T
	name string

	mu       sync.Mutex
	messages []string
	senders  []int // pids, by message
}

// newServiceManager listens on a path, or in the abstract namespace if name begins with "@".
func newServiceManager(t *testing.T, name string) *serviceManager {
	t.Helper()
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var optErr error
	err = raw.Control(func(fd uintptr) { optErr = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PASSCRED, 1) })
	if err := errors.Join(err, optErr); err != nil {
		t.Fatal(err)
	}
	m := &serviceManager{t: t, name: name}
	var reading sync.WaitGroup
	reading.Go(func() {
		buf, control := make([]byte, 4096), make([]byte, 256)
		for {
			n, nc, _, _, err := c.ReadMsgUnix(buf, control)
			if err != nil {
				return
			}
			m.mu.Lock()
			m.messages = append(m.messages, string(buf[:n]))
			m.senders = append(m.senders, sender(control[:nc]))
			m.mu.Unlock()
		}
	})
	t.Cleanup(func() { c.Close(); reading.Wait() })
	return m
}

// sender returns who has sent a message, as the kernel says.
func sender(control []byte) int {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil || len(messages) == 0 {
		return 0
	}
	cred, err := unix.ParseUnixCredentials(&messages[0])
	if err != nil {
		return 0
	}
	return int(cred.Pid)
}

// mainPID is the process that systemd takes for the service, if first was it at the beginning. A message of anybody else
// fails the test: with NotifyAccess=main systemd would drop it.
func (m *serviceManager) mainPID(first int) int {
	m.t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, msg := range m.messages {
		if m.senders[i] != first && msg != "MARK" {
			m.t.Errorf("process %d says %q while %d is the main process", m.senders[i], msg, first)
		}
		if value, ok := strings.CutPrefix(msg, "MAINPID="); ok {
			pid, err := strconv.Atoi(value)
			if err != nil {
				m.t.Error(err)
			}
			first = pid
		}
	}
	return first
}

func (m *serviceManager) all() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.messages)
}

// count returns how many messages begin with the assignment.
func (m *serviceManager) count(assignment string) (n int) {
	for _, msg := range m.all() {
		if strings.HasPrefix(msg, assignment) {
			n++
		}
	}
	return n
}

func (m *serviceManager) await(assignment string) {
	m.t.Helper()
	eventually(m.t, patience, assignment+" to the service manager", func() bool { return m.count(assignment) > 0 })
}

// mark waits until everything that was sent before has been read.
func (m *serviceManager) mark() {
	m.t.Helper()
	c, err := net.Dial("unixgram", m.name)
	if err != nil {
		m.t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("MARK")); err != nil {
		m.t.Fatal(err)
	}
	m.await("MARK")
}

// notified prepares a server under the manager, with more variables.
func notified(t *testing.T, m *serviceManager, environ []string, args ...string) *appserver {
	t.Helper()
	s := prepare(t, append([]string{wasm("hello")}, args...)...)
	s.cmd.Env = append(append(s.cmd.Env, "NOTIFY_SOCKET="+m.name), environ...)
	return s
}

func TestNotifyServiceManager(t *testing.T) {
	for kind, name := range map[string]string{
		"path": filepath.Join(t.TempDir(), "notify"), "abstract": fmt.Sprintf("@appserver-e2e-%d", os.Getpid()),
	} {
		t.Run(kind, func(t *testing.T) {
			m := newServiceManager(t, name)
			s := notified(t, m, []string{"WATCHDOG_USEC=60000000", "WATCHDOG_PID="}, "-w", "2", "--chdir", filepath.Dir(wasm("hello")))
			s.cmd.Args = replaceArg(s.cmd.Args, wasm("hello"), "hello.wasm")
			s.begin()
			m.await("READY=1\nSTATUS=2 of 2 workers ready")
			m.await("WATCHDOG=1")
			s.awaitReady()
			s.mustGet("/", 200)
			for _, pid := range s.workers() {
				environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
				if err != nil {
					t.Fatal(err)
				}
				for entry := range strings.SplitSeq(string(environ), "\x00") {
					if strings.HasPrefix(entry, "NOTIFY_SOCKET") || strings.HasPrefix(entry, "WATCHDOG_") {
						t.Errorf("worker %d has %s", pid, entry)
					}
				}
			}
			s.signal(syscall.SIGTTIN)
			m.await("STATUS=3 of 3 workers ready")
			s.stop()
			m.await("STOPPING=1")
			all := m.all()
			ready := slices.IndexFunc(all, func(msg string) bool { return strings.HasPrefix(msg, "READY=1") })
			stopping := slices.IndexFunc(all, func(msg string) bool { return strings.HasPrefix(msg, "STOPPING=1") })
			if m.count("READY=1") != 1 || m.count("STOPPING=1") != 1 || ready > stopping {
				t.Errorf("the manager was told %q", all)
			}
		})
	}
}

// The server is ready when min_ready workers are, be the others ready too or not.
func TestReadyAtMinReady(t *testing.T) {
	m := newServiceManager(t, filepath.Join(t.TempDir(), "notify"))
	s := notified(t, m, nil, "-w", "4", "--min-ready", "1")
	s.begin()
	m.await("READY=1")
	s.awaitReady()
	var ready int
	for _, msg := range m.all() {
		if rest, ok := strings.CutPrefix(msg, "READY=1\nSTATUS="); ok {
			if _, err := fmt.Sscanf(rest, "%d of 4 workers ready", &ready); err != nil {
				t.Errorf("%q: %v", msg, err)
			}
		}
	}
	if ready < 1 || ready > 4 {
		t.Errorf("ready with %d workers", ready)
	}
	m.await("STATUS=4 of 4 workers ready")
	s.stop()
}

// A guest that does not load is never reported as ready.
func TestNotReady(t *testing.T) {
	m := newServiceManager(t, filepath.Join(t.TempDir(), "notify"))
	s := prepare(t, wasm("badimport"), "-w", "1")
	s.cmd.Env = append(s.cmd.Env, "NOTIFY_SOCKET="+m.name)
	s.begin()
	if code := s.wait(); code != fault.LoadFailed {
		t.Errorf("exit code %d, want %d\n%s", code, fault.LoadFailed, s.log())
	}
	m.await("STOPPING=1")
	if m.count("READY=1") != 0 {
		t.Errorf("the manager was told %q", m.all())
	}
}

// The pings of the watchdog stop when the arbiter does, and only then: workers do not ping.
func TestWatchdogFollowsTheArbiter(t *testing.T) {
	m := newServiceManager(t, filepath.Join(t.TempDir(), "notify"))
	s := notified(t, m, []string{"WATCHDOG_USEC=400000"}, "-w", "1")
	s.begin()
	s.awaitReady()
	eventually(t, patience, "pings", func() bool { return m.count("WATCHDOG=1") >= 3 })
	s.signal(syscall.SIGSTOP)
	eventually(t, patience, "the arbiter is stopped", func() bool {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.cmd.Process.Pid))
		return err == nil && strings.Contains(string(data), ") T ")
	})
	m.mark()
	before := m.count("WATCHDOG=1")
	s.mustGet("/", 200)     // the worker serves on
	time.Sleep(time.Second) // several pings' time: silence cannot be waited for in another way
	if after := m.count("WATCHDOG=1"); after != before {
		t.Errorf("%d pings while the arbiter was stopped", after-before)
	}
	s.signal(syscall.SIGCONT)
	eventually(t, patience, "pings again", func() bool { return m.count("WATCHDOG=1") > before })
	s.stop()
}

// A reload is announced with the time, and READY=1 tells that it is over, whether it succeeds or not.
func TestNotifyReload(t *testing.T) {
	m := newServiceManager(t, filepath.Join(t.TempDir(), "notify"))
	d := newSite(t, "hello", "")
	s := prepare(t, d.path("app.wasm"), "-w", "1")
	s.cmd.Env = append(s.cmd.Env, "NOTIFY_SOCKET="+m.name)
	s.begin()
	s.awaitReady()
	for n, guest := range []string{"hello", "trapstart"} {
		d.guest(guest)
		s.signal(syscall.SIGHUP)
		eventually(t, patience, "RELOADING=1 and READY=1", func() bool { return m.count("RELOADING=1") == n+1 && m.count("READY=1") == n+2 })
	}
	for _, msg := range m.all() {
		var usec int64
		if rest, ok := strings.CutPrefix(msg, "RELOADING=1\n"); ok {
			if _, err := fmt.Sscanf(rest, "MONOTONIC_USEC=%d\nSTATUS=Reloading", &usec); err != nil || usec <= 0 {
				t.Errorf("%q: %v", msg, err)
			}
		}
	}
	s.stop()
	m.await("STOPPING=1")
	m.mainPID(s.pid())
}

// After an upgrade the new arbiter is the main process: the old one says so, the new one speaks from then on, pings too, and
// only it says that the service stops.
func TestNotifyUpgrade(t *testing.T) {
	for _, mode := range []string{"manual", "auto"} {
		t.Run(mode, func(t *testing.T) {
			m := newServiceManager(t, filepath.Join(t.TempDir(), "notify"))
			s := notified(t, m, []string{"WATCHDOG_USEC=400000"}, "-w", "1", "--upgrade", mode)
			s.begin()
			s.awaitReady()
			first := s.pid()
			for n := range 2 {
				s.upgrade(mode == "auto")
				m.await(fmt.Sprintf("MAINPID=%d", s.pid()))
				eventually(t, patience, "READY=1 of the new arbiter", func() bool { return m.count("READY=1") == n+2 })
				pings := m.count("WATCHDOG=1")
				eventually(t, patience, "pings of the new arbiter", func() bool { return m.count("WATCHDOG=1") > pings+1 })
			}
			s.stop()
			m.await("STOPPING=1")
			m.mark()
			if n := m.count("STOPPING=1"); n != 1 {
				t.Errorf("STOPPING=1 came %d times", n)
			}
			if main := m.mainPID(first); main != s.pid() {
				t.Errorf("the main process is %d, want %d", main, s.pid())
			}
		})
	}
}

// Nonsense in the variables and a manager that is gone are said, and the server serves.
func TestNotifyTrouble(t *testing.T) {
	for _, test := range []struct{ socket, want string }{
		{"vsock:2:1", "NOTIFY_SOCKET"}, {filepath.Join(t.TempDir(), "gone"), "no such file"},
	} {
		s := prepare(t, wasm("hello"), "-w", "1")
		s.cmd.Env = append(s.cmd.Env, "NOTIFY_SOCKET="+test.socket)
		s.begin()
		s.awaitReady()
		s.awaitRecord(test.want, func(r record) bool { return r.text("level") == "WARN" && strings.Contains(r.text("error"), test.want) })
		s.mustGet("/", 200)
		s.stop()
	}
}

func replaceArg(args []string, old, by string) []string {
	args = slices.Clone(args)
	args[slices.Index(args, old)] = by
	return args
}

// The unit files in examples are what systemd understands, and what they run is what this command understands.
func TestUnitFiles(t *testing.T) {
	tool, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("skipped: systemd-analyze is not installed, so the unit files are not verified")
	}
	from := filepath.Join("..", "..", "examples", "systemd")
	dir := t.TempDir()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, unit := range []string{"appserver.service", "appserver.socket"} {
		data, err := os.ReadFile(filepath.Join(from, unit))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(data), "\nMemoryDenyWriteExecute=") {
			t.Errorf("%s forbids compiled guests", unit)
		}
		// It is verified that the executable is there.
		text := strings.ReplaceAll(string(data), "/usr/local/bin/appserver", exe)
		writeFile(t, filepath.Join(dir, unit), text)
	}
	cmd := exec.Command(tool, "verify", "--man=no", "--recursive-errors=no", filepath.Join(dir, "appserver.service"), filepath.Join(dir, "appserver.socket"))
	out, err := cmd.CombinedOutput()
	if err != nil || strings.Contains(string(out), dir) {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}

// The service's settings file loads.
func TestUnitConfiguration(t *testing.T) {
	path, err := filepath.Abs(filepath.Join("..", "..", "examples", "systemd", "appserver.toml"))
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	l, err := loadArgs(nil, "--config", path)
	if err != nil {
		t.Fatal(err)
	}
	unit, err := os.ReadFile(filepath.Join(filepath.Dir(path), "appserver.service"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		fmt.Sprintf("\nTimeoutStopSec=%d\n", int((l.Config.GracefulTimeout+10*time.Second)/time.Second)), // longer than a drain
		"\nCacheDirectory=" + filepath.Base(l.Config.Guest.CacheDir) + "\n",
	} {
		if !strings.Contains(string(unit), want) {
			t.Errorf("the unit lacks %q", want)
		}
	}
}
