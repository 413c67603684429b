package sockets

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/appserver-go/appserver/internal/fault"
)

// helperEnv makes the test binary act as another server.
const helperEnv = "SOCKETS_TEST_HELPER"

func TestMain(m *testing.M) {
	var err error
	switch what, arg, _ := strings.Cut(os.Getenv(helperEnv), " "); what {
	case "":
		os.Exit(m.Run())
	case "activated":
		err = serveActivated()
	case "listen":
		err = holdAddress(arg)
	case "lowfd":
		err = acceptAsStdout()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "helper:", err)
		os.Exit(1)
	}
}

// serveActivated is a server under socket activation: it prints what it inherited and greets one client per socket.
func serveActivated() error {
	fds, rest, err := Inherit(os.Environ(), os.Getpid())
	if err != nil {
		return err
	}
	for _, entry := range rest {
		if strings.HasPrefix(entry, "LISTEN_") {
			return fmt.Errorf("%s is still in the environment", entry)
		}
	}
	set, err := ListenInherited(fds, Options{Backlog: 33})
	if err != nil {
		return err
	}
	for _, s := range set.Sockets() {
		waiting, limit, queueErr := s.Queue()
		var fdFlags, flags int
		err := s.Control(func(fd uintptr) {
			fdFlags, _ = unix.FcntlInt(fd, unix.F_GETFD, 0)
			flags, _ = unix.FcntlInt(fd, unix.F_GETFL, 0)
		})
		fmt.Println(s.Name(), fdFlags&unix.FD_CLOEXEC != 0, flags&unix.O_NONBLOCK != 0, waiting, limit, queueErr == nil, err)
	}
	for _, s := range set.Sockets() {
		if err := greet(s); err != nil {
			return err
		}
	}
	return set.Close(true)
}

// greet answers one client of a socket.
func greet(s *Socket) error {
	var dup int
	if err := s.Control(func(fd uintptr) { dup, _ = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 3) }); err != nil {
		return err
	}
	l, err := Adopt(dup, "")
	if err != nil {
		return err
	}
	a, err := NewAcceptor([]*Listener{l})
	if err != nil {
		return err
	}
	c, err := a.Accept()
	if err != nil {
		return err
	}
	_, err = io.WriteString(c, "hello from "+s.Name())
	return errors.Join(err, c.Close(), a.Close())
}

// holdAddress is another server on an address, until its standard input ends.
func holdAddress(name string) error {
	addr, err := Parse(name)
	if err != nil {
		return err
	}
	set, err := Listen(context.Background(), []Addr{addr}, testOptions())
	if err != nil {
		return err
	}
	fmt.Println("listening at", set.Names()[0])
	_, err = io.Copy(io.Discard, os.Stdin)
	return errors.Join(err, set.Close(false))
}

// acceptAsStdout accepts a connection while descriptor 1 is free, and writes to it after the client has gone: a connection
// on that descriptor would kill the process by SIGPIPE.
func acceptAsStdout() error {
	set, err := Listen(context.Background(), []Addr{{Network: TCP, Host: "127.0.0.1"}}, testOptions())
	if err != nil {
		return err
	}
	l, err := Adopt(set.Sockets()[0].fd, "")
	if err != nil {
		return err
	}
	a, err := NewAcceptor([]*Listener{l})
	if err != nil {
		return err
	}
	client, err := dialAddr(set.Sockets()[0].Addr())
	if err != nil {
		return err
	}
	if err := errors.Join(client.Close(), unix.Close(1)); err != nil {
		return err
	}
	c, err := a.Accept()
	if err != nil {
		return err
	}
	for err == nil { // the first write may go to the kernel's buffer, before the reset arrives
		_, err = c.Write([]byte("x"))
	}
	if !errors.Is(err, unix.EPIPE) && !errors.Is(err, unix.ECONNRESET) {
		return err
	}
	return nil
}

func TestActivation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	set := listen(t, testOptions(), "127.0.0.1:0", "unix:"+path)
	// Only the process itself knows its pid before it runs: the shell sets it and becomes the server.
	cmd := exec.Command("/bin/sh", "-c", `LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=a:b exec "$0"`, os.Args[0])
	cmd.Env = append(os.Environ(), helperEnv+"=activated")
	cmd.Stderr = os.Stderr
	for _, s := range set.Sockets() {
		fd := dupFD(t, s)
		if err := unix.SetNonblock(fd, false); err != nil { // as systemd hands them over
			t.Fatal(err)
		}
		f := os.NewFile(uintptr(fd), "listener")
		defer f.Close()
		cmd.ExtraFiles = append(cmd.ExtraFiles, f)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for _, s := range set.Sockets() {
		greeting, err := io.ReadAll(dial(t, s))
		if want := "hello from " + s.Name(); err != nil || string(greeting) != want {
			t.Errorf("read %q, %v, want %q", greeting, err, want)
		}
	}
	out, err := io.ReadAll(stdout)
	if err := errors.Join(err, cmd.Wait()); err != nil {
		t.Fatal(err)
	}
	names := set.Names()
	for i, line := range slices.Collect(strings.Lines(string(out))) {
		want := names[i] + " true true 0 33 true <nil>\n"
		if i == 1 {
			want = names[i] + " true true 0 0 false <nil>\n" // no queue length for unix sockets
		}
		// The clients may be in the queue before the helper looks at it.
		if line != want && line != strings.Replace(want, " 0 33", " 1 33", 1) {
			t.Errorf("helper says %q, want %q", line, want)
		}
	}
	if n := strings.Count(string(out), "\n"); n != 2 {
		t.Errorf("helper says %q, want 2 lines", out)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("the helper removed the file of an inherited socket: %v", err)
	}
}

