package hooks

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/appserver-go/appserver/internal/helper"
	"github.com/appserver-go/appserver/internal/texttest"
)

const patience = 20 * time.Second

// TestMain makes this binary a helper when a Runner starts it, and else a process that reaps as the arbiter does: it
// takes every child's status from whoever waits for it.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == Command {
		os.Exit(Main(os.Stdin, os.Stdout))
	}
	done := make(chan struct{})
	go func() {
		for {
			select {
			case <-done:
				return
			case <-time.After(time.Millisecond):
			}
			for {
				pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil)
				if pid <= 0 || err != nil {
					break
				}
			}
		}
	}()
	code := m.Run()
	close(done)
	os.Exit(code)
}

// journal collects log records as text.
type journal struct{ texttest.Buffer }

func (j *journal) await(t *testing.T, text string) {
	t.Helper()
	eventually(t, "a record with "+text+" in\n", j.String, func() bool { return strings.Contains(j.String(), text) })
}

func eventually(t *testing.T, what string, more func() string, cond func() bool) {
	t.Helper()
	end := time.Now().Add(patience)
	for !cond() {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s%s", patience, what, more())
		}
		time.Sleep(time.Millisecond) // the pace of looking
	}
}

func newRunner(t *testing.T, timeout time.Duration, commands map[string]string) (*Runner, *journal) {
	t.Helper()
	j := &journal{}
	r := New(Options{
		Commands: commands, Timeout: timeout, Env: append(os.Environ(), "GREETING=hello"),
		Log: slog.New(slog.NewTextHandler(j, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	t.Cleanup(r.Close)
	return r, j
}

func TestCommandGetsTheEvent(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	r, j := newRunner(t, patience, map[string]string{
		"when_ready": fmt.Sprintf(`read line; printf '%%s %%s' "$GREETING" "$line" > %s; echo one; echo two >&2; printf three`, out),
	})
	r.Run("when_ready", "", []byte(`{"event":"when_ready"}`))
	r.Close()
	got, err := os.ReadFile(out)
	if err != nil || string(got) != `hello {"event":"when_ready"}` {
		t.Errorf("the command read %q (%v)\n%s", got, err, j)
	}
	for _, want := range []string{"line=one", "line=two", "line=three", `msg="Hook ran" hook=when_ready`} {
		if !strings.Contains(j.String(), want) {
			t.Errorf("the log lacks %s:\n%s", want, j)
		}
	}
}

func TestOutcomesAreLogged(t *testing.T) {
	for name, tc := range map[string]struct{ command, want string }{
		"code":        {"exit 7", `msg="Hook failed" hook=x code=7 signal=""`},
		"signal":      {"kill -SEGV $$", `msg="Hook failed" hook=x code=0 signal=SIGSEGV`},
		"no command":  {"/no/such/program", `code=127`},
		"reads not":   {"exec <&-; exit 0", `msg="Hook ran"`},
		"sigpipe":     {"yes | head -1", `line=y`}, // with SIGPIPE ignored yes would complain
		"no newline":  {`printf '\033[2J'`, `line="\x1b[2J"`},
		"long line":   {"head -c 100000 /dev/zero | tr '\\0' a", "…"},
		"many lines":  {"seq 1000", `msg="Hook wrote too many lines" hook=x dropped=800`},
		"background":  {"sleep 60 & echo started", `msg="Hook ran"`},
		"large event": {"wc -c", "line=200001"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, j := newRunner(t, patience, map[string]string{"x": tc.command})
			event := []byte("{}")
			if name == "large event" {
				event = bytes.Repeat([]byte("e"), 200_000)
			}
			r.Run("x", "", event)
			r.Close()
			if !strings.Contains(j.String(), tc.want) {
				t.Errorf("the log lacks %s:\n%.2000s", tc.want, j)
			}
			if strings.Contains(j.String(), "Broken pipe") {
				t.Errorf("SIGPIPE is ignored in hooks:\n%s", j)
			}
		})
	}
}

// At the time limit all of the command's process group goes.
func TestTimeLimitKillsTheGroup(t *testing.T) {
	r, j := newRunner(t, 300*time.Millisecond, map[string]string{"x": "sleep 1000 & echo pid=$! ; wait"})
	r.Run("x", "", nil)
	j.await(t, "Hook was killed")
	_, after, ok := strings.Cut(j.String(), "pid=")
	pid, err := strconv.Atoi(strings.TrimRight(strings.SplitN(after, "\n", 2)[0], "\""))
	if !ok || err != nil {
		t.Fatalf("no pid (%v) in\n%s", err, j)
	}
	eventually(t, "the background process is gone", func() string { return "" }, func() bool {
		return errors.Is(unix.Kill(pid, 0), unix.ESRCH) || zombie(pid)
	})
}

func zombie(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(stat), ") Z ")
}

// A stopped helper is killed all the same, and its command with it.
func TestStuckHelperIsKilled(t *testing.T) {
	h, err := helper.Start([]string{Command, "x"}, os.Environ())
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if self, err := unix.PidfdOpen(os.Getpid(), 0); err != nil {
		t.Skip("this kernel has no pidfd")
	} else {
		unix.Close(self)
	}
	if err := give(h, &job{Command: "echo $$ $PPID; sleep 1000", Timeout: patience}); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 200)
	n, err := h.Out.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	var shellPID, helperPID int
	if _, err := fmt.Sscanf(string(buf[:n]), `{"line":"%d %d"}`, &shellPID, &helperPID); err != nil {
		t.Fatalf("%q: %v", buf[:n], err)
	}
	if err := unix.Kill(helperPID, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	h.Kill()
	eventually(t, "helper and command are gone", func() string { return "" }, func() bool {
		return zombie(helperPID) && zombie(shellPID)
	})
}

func TestOrderIsKeptByKey(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	gate := filepath.Join(t.TempDir(), "gate")
	r, j := newRunner(t, patience, map[string]string{
		"first":  fmt.Sprintf(`while [ ! -e %s ]; do sleep 0.01; done; echo first >> %s`, gate, out),
		"second": "echo second >> " + out,
		"other":  "touch " + gate, // runs while first waits, or nothing ever does
	})
	r.Run("first", "w1", nil)
	r.Run("second", "w1", nil)
	r.Run("other", "w2", nil)
	r.Close()
	if got, _ := os.ReadFile(out); string(got) != "first\nsecond\n" {
		t.Errorf("order %q\n%s", got, j)
	}
}

func TestRunNeverBlocks(t *testing.T) {
	gate := filepath.Join(t.TempDir(), "gate")
	r, j := newRunner(t, patience, map[string]string{"x": fmt.Sprintf(`while [ ! -e %s ]; do sleep 0.01; done`, gate)})
	for range maxQueued + 20 {
		r.Run("x", "same", nil)
	}
	j.await(t, "Too many hooks wait")
	r.mu.Lock()
	dropped, running := r.dropped, r.running
	r.queue = r.queue[:2] // the rest would take a while
	r.mu.Unlock()
	if dropped != 19 || running != 1 {
		t.Errorf("%d dropped, %d running", dropped, running)
	}
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r.Close()
	if !strings.Contains(j.String(), `msg="Hooks were dropped" dropped=19`) {
		t.Errorf("the log does not say how many were dropped:\n%s", j)
	}
}

func TestParallelIsBounded(t *testing.T) {
	gate := filepath.Join(t.TempDir(), "gate")
	r, j := newRunner(t, patience, map[string]string{"x": fmt.Sprintf(`echo up; while [ ! -e %s ]; do sleep 0.01; done`, gate)})
	for i := range maxRunning + 3 {
		r.Run("x", strconv.Itoa(i), nil)
	}
	eventually(t, "four run", j.String, func() bool { return strings.Count(j.String(), "line=up") == maxRunning })
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r.Close()
	if n := strings.Count(j.String(), "Hook ran"); n != maxRunning+3 {
		t.Errorf("%d ran:\n%s", n, j)
	}
}

func TestCloseLosesPatience(t *testing.T) {
	r, j := newRunner(t, patience, map[string]string{"x": "echo up; exec sleep 1000"})
	r.Run("x", "a", nil)
	r.Run("x", "a", nil)
	eventually(t, "the first runs", j.String, func() bool { return strings.Contains(j.String(), "line=up") })
	r.mu.Lock()
	r.timeout = -killGrace // Close has no time at all
	r.mu.Unlock()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	closed := make(chan struct{})
	go func() { r.Close(); close(closed) }()
	select {
	case <-closed:
	case <-ctx.Done():
		t.Fatalf("Close hangs\n%s", j)
	}
	r.Run("x", "a", nil)
	for _, want := range []string{"No time is left", "was killed"} {
		if !strings.Contains(j.String(), want) {
			t.Errorf("the log lacks %q:\n%s", want, j)
		}
	}
}

func TestEventsWithoutCommand(t *testing.T) {
	r, j := newRunner(t, patience, map[string]string{"x": "echo hi"})
	if r.Wants("y") || !r.Wants("x") {
		t.Error("Wants is wrong")
	}
	r.Run("y", "", nil)
	r.Update(map[string]string{"y": "echo changed"}, patience)
	r.Run("x", "", nil)
	r.Run("y", "", nil)
	r.Close()
	if strings.Contains(j.String(), "line=hi") || strings.Count(j.String(), "line=changed") != 1 {
		t.Errorf("log:\n%s", j)
	}
}

func TestHelperByHand(t *testing.T) {
	var out bytes.Buffer
	if code := Main(strings.NewReader(""), &out); code != 2 || out.Len() != 0 {
		t.Errorf("code %d, output %q", code, &out)
	}
}
