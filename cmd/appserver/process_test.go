package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/appserver-go/appserver/internal/load"
)

// What a worker process is like from outside: its names, its owner, its rights, its descriptors.

func TestProcessNames(t *testing.T) {
	s := start(t, wasm("hello"), "-w", "1", "--proc-name", "shop")
	worker := s.workers()[0]
	comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", worker))
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.TrimSpace(string(comm)); got != "appserver-wrk" {
		t.Errorf("top shows a worker as %q", got)
	}
	cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", worker))
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.ReplaceAll(strings.TrimRight(string(cmdline), "\x00"), "\x00", " "); got != "appserver worker shop #0" {
		t.Errorf("ps shows a worker as %q", got)
	}
	s.stop()
}

func TestWorkersGiveUpRights(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can run workers as somebody else")
	}
	sock := filepath.Join(t.TempDir(), "s")
	if err := os.Chmod(filepath.Dir(sock), 0o755); err != nil {
		t.Fatal(err)
	}
	s := start(t, wasm("hello"), "-w", "2", "--user", "65534", "--group", "65534", "-b", "unix:"+sock, "--socket-mode", "0600")
	for _, pid := range s.workers() {
		status := readStatus(t, pid)
		for key, want := range map[string]string{
			"Uid": "65534 65534 65534 65534", "Gid": "65534 65534 65534 65534", "Groups": "65534",
			"CapEff": "0000000000000000", "CapPrm": "0000000000000000", "CapInh": "0000000000000000",
			"NoNewPrivs": "1",
		} {
			if got := strings.Join(strings.Fields(status[key]), " "); got != want {
				t.Errorf("worker %d: %s is %q, want %q", pid, key, got, want)
			}
		}
	}
	var st syscall.Stat_t
	if err := syscall.Stat(sock, &st); err != nil {
		t.Fatal(err)
	}
	if st.Uid != 65534 || st.Gid != 65534 || st.Mode&0o777 != 0o600 {
		t.Errorf("the socket belongs to %d:%d with mode %o", st.Uid, st.Gid, st.Mode&0o777)
	}
	s.mustGet("/", 200)
	s.stop()
}

func readStatus(t *testing.T, pid int) map[string]string {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	status := map[string]string{}
	for line := range strings.Lines(string(data)) {
		key, value, _ := strings.Cut(line, ":")
		status[key] = strings.TrimSpace(value)
	}
	return status
}

// A descriptor that the arbiter was started with is nobody else's business.
func TestForeignDescriptorsStayOut(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	s := prepare(t, wasm("hello"), "-w", "1")
	s.cmd.ExtraFiles = []*os.File{w} // descriptor 3 of the arbiter
	s.begin()
	s.awaitReady()
	w.Close()
	link := fmt.Sprintf("pipe:[%d]", inode(t, r))
	for _, pid := range s.workers() {
		fds, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
		if err != nil {
			t.Fatal(err)
		}
		for _, fd := range fds {
			if got, _ := os.Readlink(fd); got == link {
				t.Errorf("worker %d has the arbiter's pipe as %s", pid, filepath.Base(fd))
			}
		}
	}
	s.stop()
}

func inode(t *testing.T, f *os.File) uint64 {
	t.Helper()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	return info.Sys().(*syscall.Stat_t).Ino
}

// Sockets of a service manager are taken over in place of the bind setting.
func TestSocketActivation(t *testing.T) {
	l := listenTCP(t)
	s := prepare(t, wasm("hello"), "-w", "1")
	s.cmd.ExtraFiles = []*os.File{l.file}
	s.cmd.Args = append([]string{"sh", "-c", `LISTEN_PID=$$ LISTEN_FDS=1 exec -a appserver "$0" "$@"`, os.Args[0]}, s.cmd.Args[1:]...)
	s.cmd.Path = "/bin/bash"
	s.begin()
	s.awaitReady()
	if s.addr != l.addr {
		t.Errorf("serves %s, was given %s", s.addr, l.addr)
	}
	s.mustGet("/", 200)
	s.stop()
	if _, err := load.Dial(context.Background(), l.addr); err != nil {
		t.Errorf("the service manager's socket does not outlive the server: %v", err)
	}
}

// Pidfile: written, locked, removed.
func TestPidfile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pid")
	s := start(t, wasm("hello"), "-w", "1", "-p", path)
	data, err := os.ReadFile(path)
	if err != nil || strings.TrimSpace(string(data)) != fmt.Sprint(s.cmd.Process.Pid) {
		t.Fatalf("pidfile holds %q, %v", data, err)
	}
	second := launch(t, wasm("hello"), "-w", "1", "-p", path)
	if code := second.wait(); code != 1 {
		t.Errorf("a second server with the pidfile exits with %d", code)
	}
	wantVoice(t, second, "already running on pid "+fmt.Sprint(s.cmd.Process.Pid))
	s.stop()
	if _, err := os.Stat(path); err == nil {
		t.Error("the pidfile is still there")
	}
}
