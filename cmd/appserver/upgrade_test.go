package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/appserver-go/appserver/control"
	"github.com/appserver-go/appserver/internal/load"
)

// awaitNth waits for the n-th record with the message, from 1.
func (s *appserver) awaitNth(n int, msg string) record {
	s.t.Helper()
	return s.awaitRecord(fmt.Sprintf("%q, the %d.", msg, n), func(r record) bool {
		if r.msg() == msg {
			n--
		}
		return r.msg() == msg && n == 0
	})
}

// startSuccessor sends USR2, waits until the new arbiter is ready and returns its process id.
func (s *appserver) startSuccessor() int {
	s.t.Helper()
	const ready = "New arbiter is ready"
	n := s.count(ready)
	s.signal(syscall.SIGUSR2)
	pid, err := strconv.Atoi(s.awaitNth(n+1, ready).text("new_pid"))
	if err != nil {
		s.t.Fatal(err)
	}
	return pid
}

// succeeded waits until the old arbiter is gone and the new one knows it, and follows the new one.
func (s *appserver) succeeded(pid int) {
	s.t.Helper()
	old := s.pid()
	s.awaitRecord("the promotion", func(r record) bool {
		return r.msg() == "Promoted, the old arbiter is gone" && r.text("old_pid") == strconv.Itoa(old)
	})
	eventually(s.t, patience, "the old arbiter is gone", func() bool { return !alive(old) })
	s.successor = pid
}

// upgrade replaces the arbiter by hand, as in nginx's and gunicorn's documents, unless it retires by itself.
func (s *appserver) upgrade(auto bool) {
	s.t.Helper()
	pid := s.startSuccessor()
	if !auto {
		s.signal(syscall.SIGWINCH)
		eventually(s.t, patience, "the old workers are gone", func() bool { return len(s.workers()) <= 1 }) // the new arbiter is a child too
		s.signal(syscall.SIGTERM)
	}
	s.succeeded(pid)
}

// USR2 again and again, in both layouts of sockets, by hand and by itself.
func TestUpgradeUnderLoadLosesNothing(t *testing.T) {
	upgrades := repeats(10)
	for _, test := range []struct {
		network, mode, upgrade string
		keepAlive              bool
	}{
		{"tcp", "shared", "manual", false},
		{"tcp", "shared", "auto", true},
		{"tcp", "slots", "auto", false},
		{"tcp", "slots", "manual", true},
		{"unix", "shared", "manual", true},
		{"unix", "shared", "auto", false},
	} {
		t.Run(fmt.Sprintf("%s/%s/%s/keepalive=%v", test.network, test.mode, test.upgrade, test.keepAlive), func(t *testing.T) {
			s := start(t, wasm("hello"), "-w", "2", "-k", "threaded", "--threads", "4", "--bind", binds(t)[test.network],
				"--listen-mode", test.mode, "--upgrade", test.upgrade, "--log-level", "info")
			stop := hammer(s, s.addr, 32, test.keepAlive)
			for range upgrades {
				s.upgrade(test.upgrade == "auto")
			}
			lostNothing(t, stop())
			s.stop()
			if path, ok := strings.CutPrefix(s.addr, "unix:"); ok {
				if _, err := os.Lstat(path); err == nil {
					t.Error("the last arbiter has left the socket's file")
				}
			}
		})
	}
}

