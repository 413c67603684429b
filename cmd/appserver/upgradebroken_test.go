package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// installed is a server that was started from a path of its own, where tests put other binaries.
type installed struct {
	*appserver
	program string
}

// install prepares a server at a path that is a link to this binary.
func install(t *testing.T, dir string, args ...string) *installed {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	in := &installed{appserver: prepare(t, args...), program: filepath.Join(dir, "appserver")}
	if err := os.Symlink(exe, in.program); err != nil {
		t.Fatal(err)
	}
	in.cmd.Path, in.cmd.Args[0] = in.program, in.program
	return in
}

// replace puts something else at the program's path, as a deployment does, or nothing.
func (in *installed) replace(script string) {
	in.t.Helper()
	next := in.program + ".new"
	switch script {
	case "":
		if err := os.Remove(in.program); err != nil {
			in.t.Fatal(err)
		}
		return
	case "appserver":
		exe, err := os.Executable()
		if err == nil {
			err = os.Symlink(exe, next)
		}
		if err != nil {
			in.t.Fatal(err)
		}
	default:
		if err := os.WriteFile(next, []byte(script), 0o755); err != nil {
			in.t.Fatal(err)
		}
	}
	if err := os.Rename(next, in.program); err != nil {
		in.t.Fatal(err)
	}
}

// A new binary that is broken in any way leaves the old arbiter as it is, and the reason is told; the next one that is not
// broken takes over.
func TestBrokenUpgradeUnderLoad(t *testing.T) {
	for name, test := range map[string]struct{ script, guest, config, reason string }{
		"exits":             {script: "#!/bin/sh\nexit 1\n", reason: "exit code 1"},
		"hangs":             {script: "#!/bin/sh\nexec sleep 1000\n", reason: "boot_timeout"},
		"dies":              {script: "#!/bin/sh\nkill -9 $$\n", reason: "SIGKILL"},
		"no program":        {script: "not a program\n", reason: "exec format error"},
		"gone":              {script: "", reason: "no such file"},
		"bad guest":         {script: "appserver", guest: "trapstart", reason: "app.wasm"},
		"hanging guest":     {script: "appserver", guest: "loopstart", reason: "boot_timeout"},
		"bad configuration": {script: "appserver", config: "tiemout = 3\n", reason: "tiemout"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const good = "boot_timeout = 2\nabort_grace = 0.2\nupgrade = \"auto\"\n"
			d := newSite(t, "hello", good)
			sock, pidfile := d.path("c"), d.path("pid")
			in := install(t, d.dir, d.path("app.wasm"), "-c", d.path("appserver.toml"), "-w", "2", "-k", "threaded", "--threads", "2",
				"-p", pidfile, "--control-socket", sock)
			in.begin()
			in.awaitReady()
			stop := hammer(in.appserver, in.addr, 8, true)
			in.replace(test.script)
			d.breakIt(test.guest, test.config)
			in.signal(syscall.SIGUSR2)
			r := in.awaitMsg("Upgrade failed, the old arbiter serves on")
			if !strings.Contains(r.text("reason"), test.reason) || r.text("level") != "ERROR" {
				t.Errorf("the record does not say %q: %v", test.reason, r)
			}
			if st := statusAt(t, sock); st.PID != in.pid() || st.Upgrade == nil || !strings.Contains(st.Upgrade.Error, test.reason) || st.Successor != nil {
				t.Errorf("status says %+v and %+v", st.Upgrade, st.Successor)
			}
			if got := readFile(pidfile); got != fmt.Sprintln(in.pid()) {
				t.Errorf("pidfile holds %q", got)
			}
			if n := len(in.workers()); n != 2 {
				t.Errorf("%d processes are left below the arbiter", n)
			}
			d.guest("hello")
			d.config(good)
			in.replace("appserver")
			in.appserver.upgrade(true)
			lostNothing(t, stop())
			in.stop()
		})
	}
}
