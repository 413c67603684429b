package workers_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/appserver-go/appserver/config"
	"github.com/appserver-go/appserver/internal/fault"
	"github.com/appserver-go/appserver/internal/load"
	"github.com/appserver-go/appserver/internal/proto"
	"github.com/appserver-go/appserver/scoreboard"
	"github.com/appserver-go/appserver/workers/workertest"
)

func TestBootServeAndDrain(t *testing.T) {
	a := spawn(t, processConfig(), false)
	m, stages := a.until(t)
	if m.Type != proto.TypeReady || len(m.Ready.Guest) != 1 || m.Ready.Guest[0].Value != "the guest's bytes" {
		t.Fatalf("got %+v", m)
	}
	want := "scoreboard logs environment files owner descriptors processors listeners loading compiling starting"
	if got := strings.Join(stages, " "); got != want {
		t.Errorf("stages %s, want %s", got, want)
	}
	if r := a.get(t, "/"); string(r.Body) != "TEST_NAME=value=1" {
		t.Errorf("got %d %q", r.Status, r.Body)
	}
	comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", a.cmd.Process.Pid))
	if err != nil || strings.TrimSpace(string(comm)) != "appserver-wrk" {
		t.Errorf("the process is named %q %v", comm, err)
	}
	first := a.board.Snapshot()
	if first.State != scoreboard.Serving {
		t.Errorf("state %v", first.State)
	}
	workertest.WaitFor(t, "a beat", func() bool {
		s := a.board.Snapshot()
		return s.Beat > first.Beat && s.Counters[scoreboard.LogDrops] == 7
	})
	for _, sig := range []syscall.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGUSR2, syscall.SIGWINCH, syscall.SIGUSR1} {
		if err := a.cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
	}
	a.send(t, proto.Message{Type: proto.TypeReopen})
	a.send(t, proto.Message{Type: proto.TypeDrain, Drain: &proto.Drain{Grace: workertest.Patience}})
	if m := a.receive(t); m.Type != proto.TypeClosed {
		t.Errorf("after drain the worker said %s", m.Type)
	}
	if s := a.exit(t); s.ExitStatus() != 0 {
		t.Errorf("exit status %v\n%s", s, a.log)
	}
	if n := strings.Count(a.log.String(), "logs reopened"); n < 1 || n > 2 { // the signal may come after the end
		t.Errorf("the logs were reopened %d times", n)
	}
	for _, want := range []string{`msg=Guest`, `line="hello from the guest"`, fmt.Sprintf("pid=%d", a.cmd.Process.Pid)} {
		if !strings.Contains(a.log.String(), want) {
			t.Errorf("the log has no %s:\n%s", want, a.log)
		}
	}
}

func TestTermDrains(t *testing.T) {
	a := spawn(t, processConfig(), false)
	c := a.busy(t, "/slow")
	if err := a.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if r, err := c.Read(false); err != nil || r.Status != 200 {
		t.Errorf("the request in flight got %+v %v", r, err)
	}
	if s := a.exit(t); s.ExitStatus() != 0 {
		t.Errorf("exit status %v\n%s", s, a.log)
	}
}

func TestOrphanExits(t *testing.T) {
	a := spawn(t, processConfig(), false)
	a.ready(t)
	idle, err := load.Dial(t.Context(), a.port)
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	if r, err := idle.Do([]byte(workertest.Raw("/")), false); err != nil || r.Close {
		t.Fatalf("got %+v %v", r, err)
	}
	a.Conn.Close()
	if s := a.exit(t); s.ExitStatus() != 0 {
		t.Errorf("exit status %v\n%s", s, a.log)
	}
	if _, err := load.Dial(t.Context(), a.port); err == nil {
		t.Error("the orphan left its port open")
	}
}

func TestFailuresToBoot(t *testing.T) {
	tests := []struct {
		name        string
		change      func(*config.Config)
		code        int
		stage, text string
		hint        string
	}{
		{"guest", func(c *config.Config) { c.App = "broken.wasm" }, fault.LoadFailed, "loading", "the module is truncated", "build it again"},
		{"class", func(c *config.Config) { c.WorkerClass = "gevent" }, fault.BootFailed, "starting", "gevent", "worker classes are sync, threaded"},
		{"user", func(c *config.Config) { c.User = "no-such-user" }, fault.BootFailed, "owner", "there is no user", "/etc/passwd"},
		{"slots", func(c *config.Config) { c.Threads = 5 }, fault.BootFailed, "starting", "rows for 4 slots", ""},
		{"peers", func(c *config.Config) { c.ForwardedAllowIPs = []string{"x"} }, fault.BootFailed, "starting", `"x" is neither`, "10.0.0.0/8"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cfg := processConfig()
			tt.change(cfg)
			a := spawn(t, cfg, false)
			m, _ := a.until(t)
			if m.Type != proto.TypeFailed || m.Failed.Stage != tt.stage || m.Failed.Code != tt.code ||
				!strings.Contains(m.Failed.Message, tt.text) || !strings.Contains(m.Failed.Hint, tt.hint) {
				t.Errorf("the worker said %s %+v", m.Type, m.Failed)
			}
			if s := a.exit(t); s.ExitStatus() != tt.code {
				t.Errorf("exit status %d, want %d", s.ExitStatus(), tt.code)
			}
		})
	}
}