func TestInherit(t *testing.T) {
	r, w, err := os.Pipe() // some descriptors past 3 are open in any Go process with a netpoller
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	tests := []struct {
		name    string
		environ []string
		fds     []int
		rest    []string
		err     string
	}{
		{"nothing", []string{"A=1", "B"}, nil, []string{"A=1", "B"}, ""},
		{"other pid", []string{"LISTEN_PID=8", "LISTEN_FDS=2", "A=1"}, nil, []string{"A=1"}, ""},
		{"no pid", []string{"LISTEN_FDS=2", "A=1"}, nil, []string{"A=1"}, ""},
		{"no number", []string{"LISTEN_PID=7", "A=1"}, nil, []string{"A=1"}, ""},
		{"none", []string{"LISTEN_PID=7", "LISTEN_FDS=0", "LISTEN_ADDR=mine"}, nil, []string{"LISTEN_ADDR=mine"}, ""},
		{"one", []string{"LISTEN_PID=7", "LISTEN_PIDFDID=1", "LISTEN_FDS=1", "LISTEN_FDNAMES=x"}, []int{3}, nil, ""},
		{"garbage", []string{"LISTEN_PID=7", "LISTEN_FDS=x\n"}, nil, nil, `'x\n' is not a number`},
		{"negative", []string{"LISTEN_PID=7", "LISTEN_FDS=-1"}, nil, nil, "'-1' is not a number"},
		{"not open", []string{"LISTEN_PID=7", "LISTEN_FDS=10000"}, nil, nil, "LISTEN_FDS is 10000, but descriptor "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			fds, rest, err := Inherit(tt.environ, 7)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) || fault.Hint(err) == "" {
					t.Errorf("error %v, want %q with a hint", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(fds, tt.fds) || !slices.Equal(rest, tt.rest) {
				t.Errorf("Inherit = %v, %q, want %v, %q", fds, rest, tt.fds, tt.rest)
			}
		})
	}
}

func TestListenInheritedErrors(t *testing.T) {
	before := openFDs(t)
	good := listen(t, testOptions(), "127.0.0.1:0").Sockets()[0]
	socket := func(family, kind int) int {
		fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Close(fd) })
		return fd
	}
	file, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	raw, err := file.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	null := -1
	if err := raw.Control(func(fd uintptr) { null, _ = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 3) }); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(null)
	tests := []struct {
		fd   int
		want string
	}{
		{9999, "descriptor 9999 is not open"},
		{null, "is not a socket"},
		{socket(unix.AF_INET, unix.SOCK_DGRAM), "is not a stream socket"},
		{socket(unix.AF_INET, unix.SOCK_STREAM), "is a socket that does not listen"},
		{socket(unix.AF_UNIX, unix.SOCK_STREAM), "is a socket that does not listen"},
		{socket(unix.AF_NETLINK, unix.SOCK_RAW), "is not a stream socket"},
	}
	for _, tt := range tests {
		_, err := ListenInherited([]int{dupFD(t, good), tt.fd}, testOptions())
		if err == nil || !strings.Contains(err.Error(), tt.want) || fault.Hint(err) == "" {
			t.Errorf("error %v, want %q with a hint", err, tt.want)
		}
		if _, err := Adopt(tt.fd, "x"); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Adopt = %v, want %q", err, tt.want)
		}
	}
	fd := dupFD(t, good)
	if _, err := ListenInherited([]int{fd, fd}, testOptions()); err == nil || !strings.Contains(err.Error(), "listed twice") {
		t.Errorf("error %v, want that a descriptor is listed twice", err)
	}
	if after, want := openFDs(t), before+1+4; after != want { // good and the four sockets above
		t.Errorf("%d descriptors open, want %d", after, want)
	}
}

func TestListenFD(t *testing.T) {
	first := listen(t, testOptions(), "127.0.0.1:0").Sockets()[0]
	fd := dupFD(t, first)
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0); err != nil { // as it comes through exec
		t.Fatal(err)
	}
	set := listen(t, testOptions(), fmt.Sprintf("fd://%d", fd), "127.0.0.1:0")
	checkFlags(t, set.Sockets()[0])
	if got := set.Names()[0]; got != first.Name() {
		t.Errorf("name %q, want the real address %q", got, first.Name())
	}
	if _, limit, err := set.Sockets()[0].Queue(); limit != DefaultBacklog || err != nil {
		t.Errorf("backlog %d, %v, want that of the first Listen", limit, err)
	}
	dial(t, set.Sockets()[0])
}

// The message names the process that is in the way.
func TestInUseByOther(t *testing.T) {
	name := "unix:" + filepath.Join(t.TempDir(), "s")
	pid := startOther(t, name)
	_, err := tryListen(t, testOptions(), name)
	comm := filepath.Base(os.Args[0])
	comm = comm[:min(len(comm), 15)] // proc(5): the kernel keeps that much
	if want := fmt.Sprintf(" in use by process %d (%q)", pid, comm); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v, want %q", err, want)
	}
}

// startOther starts another server on an address, until the end of the test, and returns its pid.
func startOther(t *testing.T, name string) int {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), helperEnv+"=listen "+name)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	})
	if line, err := bufio.NewReader(stdout).ReadString('\n'); err != nil {
		t.Fatalf("helper says %q: %v", line, err)
	}
	return cmd.Process.Pid
}
