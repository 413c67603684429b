package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/appserver-go/appserver/control"
	"github.com/appserver-go/appserver/internal/texttest"
)

func TestOperateCommands(t *testing.T) {
	runtime, dir := controlDir(t)
	f := startFake(t, dir)
	env := []string{"XDG_RUNTIME_DIR=" + runtime, controlEnv() + "=" + f.path}
	for _, tc := range []struct {
		args         []string
		told, stdout string
	}{
		{[]string{"reload"}, "reload", "reloaded, generation 8 serves\n"},
		{[]string{"scale", "4"}, "scale to 4", "3 workers, were 2\n"},
		{[]string{"scale", "+2"}, "scale by 2", "3 workers, were 2\n"},
		{[]string{"scale", "-1"}, "scale by -1", "3 workers, were 2\n"},
		{[]string{"scale", "-1", "--control", f.path}, "scale by -1", "3 workers, were 2\n"},
		{[]string{"upgrade", "--keep-old"}, "upgrade keep=true", fmt.Sprintf("process 4711 is ready (0.0s)\nboth serve: send WINCH to process %d to "+
			"try the new one alone, then TERM, or TERM to process 4711 to go back\n", f.st.PID)},
		{[]string{"reload", "--control=" + f.path}, "reload", "reloaded, generation 8 serves\n"},
	} {
		f.mu.Lock()
		f.calls = nil
		f.mu.Unlock()
		stdout, stderr, code := cli(t, env, tc.args...)
		if code != 0 || stdout != tc.stdout || f.told() != tc.told {
			t.Errorf("%v: exit code %d, printed %q, told %q; %s", tc.args, code, stdout, f.told(), stderr)
		}
	}
	f.mu.Lock()
	f.err = errFake
	f.mu.Unlock()
	stdout, stderr, code := cli(t, env, "reload")
	want := "appserver: error: guest failed to load: bad\\x1b[31m\nappserver: hint: mend the guest\n"
	if code != 4 || stdout != "" || stderr != want {
		t.Errorf("a reload that failed: exit code %d, printed %q, %q", code, stdout, stderr)
	}
}

func TestStatusCommand(t *testing.T) {
	runtime, dir := controlDir(t)
	f := startFake(t, dir)
	env := []string{"XDG_RUNTIME_DIR=/nonexistent", "TMPDIR=" + runtime, controlEnv() + "=" + f.path}
	stdout, stderr, code := cli(t, env, "status", "--json")
	var st control.Status
	if err := json.Unmarshal([]byte(stdout), &st); err != nil || code != 0 || st.PID != f.st.PID || len(st.Workers) != 3 {
		t.Errorf("status --json: %d %v %s %s", code, err, stdout, stderr)
	}
	stdout, stderr, code = cli(t, env, "status")
	want := fmt.Sprintf(`shop: reloading (canary), pid %d, generation 3, up 3h00m, 14M, appserver 0.2
guest: /srv/shop.wasm
listening: http://127.0.0.1:8000, unix:/run/s
workers: 2 of 3 ready, 2 of 12 threads busy, 124456 requests answered
last reload failed 1m30s ago: guest \x1b[31mtrapped (hint: mend it)

 PID  SLOT  STATE              GEN    AGE  REQUESTS  BUSY   RSS
1001     0  ready                3  2h00m    123456   2/4   45M
1002     1  retiring             3  1m05s      1000   0/4  1.2G
1003     2  canary: compiling    4   1.5s         0   0/4     -
`, os.Getpid())
	if code != 0 || stdout != want {
		t.Errorf("status: exit code %d, %s, printed\n%s, want\n%s", code, stderr, stdout, want)
	}
}

func TestFindServer(t *testing.T) {
	runtime, dir := controlDir(t)
	env := []string{"XDG_RUNTIME_DIR=" + runtime, "TMPDIR=" + runtime}
	_, stderr, code := cli(t, env, "status", "--control", filepath.Join(dir, "no.sock"))
	if code != 1 || !strings.Contains(stderr, "there is no control socket") || !strings.Contains(stderr, "appserver: hint:") {
		t.Errorf("no such socket: %d %s", code, stderr)
	}
	f := startFake(t, dir)
	// Root also sees what others of this machine may run.
	if os.Geteuid() != 0 || len(control.Find([]string{"/run/appserver"})) == 0 {
		if _, stderr, code = cli(t, env, "status"); code != 0 {
			t.Errorf("the only server is not found: %d %s", code, stderr)
		}
	}
	if err := os.Symlink(f.path, filepath.Join(dir, "1.sock")); err != nil { // not a socket itself: passed over
		t.Fatal(err)
	}
	second := filepath.Join(runtime, fmt.Sprintf("appserver-%d", os.Geteuid()))
	g := startFake(t, second)
	_, stderr, code = cli(t, env, "status")
	if code != 1 || !strings.Contains(stderr, "servers run: ") || !strings.Contains(stderr, f.path) ||
		!strings.Contains(stderr, g.path) || !strings.Contains(stderr, "(shop)") || strings.Contains(stderr, "1.sock (") {
		t.Errorf("two servers: %d %s", code, stderr)
	}
	if _, stderr, code = cli(t, append(env, controlEnv()+"="+g.path), "status"); code != 0 {
		t.Errorf("one of two, named by the environment: %d %s", code, stderr)
	}
	if _, stderr, code = cli(t, append(env, controlEnv()+"="+g.path), "status", "--control", "/nonexistent"); code != 1 {
		t.Errorf("the flag does not win over the environment: %s", stderr)
	}
}

func TestStopWaits(t *testing.T) {
	runtime, dir := controlDir(t)
	f := startFake(t, dir)
	server := exec.Command("sleep", "1000")
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	f.mu.Lock()
	f.st.PID = server.Process.Pid
	f.mu.Unlock()
	stop := command("stop", "--quick", "--control", f.path)
	stop.Env = append(stop.Env, "XDG_RUNTIME_DIR="+runtime)
	var out texttest.Buffer
	stop.Stdout = &out
	if err := stop.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, patience, "the server is told", func() bool { return f.told() == "stop true" })
	if out.String() != "" {
		t.Errorf("it says %q before the server is gone", &out)
	}
	server.Process.Kill()
	server.Wait()
	if err := stop.Wait(); err != nil || !strings.HasPrefix(out.String(), "stopped process ") {
		t.Errorf("%v, printed %q", err, &out)
	}
}

func TestEventsCommand(t *testing.T) {
	_, dir := controlDir(t)
	f := startFake(t, dir)
	for _, args := range [][]string{{"events"}, {"events", "--json"}} {
		cmd := command(append(args, "--control", f.path)...)
		var out texttest.Buffer
		cmd.Stdout = &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		from, to := 2, 3
		// It follows from some moment on; events are published until it has seen one.
		eventually(t, patience, "an event is printed", func() bool {
			f.feed.Publish(control.Event{
				Event: "nworkers_changed", Time: time.Now(), Generation: 3, From: &from, To: &to, Reason: "a\x1b[2J",
				Worker: &control.EventWorker{PID: 5, Slot: 1, Number: 9},
			})
			return strings.Contains(out.String(), "\n")
		})
		cmd.Process.Kill()
		cmd.Wait()
		line, _, _ := strings.Cut(out.String(), "\n")
		want := `nworkers_changed generation=3 worker=9 slot=1 pid=5 from=2 to=3 reason="a\\x1b[2J"`
		if len(args) > 1 {
			want = `"event":"nworkers_changed"`
		}
		if !strings.Contains(line, want) || strings.Contains(line, "\x1b") {
			t.Errorf("%v printed %q, want %q", args, line, want)
		}
	}
}