// statusAt asks the server at a control socket.
func statusAt(t *testing.T, path string) *control.Status {
	t.Helper()
	c := control.NewClient(path)
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	st, err := c.Status(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// While there are two, the new arbiter's pidfile and control socket are beside those of the old one; it takes them over, even
// when the old one is killed.
func TestUpgradeTakesFilesOver(t *testing.T) {
	for name, end := range map[string]syscall.Signal{"term": syscall.SIGTERM, "kill": syscall.SIGKILL} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			unix, sock, pidfile := filepath.Join(dir, "s"), filepath.Join(dir, "c"), filepath.Join(dir, "pid")
			s := start(t, wasm("hello"), "-w", "1", "-b", "unix:"+unix, "--control-socket", sock, "-p", pidfile)
			old := s.pid()
			pid := s.startSuccessor()
			for path, want := range map[string]int{pidfile: old, pidfile + ".2": pid} {
				if got := readFile(path); got != fmt.Sprintln(want) {
					t.Errorf("%s holds %q, want %d", filepath.Base(path), got, want)
				}
			}
			if st := statusAt(t, sock); st.PID != old || st.Successor == nil || st.Successor.PID != pid || st.Successor.Stage != "ready" {
				t.Errorf("the old one's status: %d, %+v", st.PID, st.Successor)
			}
			if st := statusAt(t, sock+".2"); st.PID != pid || st.Predecessor != old {
				t.Errorf("the new one's status: %d, predecessor %d", st.PID, st.Predecessor)
			}
			s.signal(syscall.SIGUSR2)
			s.awaitMsg("Upgrade refused")
			s.signal(end)
			s.succeeded(pid)
			s.awaitRecord("the control socket moved", func(r record) bool {
				return r.msg() == "Control socket" && r.text("path") == sock && r.text("time") != ""
			})
			eventually(t, patience, "the files are taken over", func() bool {
				_, err := os.Lstat(sock + ".2")
				return os.IsNotExist(err) && readFile(pidfile) == fmt.Sprintln(pid)
			})
			if st := statusAt(t, sock); st.PID != pid || st.Predecessor != 0 {
				t.Errorf("after the promotion: %d, predecessor %d", st.PID, st.Predecessor)
			}
			if resp, err := load.Get(t.Context(), "unix:"+unix, "/"); err != nil || resp.Status != 200 {
				t.Errorf("after the promotion: %v", err)
			}
			s.signal(syscall.SIGTERM)
			s.wait()
			eventually(t, patience, "nothing is left behind", func() bool { return len(listDir(t, dir)) == 0 })
		})
	}
}

func listDir(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// The way back: after WINCH, HUP brings the old workers back, and the new arbiter is stopped. Nothing is lost, and the
// next upgrade is possible.
func TestUpgradeAndBack(t *testing.T) {
	s := start(t, wasm("hello"), "-w", "2", "-k", "threaded", "--threads", "4", "-b", binds(t)["unix"])
	stop := hammer(s, s.addr, 16, true)
	pid := s.startSuccessor()
	s.signal(syscall.SIGWINCH)
	eventually(t, patience, "the old workers are gone", func() bool { return len(s.workers()) <= 1 })
	s.signal(syscall.SIGHUP)
	s.awaitMsg("Reload complete")
	syscall.Kill(pid, syscall.SIGTERM)
	s.awaitMsg("The new arbiter was stopped")
	lostNothing(t, stop())
	s.upgrade(false)
	s.mustGet("/", 200)
	s.stop()
}

// A new arbiter that dies after it has taken over: the old one brings its workers back, as long as it is there.
func TestSuccessorDies(t *testing.T) {
	s := start(t, wasm("hello"), "-w", "2")
	pid := s.startSuccessor()
	s.signal(syscall.SIGWINCH)
	eventually(t, patience, "the old workers are gone", func() bool { return len(s.workers()) <= 1 })
	syscall.Kill(pid, syscall.SIGKILL)
	s.awaitMsg("Bringing the workers back")
	eventually(t, patience, "two workers", func() bool { return len(s.workers()) == 2 })
	s.mustGet("/", 200)
	s.stop()
}

// Sockets of a service manager are handed on, and outlive the last arbiter.
func TestUpgradeWithSocketActivation(t *testing.T) {
	l := listenTCP(t)
	s := prepare(t, wasm("hello"), "-w", "1", "--upgrade", "auto")
	activate(s, l.file)
	s.begin()
	s.awaitReady()
	stop := hammer(s, l.addr, 8, false)
	for range 2 {
		s.upgrade(true)
	}
	lostNothing(t, stop())
	s.signal(syscall.SIGHUP)
	s.awaitMsg("Reload complete")
	s.mustGet("/", 200)
	s.stop()
	if _, err := load.Dial(context.Background(), l.addr); err != nil {
		t.Errorf("the service manager's socket does not outlive the server: %v", err)
	}
}

// A new arbiter with another bind opens what is new; the old one closes and removes what is not wanted any more.
func TestUpgradeChangesBinds(t *testing.T) {
	const auto = "upgrade = \"auto\"\n"
	dir := t.TempDir()
	a, b, c := filepath.Join(dir, "a"), filepath.Join(dir, "b"), filepath.Join(dir, "c")
	d := newSite(t, "hello", auto+bindUnix(a, b))
	s := d.startRaw("-w", "2", "-k", "threaded", "--threads", "4")
	stop := hammer(s, "unix:"+b, 8, false)
	d.config(auto + bindUnix(b, c))
	s.upgrade(true)
	for path, there := range map[string]bool{a: false, b: true, c: true} {
		if resp, err := load.Get(t.Context(), "unix:"+path, "/"); (err == nil && resp.Status == 200) != there {
			t.Errorf("%s: %v", filepath.Base(path), err)
		}
	}
	lostNothing(t, stop())
	s.stop()
	if left := listDir(t, dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// Reloads, upgrades and changes of the number of workers, all over each other.
func TestStormOfSignalsUnderLoadLosesNothing(t *testing.T) {
	rounds := repeats(6)
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			s := start(t, wasm("hello"), "-w", "2", "-k", "threaded", "--threads", "4", "--bind", binds(t)[network], "--upgrade", "auto",
				"--max-requests", "500", "--log-level", "info")
			stop := hammer(s, s.addr, 16, network == "unix")
			for range rounds {
				for range rand.IntN(3) {
					s.signal([]syscall.Signal{syscall.SIGHUP, syscall.SIGTTIN, syscall.SIGTTOU, syscall.SIGUSR1}[rand.IntN(4)])
				}
				s.upgrade(true)
			}
			lostNothing(t, stop())
			s.stop()
		})
	}
}