func TestCheckLoadsAndExits(t *testing.T) {
	a := spawn(t, processConfig(), true)
	if m, _ := a.until(t); m.Type != proto.TypeReady || len(m.Ready.Guest) != 1 {
		t.Errorf("the worker said %+v", m)
	}
	if s := a.exit(t); s.ExitStatus() != 0 {
		t.Errorf("exit status %v", s)
	}
}

func TestStopWhileBooting(t *testing.T) {
	cfg := processConfig()
	cfg.App = "endless.wasm"
	a := spawn(t, cfg, false)
	for a.receive(t).Stage.Stage != "compiling" {
	}
	if err := a.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if s := a.exit(t); s.ExitStatus() != 0 {
		t.Errorf("exit status %v", s)
	}
}

func TestByHand(t *testing.T) {
	for name, files := range map[string][]*os.File{"nothing": nil, "a file": {memfd(t, "x")}} {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), workerEnv+"=1")
		cmd.ExtraFiles = files
		out, err := cmd.CombinedOutput()
		var exitErr *exec.ExitError
		if !errors.As(err, &exitErr) || exitErr.ExitCode() != fault.Usage {
			t.Errorf("%s on descriptor 3: %v", name, err)
		}
		if !strings.HasPrefix(string(out), "appserver: error: appserver worker is started by appserver serve and cannot be run by hand\n") {
			t.Errorf("it says %q", out)
		}
	}
}

func TestAbortKillsABusyWorker(t *testing.T) {
	a := spawn(t, processConfig(), false)
	a.busy(t, "/spin?x")
	if err := a.cmd.Process.Signal(syscall.SIGABRT); err != nil {
		t.Fatal(err)
	}
	if s := a.exit(t); s.Exited() && s.ExitStatus() == 0 {
		t.Errorf("exit status %v", s)
	}
	if !strings.Contains(a.log.String(), "SIGABRT") {
		t.Errorf("no dump on stderr:\n%.1000s", a.log)
	}
	s := a.board.Snapshot()
	i := 0
	for i < len(s.Rows)-1 && !s.Rows[i].Busy {
		i++
	}
	if e := s.Rows[i]; e.Call.Target != "/spin?x" || e.Call.Method != "GET" || e.Call.ID == "" {
		t.Errorf("the scoreboard tells %+v of the dead worker's request", e.Call)
	}
}

// A stopped process cannot do anything for itself; its arbiter, this test, does nothing either.
func TestDeadManTimerKillsAFrozenWorker(t *testing.T) {
	cfg := processConfig()
	cfg.WorkerTimeout, cfg.AbortGrace = 300*time.Millisecond, 100*time.Millisecond
	a := spawn(t, cfg, false)
	a.ready(t)
	before := a.board.Snapshot().Beat
	workertest.WaitFor(t, "beats", func() bool { return a.board.Snapshot().Beat > before+5 }) // it lives past the timer
	if err := a.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if s := a.exit(t); !s.Signaled() || s.Signal() != syscall.SIGKILL {
		t.Errorf("the worker ended with %v", s)
	}
}

func TestWorkerRunsAsUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can change the user of a process")
	}
	cfg := processConfig()
	cfg.User, cfg.Group = "65534", "65534"
	a := spawn(t, cfg, false)
	a.ready(t)
	if r := a.get(t, "/"); r.Status != 200 {
		t.Errorf("status %d", r.Status)
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", a.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	const none = "0000000000000000"
	want := map[string]string{
		"Uid": "65534 65534 65534 65534", "Gid": "65534 65534 65534 65534", "Groups": "65534", "CapPrm": none, "CapEff": none, "CapAmb": none,
	}
	if !cgo {
		want["CapBnd"], want["CapInh"], want["NoNewPrivs"] = none, none, "1"
	}
	for line := range strings.Lines(string(status)) {
		key, values, _ := strings.Cut(line, ":")
		if w, ok := want[key]; ok && strings.Join(strings.Fields(values), " ") != w {
			t.Errorf("%s is %q, want %q", key, values, w)
		}
	}
}

// busy waits until the worker is ready, and then until a request for path is in its guest.
func (a *arbiter) busy(t *testing.T, path string) *load.Conn {
	t.Helper()
	a.ready(t)
	c, err := load.Dial(t.Context(), a.port)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.Send([]byte(workertest.Raw(path))); err != nil {
		t.Fatal(err)
	}
	workertest.WaitFor(t, "the request", func() bool { s := a.board.Snapshot(); return s.Busy() == 1 })
	return c
}
