package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/appserver-go/appserver/control"
)

// operated is a server with a control socket of its own.
type operated struct {
	*appserver
	client *control.Client
	socket string
}

func startOperated(t *testing.T, args ...string) *operated {
	t.Helper()
	_, dir := controlDir(t)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	o := &operated{socket: filepath.Join(dir, "c.sock")}
	o.appserver = start(t, append(args, "--control-socket", o.socket)...)
	o.client = control.NewClient(o.socket)
	t.Cleanup(o.client.Close)
	return o
}

// run runs a command on the server and wants it to go well.
func (o *operated) run(args ...string) string {
	o.t.Helper()
	stdout, stderr, code := cli(o.t, nil, append(args, "--control", o.socket)...)
	if code != 0 {
		o.t.Fatalf("%v: exit code %d, %s\n%s", args, code, stderr, o.log())
	}
	return stdout
}

func (o *operated) status() *control.Status {
	o.t.Helper()
	st, err := o.client.Status(o.t.Context())
	if err != nil {
		o.t.Fatalf("%v\n%s", err, o.log())
	}
	return st
}

func TestOperatorsDay(t *testing.T) {
	o := startOperated(t, wasm("hello"), "-w", "2", "--proc-name", "shop")
	o.mustGet("/", 200)
	st := o.status()
	if st.App != "shop" || st.State != "serving" || st.PID != o.cmd.Process.Pid || st.Generation != 1 || st.Target != 2 || st.Ready != 2 ||
		len(st.Workers) != 2 || st.RSS < 1<<20 || st.Workers[0].RSS < 1<<20 || st.Workers[0].State != "ready" || len(st.Sockets) != 1 {
		t.Errorf("status %+v", st)
	}
	eventually(t, patience, "the request is counted", func() bool {
		var n int64
		for _, w := range o.status().Workers {
			n += w.Requests
		}
		return n == 1
	})
	if out := o.run("status"); !strings.Contains(out, "shop: serving, pid ") || strings.Count(out, " ready ") != 2 {
		t.Errorf("status prints\n%s", out)
	}
	if out := o.run("scale", "+1"); out != "3 workers, were 2\n" {
		t.Errorf("scale prints %q", out)
	}
	eventually(t, patience, "three workers", func() bool { return o.status().Ready == 3 })
	if out := o.run("reload"); out != "reloaded, generation 2 serves\n" {
		t.Errorf("reload prints %q", out)
	}
	st = o.status()
	if st.Generation != 2 || st.Reload == nil || st.Reload.Error != "" || st.Target != 3 {
		t.Errorf("after the reload %+v", st)
	}
	victim := st.Workers[slices.IndexFunc(st.Workers, func(w control.Worker) bool { return w.State == "ready" })]
	if err := o.client.Kill(t.Context(), victim.PID); err != nil {
		t.Error(err)
	}
	eventually(t, patience, "it is replaced", func() bool {
		st := o.status()
		return st.Ready == 3 && !slices.ContainsFunc(st.Workers, func(w control.Worker) bool { return w.PID == victim.PID })
	})
	if err := o.client.Kill(t.Context(), os.Getpid()); err == nil || !strings.Contains(err.Error(), "no such worker") {
		t.Errorf("killing a stranger: %v", err)
	}
	if err := o.client.Reopen(t.Context()); err != nil {
		t.Error(err)
	}
	o.mustGet("/", 200)
	if out := o.run("stop"); out != fmt.Sprintf("stopped process %d\n", o.cmd.Process.Pid) {
		t.Errorf("stop prints %q", out)
	}
	if code := o.wait(); code != 0 {
		t.Errorf("exit code %d\n%s", code, o.log())
	}
	if _, err := os.Lstat(o.socket); err == nil {
		t.Error("the socket is left behind")
	}
}

