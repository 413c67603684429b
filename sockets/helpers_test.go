package sockets

import (
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// patience bounds every wait of these tests; it is only used up when something is broken.
const patience = 10 * time.Second

// testOptions leaves owners alone and retries nothing.
func testOptions() Options { return Options{Mode: 0o600, UID: -1, GID: -1} }

// listen opens addresses and closes them, with their files, at the end of the test.
func listen(t *testing.T, opts Options, addrs ...string) *Set {
	t.Helper()
	set, err := tryListen(t, opts, addrs...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := set.Close(true); err != nil {
			t.Error(err)
		}
	})
	return set
}

func tryListen(t *testing.T, opts Options, addrs ...string) (*Set, error) {
	t.Helper()
	var parsed []Addr
	for _, a := range addrs {
		parsed = append(parsed, mustParse(t, a))
	}
	return Listen(t.Context(), parsed, opts)
}

// dupFD returns a copy of the socket's descriptor, as a worker gets one; whoever is given it must close it.
func dupFD(t testing.TB, s *Socket) int {
	t.Helper()
	dup := -1
	err := s.Control(func(fd uintptr) {
		var err error
		if dup, err = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return dup
}

// adopt makes a worker's listener of a socket.
func adopt(t testing.TB, s *Socket) *Listener {
	t.Helper()
	l, err := Adopt(dupFD(t, s), s.Name())
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// dial connects to a socket, through the loopback if it is bound to all addresses.
func dial(t testing.TB, s *Socket) net.Conn {
	t.Helper()
	c, err := dialAddr(s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func dialAddr(a Addr) (net.Conn, error) {
	if a.Network == Unix {
		return net.DialTimeout("unix", a.Path, patience)
	}
	return net.DialTimeout("tcp", a.String(), patience)
}

// sockopt reads an integer socket option.
func sockopt(t testing.TB, s *Socket, level, name int) int {
	t.Helper()
	var value int
	err := s.Control(func(fd uintptr) {
		var err error
		if value, err = unix.GetsockoptInt(int(fd), level, name); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// openFDs counts the sockets, epoll instances and eventfds of this process that are close-on-exec or not.
func openFDs(t testing.TB) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, e := range entries {
		target, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err == nil && (strings.HasPrefix(target, "socket:") || strings.HasPrefix(target, "anon_inode:")) {
			n++
		}
	}
	return n
}

// needIPv6 skips a test where the loopback has no IPv6 address.
func needIPv6(t *testing.T) {
	t.Helper()
	l, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		t.Skipf("this machine has no ::1: %v", err)
	}
	l.Close()
}

// eventually waits until the condition holds.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("timed out: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}