// Upgrades leave nothing in the arbiters that follow each other: descriptors, threads, zombies; and the number of workers
// that TTIN has made stays.
func TestUpgradesLeaveArbiterFlat(t *testing.T) {
	upgrades := repeats(6)
	s := start(t, wasm("hello"), "-w", "1", "--upgrade", "auto", "--log-level", "info", "-b", binds(t)["unix"])
	s.signal(syscall.SIGTTIN)
	two := func() {
		t.Helper()
		eventually(t, patience, "two workers and no zombie", func() bool {
			return len(s.workers()) == 2 && len(children(s.pid())) == 2
		})
	}
	two()
	for range 2 {
		s.upgrade(true)
	}
	two()
	fds, threads := descriptors(t, s.pid()), threadCount(t, s.pid())
	for range upgrades {
		s.upgrade(true)
	}
	two()
	eventually(t, patience, "descriptors are flat", func() bool { return descriptors(t, s.pid()) <= fds })
	if now := threadCount(t, s.pid()); now > threads+4 {
		t.Errorf("threads grew from %d to %d", threads, now)
	}
	t.Logf("%d upgrades: descriptors %d to %d, threads %d to %d", upgrades, fds, descriptors(t, s.pid()), threads, threadCount(t, s.pid()))
	s.stop()
}

// children returns the children of a process, zombies too.
func children(pid int) (pids []string) {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, path := range tasks {
		data, _ := os.ReadFile(path)
		pids = append(pids, strings.Fields(string(data))...)
	}
	return pids
}

// A socket that was accepted by the old arbiter's worker is served to the end of its request while that one retires.
func TestUpgradeFinishesRequests(t *testing.T) {
	s := start(t, wasm("hostile"), "-w", "1", "--timeout", "2", "--upgrade", "auto")
	slow := make(chan int, 1)
	go func() {
		resp, err := s.get("/sleep") // until its timeout
		if err != nil {
			t.Error(err)
			slow <- 0
			return
		}
		slow <- resp.Status
	}()
	s.awaitBusy(1)
	s.upgrade(true)
	if status := <-slow; status != 504 {
		t.Errorf("the old arbiter's request: status %d", status)
	}
	s.mustGet("/", 200)
	s.stop()
}

// A variable that makes no sense is an error that says so.
func TestHandoverVariable(t *testing.T) {
	for _, value := range []string{"7", "3", "x"} {
		s := prepare(t, wasm("hello"))
		s.cmd.Env = append(s.cmd.Env, "APPSERVER_HANDOVER="+value)
		s.begin()
		if code := s.wait(); code != 1 {
			t.Errorf("%q: exit code %d", value, code)
		}
		wantVoice(t, s, "APPSERVER_HANDOVER")
	}
}