func TestSettingsInForce(t *testing.T) {
	o := startOperated(t, wasm("hello"), "-w", "1", "--timeout", "7")
	all, err := o.client.Config(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, s := range all {
		value, _ := json.Marshal(s.Value)
		got[s.Key] = string(value) + " " + s.Source
	}
	for key, want := range map[string]string{
		"timeout": `"7s" flag --timeout`, "workers": "1 flag --workers", "guest.memory_limit": `"128MiB" default`, "umask": `"0022" default`,
	} {
		if got[key] != want {
			t.Errorf("%s is %s, want %s", key, got[key], want)
		}
	}
	o.stop()
}

// A reload that fails is told to whoever asked for it, and stays in the status; the old generation serves on.
func TestFailedReloadIsTold(t *testing.T) {
	app := filepath.Join(t.TempDir(), "app.wasm")
	good, err := os.ReadFile(wasm("hello"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(app, good, 0o600); err != nil {
		t.Fatal(err)
	}
	o := startOperated(t, app, "-w", "1")
	if err := os.WriteFile(app, []byte("\x00asm\x01\x00\x00\x00junk"), 0o600); err != nil {
		t.Fatal(err)
	}
	stdout, stderr, code := cli(t, nil, "reload", "--control", o.socket)
	if code == 0 || stdout != "" || !strings.HasPrefix(stderr, "appserver: error: ") {
		t.Errorf("exit code %d, printed %q, %q", code, stdout, stderr)
	}
	st := o.status()
	if st.Generation != 1 || st.Ready != 1 || st.Reload == nil || st.Reload.Error == "" ||
		!strings.Contains(stderr, strings.SplitN(st.Reload.Error, "\n", 2)[0]) {
		t.Errorf("status %+v, told %s", st, stderr)
	}
	if out := o.run("status"); !strings.Contains(out, "last reload failed") {
		t.Errorf("status prints\n%s", out)
	}
	o.mustGet("/", 200)
	o.stop()
}

func TestRequestsInFlight(t *testing.T) {
	o := startOperated(t, wasm("hostile"), "-w", "1", "--timeout", "0")
	go o.get("/spin?a=1") // ends with the server
	o.awaitBusy(1)
	rows := o.status().Requests()
	if len(rows) != 1 || rows[0].Method != "GET" || rows[0].Path != "/spin?a=1" || rows[0].Worker != o.workers()[0] || rows[0].ID == "" {
		t.Errorf("requests %+v", rows)
	}
	if out := o.run("top", "--interval", "100ms"); !strings.Contains(out, "/spin?a=1") {
		t.Errorf("top prints\n%s", out)
	}
	o.run("stop", "--quick")
	if code := o.wait(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// Hooks run with their events, in the order of a worker's life, while the arbiter reaps every child of its own.
func TestHooksOfALife(t *testing.T) {
	out := filepath.Join(t.TempDir(), "events")
	note := fmt.Sprintf("cat >> %s", out)
	var args []string
	for _, name := range []string{
		"on-starting", "when-ready", "on-reload", "nworkers-changed", "pre-fork", "post-worker-init", "worker-int", "worker-exit",
		"child-exit", "on-exit",
	} {
		args = append(args, "--hooks-"+name, note)
	}
	o := startOperated(t, append(args, wasm("hello"), "-w", "1")...)
	o.run("scale", "2")
	eventually(t, patience, "two workers", func() bool { return o.status().Ready == 2 })
	o.run("reload")
	o.stop()
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatalf("%v\n%s", err, o.log())
	}
	seen, lives := map[string]int{}, map[uint64][]string{}
	for line := range strings.Lines(string(data)) {
		var ev control.Event
		if err := json.Unmarshal([]byte(line), &ev); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		seen[ev.Event]++
		if ev.Worker != nil {
			lives[ev.Worker.Number] = append(lives[ev.Worker.Number], ev.Event)
		}
		if ev.PID != o.cmd.Process.Pid || ev.Time.IsZero() {
			t.Errorf("event %s", line)
		}
	}
	for name, want := range map[string]int{
		"on_starting": 1, "when_ready": 1, "on_reload": 1, "nworkers_changed": 2, "pre_fork": 4, "post_worker_init": 4, "on_exit": 1,
		"child_exit": 4, "worker_exit": 4, "worker_int": 4,
	} {
		if seen[name] != want {
			t.Errorf("%s ran %d times, want %d", name, seen[name], want)
		}
	}
	for number, life := range lives {
		if got := strings.Join(life, " "); got != "pre_fork post_worker_init worker_int worker_exit child_exit" {
			t.Errorf("worker %d: %s", number, got)
		}
	}
	if t.Failed() {
		t.Log(o.log())
	}
}

// A hook's status is its own, although the arbiter takes that of every child.
func TestHookOutcomes(t *testing.T) {
	o := startOperated(t, wasm("hello"), "-w", "1", "--hook-timeout", "500ms", "-e", "WHO=me",
		"--hooks-when-ready", `echo "ready, $WHO"; exit 3`, "--hooks-pre-fork", "sleep 1000",
		"--hooks-post-worker-init", `test -S "$`+controlEnv()+`" && echo socket`)
	o.awaitRecord("output", func(r record) bool { return r.msg() == "Hook wrote" && r.text("line") == "ready, me" })
	o.awaitRecord("status", func(r record) bool { return r.msg() == "Hook failed" && r.text("code") == "3" })
	o.awaitRecord("time limit", func(r record) bool {
		return strings.HasPrefix(r.msg(), "Hook was killed") && r.text("hook") == "pre_fork"
	})
	o.awaitRecord("socket", func(r record) bool { return r.text("line") == "socket" })
	o.stop()
}

func TestEventsOfAServer(t *testing.T) {
	o := startOperated(t, wasm("hello"), "-w", "1")
	var names []string
	err := o.client.Events(t.Context(), func() { o.signal(syscall.SIGTERM) }, func(ev control.Event) error {
		names = append(names, ev.Event)
		return nil
	})
	if got := strings.Join(names, " "); err != nil || got != "worker_int worker_exit child_exit on_exit" {
		t.Errorf("events %q, %v", got, err)
	}
	if code := o.wait(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// Where there is no place for a socket nobody is bothered, and where one was asked for the server does not start.
func TestControlSocketSetting(t *testing.T) {
	nowhere := []string{"XDG_RUNTIME_DIR=/nonexistent/run", "TMPDIR=/nonexistent/tmp"}
	t.Run("own", func(t *testing.T) {
		runtime, dir := controlDir(t)
		s := prepare(t, wasm("hello"), "-w", "1")
		s.cmd.Env = append(s.cmd.Env, "XDG_RUNTIME_DIR="+runtime)
		s.begin()
		s.awaitReady()
		want := filepath.Join(dir, fmt.Sprintf("%d.sock", s.cmd.Process.Pid))
		if got := s.awaitMsg("Control socket").text("path"); got != want {
			t.Errorf("socket %s, want %s", got, want)
		}
		if stdout, stderr, code := cli(t, nil, "status", "--control", want); code != 0 || !strings.Contains(stdout, "serving") {
			t.Errorf("status: %d %s", code, stderr)
		}
		s.stop()
	})
	t.Run("no place", func(t *testing.T) {
		if os.Geteuid() == 0 {
			t.Skip("root has a place everywhere")
		}
		s := prepare(t, wasm("hello"), "-w", "1")
		s.cmd.Env = append(s.cmd.Env, nowhere...)
		s.begin()
		s.awaitReady()
		if r := s.awaitRecord("reason", func(r record) bool { return strings.HasPrefix(r.msg(), "No place") }); r.text("level") != "INFO" {
			t.Errorf("record %v", r)
		}
		s.stop()
	})
	t.Run("off", func(t *testing.T) {
		s := start(t, wasm("hello"), "-w", "1", "--control-socket", "off")
		if strings.Contains(s.log(), "ontrol socket") {
			t.Errorf("log\n%s", s.log())
		}
		s.stop()
	})
	t.Run("explicit", func(t *testing.T) {
		_, stderr, code := cli(t, nil, "serve", wasm("hello"), "-b", "127.0.0.1:0", "--control-socket", "/nonexistent/c.sock")
		if code != 1 || !strings.Contains(stderr, "appserver: error: control_socket: ") || !strings.Contains(stderr, "appserver: hint: ") {
			t.Errorf("exit code %d, %s", code, stderr)
		}
	})
}
