package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/appserver-go/appserver/control"
)

// appserver upgrade does all of it and says how it went.
func TestUpgradeCommand(t *testing.T) {
	d := newSite(t, "hello", "")
	sock := d.path("c")
	s := d.start("-w", "1", "--control-socket", sock)
	old := s.pid()
	events := make(chan string, 64)
	c := control.NewClient(sock)
	defer c.Close()
	ready := make(chan bool)
	go func() {
		defer close(events)
		c.Events(t.Context(), func() { close(ready) }, func(ev control.Event) error { events <- ev.Event; return nil })
	}()
	<-ready
	d.guest("trapstart")
	out, stderr, code := cli(t, nil, "upgrade", "--control", sock)
	if code != 4 || !strings.Contains(stderr, "appserver: error: ") || !strings.Contains(stderr, "app.wasm") || strings.Contains(out, "upgraded") {
		t.Errorf("a new binary with a broken guest: exit code %d, %q, %q", code, out, stderr)
	}
	out, _, code = cli(t, nil, "status", "--control", sock)
	if code != 0 || !strings.Contains(out, "last upgrade failed") {
		t.Errorf("status: %d, %q", code, out)
	}
	d.guest("hello")
	out, stderr, code = cli(t, nil, "upgrade", "--control", sock)
	pid, err := strconv.Atoi(s.awaitMsg("New arbiter is ready").text("new_pid"))
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("upgraded: process %d serves, process %d is gone\n", pid, old)
	if code != 0 || !strings.HasSuffix(out, want) || stderr != "" {
		t.Errorf("exit code %d, printed %q, want %q; %s", code, out, want, stderr)
	}
	s.succeeded(pid)
	s.mustGet("/", 200)
	var names []string
	for name := range events {
		names = append(names, name)
	}
	if all := strings.Join(names, " "); !strings.Contains(all, "pre_exec upgrade_failed") || !strings.Contains(all, "upgrade_ready") {
		t.Errorf("events: %s", all)
	}
	eventually(t, patience, "the socket has its path", func() bool { _, err := os.Lstat(sock + ".2"); return os.IsNotExist(err) })
	out, stderr, code = cli(t, nil, "upgrade", "--keep-old", "--control", sock)
	if code != 0 || !strings.Contains(out, "both serve") {
		t.Errorf("--keep-old: exit code %d, %q, %s", code, out, stderr)
	}
	if _, stderr, code = cli(t, nil, "upgrade", "--control", sock); code != 1 || !strings.Contains(stderr, "is there already") {
		t.Errorf("a second one: exit code %d, %s", code, stderr)
	}
	next := statusAt(t, sock).Successor.PID
	if out, stderr, code = cli(t, nil, "stop", "--control", sock); code != 0 {
		t.Errorf("stop of the old one: %d, %q, %s", code, out, stderr)
	}
	s.succeeded(next)
	s.mustGet("/", 200)
	s.stop()
}

// Without --control the commands find the one of two arbiters that is meant.
func TestFindServerDuringUpgrade(t *testing.T) {
	runtime, _ := controlDir(t)
	if os.Geteuid() == 0 && len(control.Find([]string{"/run/appserver"})) > 0 {
		t.Skip("skipped: other servers of root run on this machine")
	}
	env := []string{"XDG_RUNTIME_DIR=" + runtime, "TMPDIR=" + runtime}
	s := prepare(t, wasm("hello"), "-w", "1")
	s.cmd.Env = append(s.cmd.Env, env...)
	s.begin()
	s.awaitReady()
	old := s.pid()
	found := func() int {
		t.Helper()
		out, stderr, code := cli(t, env, "status", "--json")
		var st control.Status
		if err := json.Unmarshal([]byte(out), &st); err != nil || code != 0 {
			t.Fatalf("status: %d, %v, %s", code, err, stderr)
		}
		return st.PID
	}
	pid := s.startSuccessor()
	if got := found(); got != old {
		t.Errorf("found %d, want the old one, %d", got, old)
	}
	s.signal(syscall.SIGTERM)
	s.succeeded(pid)
	if got := found(); got != pid {
		t.Errorf("found %d, want the new one, %d", got, pid)
	}
	s.stop()
}
