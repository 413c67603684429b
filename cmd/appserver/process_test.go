package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

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
	activate(s, l.file)
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

// activate has a prepared server inherit a socket as from a service manager.
func activate(s *appserver, socket *os.File) {
	s.cmd.ExtraFiles = []*os.File{socket}
	s.cmd.Args = append([]string{"sh", "-c", `LISTEN_PID=$$ LISTEN_FDS=1 exec -a appserver "$0" "$@"`, os.Args[0]}, s.cmd.Args[1:]...)
	s.cmd.Path = "/bin/bash"
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

// A server that is told to stop while it waits for its port leaves nothing behind either.
func TestStopWhileStarting(t *testing.T) {
	dir := t.TempDir()
	taken := listenTCP(t)
	sock, pid := filepath.Join(dir, "s"), filepath.Join(dir, "pid")
	s := launch(t, wasm("hello"), "-b", "unix:"+sock, "-b", taken.addr, "-p", pid)
	s.awaitMsg("Address is in use, trying again")
	s.signal(syscall.SIGTERM)
	if code := s.wait(); code != 0 {
		t.Errorf("exit code %d\n%s", code, s.log())
	}
	for _, path := range []string{sock, pid} {
		if _, err := os.Lstat(path); err == nil {
			t.Errorf("%s is left behind", filepath.Base(path))
		}
	}
}

// With few descriptors a server has few connections, and recovers as soon as clients go.
func TestFewDescriptors(t *testing.T) {
	s := prepare(t, wasm("hello"), "-w", "1", "-k", "threaded", "--keepalive", "60")
	s.cmd.Args = append([]string{"bash", "-c", `ulimit -n 64; exec -a appserver "$0" "$@"`, os.Args[0]}, s.cmd.Args[1:]...)
	s.cmd.Path = "/bin/bash"
	s.begin()
	s.awaitReady()
	s.awaitRecord("the warning", func(r record) bool { return r.text("worker_connections") == "1000" && r.text("limit") == "64" })
	begin := time.Now()
	var idle []*load.Conn
	for range 200 {
		c, err := load.Dial(t.Context(), s.addr)
		if err != nil {
			t.Fatal(err)
		}
		idle = append(idle, c)
	}
	for _, c := range idle {
		c.Close()
	}
	s.mustGet("/", 200)
	if n := s.count("Worker died"); n != 0 {
		t.Errorf("%d workers died", n)
	}
	if n, most := s.count("Cannot accept connections, trying again"), 1+int(time.Since(begin)/time.Second); n > most {
		t.Errorf("%d records in %v", n, time.Since(begin))
	}
	s.stop()
}

// Connections that wait in the kernel's queue at a graceful stop are served like all others: spread over the workers, and
// none is turned away because the workers' own queues are full.
func TestTermServesTheQueue(t *testing.T) {
	s := start(t, goHello(t), "-w", "2", "-k", "threaded", "--threads", "4")
	const clients = 200
	done := make(chan *load.Report, 1)
	go func() {
		done <- load.Run(t.Context(), load.Plan{
			Addr: s.addr, Clients: clients, Requests: 1, Check: load.Status(200),
			Raw: "GET /slow?wait=30ms HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n",
		})
	}()
	s.awaitBusy(8)
	eventually(t, patience, "clients wait in the kernel's queue", func() bool { return waiting(t, s.addr) > clients/2 })
	s.stop()
	if r := <-done; r.Lost+r.Bad > 0 || r.Done != clients {
		t.Errorf("%s", r)
	}
}

// waiting returns how many connections to a port wait to be accepted: the receive queue of a listening socket (proc(5)).
func waiting(t *testing.T, addr string) int {
	t.Helper()
	_, port, _ := strings.Cut(addr, ":")
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(table)) {
		f := strings.Fields(line)
		if len(f) > 4 && strings.HasSuffix(f[1], fmt.Sprintf(":%04X", n)) && f[3] == "0A" {
			_, rx, _ := strings.Cut(f[4], ":")
			queue, err := strconv.ParseInt(rx, 16, 64)
			if err != nil {
				t.Fatal(err)
			}
			return int(queue)
		}
	}
	return 0
}
