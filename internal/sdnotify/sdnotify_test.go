package sdnotify

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/appserver-go/appserver/internal/fault"
)

// manager listens as a service manager does.
func manager(t *testing.T, name string) *net.UnixConn {
	t.Helper()
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func receive(t *testing.T, c *net.UnixConn) string {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 4096)
	n, err := c.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return string(buf[:n])
}

func TestMessages(t *testing.T) {
	for kind, name := range map[string]string{
		"path": filepath.Join(t.TempDir(), "notify"), "abstract": fmt.Sprintf("@appserver-test-%d", os.Getpid()),
	} {
		t.Run(kind, func(t *testing.T) {
			c := manager(t, name)
			n, _, err := New([]string{"NOTIFY_SOCKET=" + name}, 1)
			if err != nil || n == nil {
				t.Fatalf("New: %v, %v", n, err)
			}
			for _, test := range []struct {
				send func() error
				want string // a regular expression
			}{
				{func() error { return n.Ready("2 of 2 workers") }, "READY=1\nSTATUS=2 of 2 workers"},
				{func() error { return n.Status("a\nREADY=1\x00\xff\x7f") }, `STATUS=a READY=1 \? `},
				{func() error { return n.Stopping("") }, "STOPPING=1\nSTATUS="},
				{func() error { return n.Reloading("why") }, "RELOADING=1\nMONOTONIC_USEC=[0-9]+\nSTATUS=why"},
				{func() error { return n.MainPID(123) }, "MAINPID=123"},
				{n.Ping, "WATCHDOG=1"},
			} {
				if err := test.send(); err != nil {
					t.Fatal(err)
				}
				if got := receive(t, c); !regexp.MustCompile("^(?:" + test.want + ")$").MatchString(got) {
					t.Errorf("sent %q, want %q", got, test.want)
				}
			}
		})
	}
}

// MONOTONIC_USEC is CLOCK_MONOTONIC, which a manager compares with its own.
func TestReloadingTime(t *testing.T) {
	name := filepath.Join(t.TempDir(), "notify")
	c := manager(t, name)
	n, _, err := New([]string{"NOTIFY_SOCKET=" + name}, 1)
	if err != nil {
		t.Fatal(err)
	}
	micros := func() int64 {
		var ts unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
			t.Fatal(err)
		}
		return ts.Nano() / 1000
	}
	before := micros()
	if err := n.Reloading("x"); err != nil {
		t.Fatal(err)
	}
	after := micros()
	_, rest, _ := strings.Cut(receive(t, c), "MONOTONIC_USEC=")
	text, _, _ := strings.Cut(rest, "\n")
	if got, err := strconv.ParseInt(text, 10, 64); err != nil || got < before || got > after {
		t.Errorf("MONOTONIC_USEC is %q, want %d to %d", text, before, after)
	}
}

func TestNew(t *testing.T) {
	long := "/" + strings.Repeat("x", 107)
	for _, test := range []struct {
		environ  []string
		send     bool
		watchdog time.Duration
		err      string
	}{
		{nil, false, 0, ""},
		{[]string{"NOTIFY_SOCKET="}, false, 0, ""},
		{[]string{"WATCHDOG_USEC=1000"}, false, 0, ""},
		{[]string{"NOTIFY_SOCKET=/run/n"}, true, 0, ""},
		{[]string{"NOTIFY_SOCKET=" + long[:107]}, true, 0, ""},
		{[]string{"NOTIFY_SOCKET=" + long}, false, 0, "neither the path"},
		{[]string{"NOTIFY_SOCKET=relative"}, false, 0, "neither the path"},
		{[]string{"NOTIFY_SOCKET=vsock:2:1234"}, false, 0, "neither the path"},
		{[]string{"NOTIFY_SOCKET=@"}, false, 0, "neither the path"},
		{[]string{"NOTIFY_SOCKET=@a", "NOTIFY_SOCKET=bad"}, true, 0, ""},
		{[]string{"NOTIFY_SOCKET=@a", "WATCHDOG_USEC=3000000"}, true, 3 * time.Second, ""},
		{[]string{"NOTIFY_SOCKET=@a", "WATCHDOG_USEC=3000000", "WATCHDOG_PID=77"}, true, 3 * time.Second, ""},
		{[]string{"NOTIFY_SOCKET=@a", "WATCHDOG_USEC=3000000", "WATCHDOG_PID=78"}, true, 0, ""},
		{[]string{"NOTIFY_SOCKET=@a", "WATCHDOG_USEC=0"}, true, 0, "WATCHDOG_USEC"},
		{[]string{"NOTIFY_SOCKET=@a", "WATCHDOG_USEC=-1"}, true, 0, "WATCHDOG_USEC"},
		{[]string{"NOTIFY_SOCKET=@a", "WATCHDOG_USEC=9223372036854775807"}, true, 0, "WATCHDOG_USEC"},
	} {
		environ := append([]string{"A=1"}, test.environ...)
		n, rest, err := New(append(environ, "NOTIFY_SOCKETS=mine"), 77)
		if (n != nil) != test.send || n.Watchdog() != test.watchdog {
			t.Errorf("%q: sends %v, watchdog %v", test.environ, n != nil, n.Watchdog())
		}
		if !slices.Equal(rest, []string{"A=1", "NOTIFY_SOCKETS=mine"}) {
			t.Errorf("%q: the children get %q", test.environ, rest)
		}
		if text := fmt.Sprint(err); test.err == "" && err != nil || !strings.Contains(text, test.err) || err != nil && fault.Hint(err) == "" {
			t.Errorf("%q: %v (hint %q), want %q", test.environ, err, fault.Hint(err), test.err)
		}
	}
}

// A manager that does not read makes no sender wait, and one that is gone is an error.
func TestSendDoesNotWait(t *testing.T) {
	name := filepath.Join(t.TempDir(), "notify")
	c := manager(t, name)
	n, _, err := New([]string{"NOTIFY_SOCKET=" + name}, 1)
	if err != nil {
		t.Fatal(err)
	}
	for range 100_000 {
		if err = n.Ping(); err != nil {
			break
		}
	}
	if !errors.Is(err, unix.EAGAIN) {
		t.Errorf("with a full queue: %v, want EAGAIN", err)
	}
	c.Close()
	if err := n.Ping(); !errors.Is(err, unix.ECONNREFUSED) && !errors.Is(err, unix.ENOENT) {
		t.Errorf("without a manager: %v", err)
	}
}

// Without a service manager everything succeeds and nothing happens.
func TestNil(t *testing.T) {
	var n *Notifier
	for _, send := range []func() error{
		func() error { return n.Ready("x") }, func() error { return n.Status("x") }, func() error { return n.Stopping("x") },
		func() error { return n.Reloading("x") }, func() error { return n.MainPID(1) }, n.Ping,
	} {
		if err := send(); err != nil {
			t.Error(err)
		}
	}
}
