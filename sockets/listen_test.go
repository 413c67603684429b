package sockets

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/appserver-go/appserver/internal/fault"
)

func TestListenTCP(t *testing.T) {
	for _, bind := range []string{"127.0.0.1:0", "localhost:0", "[::1]:0"} {
		t.Run(bind, func(t *testing.T) {
			level, flag := unix.SOL_SOCKET, 1
			if strings.HasPrefix(bind, "[") {
				needIPv6(t)
			}
			opts := testOptions()
			opts.Backlog, opts.TLS = 77, true
			s := listen(t, opts, bind).Sockets()[0]

			if s.Addr().Port == 0 {
				t.Error("the address has port 0, want the port that the kernel chose")
			}
			if want := "https://" + s.Addr().String(); s.Name() != want {
				t.Errorf("Name = %q, want %q", s.Name(), want)
			}
			for _, o := range []struct {
				what              string
				level, name, want int
			}{
				{"SO_PROTOCOL", level, unix.SO_PROTOCOL, unix.IPPROTO_TCP}, // and not IPPROTO_MPTCP
				{"SO_ACCEPTCONN", level, unix.SO_ACCEPTCONN, flag},
				{"SO_REUSEADDR", level, unix.SO_REUSEADDR, flag},
				{"SO_REUSEPORT", level, unix.SO_REUSEPORT, 0},
				{"SO_KEEPALIVE", level, unix.SO_KEEPALIVE, flag},
				{"TCP_NODELAY", unix.IPPROTO_TCP, unix.TCP_NODELAY, flag},
			} {
				if got := sockopt(t, s, o.level, o.name); got != o.want {
					t.Errorf("%s = %d, want %d", o.what, got, o.want)
				}
			}
			checkFlags(t, s)

			if waiting, limit, err := s.Queue(); waiting != 0 || limit != 77 || err != nil {
				t.Errorf("Queue = %d, %d, %v, want 0, 77", waiting, limit, err)
			}
			dial(t, s)
			eventually(t, "the connection waits in the queue", func() bool {
				waiting, _, err := s.Queue()
				return waiting == 1 && err == nil
			})
		})
	}
}

// checkFlags checks that a socket is close-on-exec and non-blocking.
func checkFlags(t *testing.T, s *Socket) {
	t.Helper()
	err := s.Control(func(fd uintptr) {
		if flags, err := unix.FcntlInt(fd, unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("%s: descriptor flags %#x, %v: not close-on-exec", s.Name(), flags, err)
		}
		if flags, err := unix.FcntlInt(fd, unix.F_GETFL, 0); err != nil || flags&unix.O_NONBLOCK == 0 {
			t.Errorf("%s: status flags %#x, %v: blocking", s.Name(), flags, err)
		}
	})
	if err != nil {
		t.Error(err)
	}
}

func TestListenSeveral(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	opts := testOptions()
	opts.Slots = 2
	set := listen(t, opts, "127.0.0.1:0", "unix:"+path, "127.0.0.2:0")
	sockets := set.Sockets()
	if len(sockets) != 5 {
		t.Fatalf("%d sockets, want 2 for each TCP address and 1 for the unix one", len(sockets))
	}
	names := []string{sockets[0].Name(), "unix:" + path, sockets[3].Name()}
	if !slices.Equal(set.Names(), names) {
		t.Errorf("Names = %q, want %q", set.Names(), names)
	}
	if sockets[0].Name() != sockets[1].Name() {
		t.Errorf("the slots of one address are called %s and %s", sockets[0].Name(), sockets[1].Name())
	}
	if !set.Slotted() {
		t.Error("the set is not slotted")
	}
	for _, s := range sockets {
		dial(t, s)
		checkFlags(t, s)
	}
}

// Both slots take part in the kernel's balancing although the first one gets SO_REUSEPORT after bind only.
func TestSlotsShareConnections(t *testing.T) {
	opts := testOptions()
	opts.Slots = 2
	set := listen(t, opts, "127.0.0.1:0")
	for range 64 {
		dial(t, set.Sockets()[0])
	}
	var a, b int
	eventually(t, "all connections are queued", func() bool {
		a, _, _ = set.Sockets()[0].Queue()
		b, _, _ = set.Sockets()[1].Queue()
		return a+b == 64
	})
	if a < 8 || b < 8 { // evenly hashed, fewer than 8 of 64 happens once in 10^11 runs
		t.Errorf("the slots got %d and %d of 64 connections", a, b)
	}
}

// A second server must not slip into the port of a first one, whichever of them uses SO_REUSEPORT.
func TestPortInUse(t *testing.T) {
	for _, slots := range [][2]int{{0, 0}, {0, 2}, {2, 0}, {2, 2}} {
		t.Run(fmt.Sprint(slots), func(t *testing.T) {
			first, second := testOptions(), testOptions()
			first.Slots, second.Slots = slots[0], slots[1]
			name := listen(t, first, "127.0.0.1:0").Sockets()[0].Addr().String()
			_, err := tryListen(t, second, name)
			if !errors.Is(err, unix.EADDRINUSE) || fault.Hint(err) == "" {
				t.Fatalf("error %v, want EADDRINUSE with a hint", err)
			}
			if want := "listen on " + name + ": address is in use"; err.Error() != want {
				t.Errorf("error %q, want %q", err, want)
			}
		})
	}
}

func TestRetry(t *testing.T) {
	first := listen(t, testOptions(), "127.0.0.1:0")
	name := first.Sockets()[0].Addr().String()

	t.Run("gives up", func(t *testing.T) {
		var log bytes.Buffer
		opts := testOptions()
		opts.Retries, opts.RetryDelay = 2, time.Millisecond
		opts.Log = slog.New(slog.NewTextHandler(&log, nil))
		_, err := tryListen(t, opts, name)
		if err == nil || !strings.HasSuffix(err.Error(), "address is in use (tried 3 times)") {
			t.Errorf("error %v, want one after 3 tries", err)
		}
		if n := strings.Count(log.String(), "trying again"); n != 2 {
			t.Errorf("%d records about retries, want 2:\n%s", n, log.String())
		}
	})
	t.Run("is cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		opts := testOptions()
		opts.Retries, opts.RetryDelay = 1, time.Hour
		opts.Log = slog.New(callHandler(cancel))
		if _, err := Listen(ctx, []Addr{mustParse(t, name)}, opts); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v, want context.Canceled", err)
		}
	})
	t.Run("succeeds", func(t *testing.T) {
		opts := testOptions()
		opts.Retries, opts.RetryDelay = 1000, time.Millisecond
		opts.Log = slog.New(callHandler(func() { first.Close(true) }))
		second := listen(t, opts, name)
		if got := second.Names()[0]; got != "http://"+name {
			t.Errorf("listening at %s, want %s", got, name)
		}
	})
}

// callHandler is a log handler that calls a function at each record.
type callHandler func()

func (h callHandler) Enabled(context.Context, slog.Level) bool  { return true }
func (h callHandler) Handle(context.Context, slog.Record) error { h(); return nil }
func (h callHandler) WithAttrs([]slog.Attr) slog.Handler        { return h }
func (h callHandler) WithGroup(string) slog.Handler             { return h }

func TestListenConflicts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	t.Chdir(filepath.Dir(path))
	tests := []struct {
		binds []string
		want  string
	}{
		{[]string{"127.0.0.1:4711", "127.0.0.1:4711"}, "127.0.0.1:4711 and 127.0.0.1:4711 are the same"},
		{[]string{"127.0.0.1:4711", "localhost:4711"}, "127.0.0.1:4711 and localhost:4711 are the same"},
		{[]string{"127.0.0.1:4711", ":4711"}, "127.0.0.1:4711 and 0.0.0.0:4711 overlap"},
		{[]string{"[::]:4711", "[::1]:4711"}, "[::]:4711 and [::1]:4711 overlap"},
		{[]string{"unix:" + path, "127.0.0.1:0", "unix:s"}, "unix:" + path + " and unix:s are the same"},
		{[]string{"fd://77", "fd://77"}, "fd://77 and fd://77 are the same"},
		{nil, "no address to listen on"},
	}
	for _, tt := range tests {
		_, err := tryListen(t, testOptions(), tt.binds...)
		if err == nil || !strings.Contains(err.Error(), tt.want) || fault.Hint(err) == "" {
			t.Errorf("%q: error %v, want %q with a hint", tt.binds, err, tt.want)
		}
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the refused addresses left a file: %v", err)
	}
	listen(t, testOptions(), "127.0.0.1:0", "127.0.0.1:0") // two kernel-chosen ports are two addresses
}

// [::] alone takes IPv4 connections too; beside 0.0.0.0 with the same port both work.
func TestDualStack(t *testing.T) {
	needIPv6(t)
	alone := listen(t, testOptions(), "[::]:0")
	port := alone.Sockets()[0].Addr().Port
	for _, host := range []string{"127.0.0.1", "::1"} {
		c, err := dialAddr(Addr{Network: TCP, Host: host, Port: port})
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
	}
	alone.Close(true)
	for _, order := range [][]string{{"0.0.0.0:%d", "[::]:%d"}, {"[::]:%d", "0.0.0.0:%d"}} {
		opts := testOptions()
		opts.Retries, opts.RetryDelay = 100, 10*time.Millisecond // should somebody borrow the port
		set, err := tryListen(t, opts, fmt.Sprintf(order[0], port), fmt.Sprintf(order[1], port))
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range set.Sockets() {
			dial(t, s)
		}
		set.Close(true)
	}
}

func TestListenAllOrNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	taken := listen(t, testOptions(), "127.0.0.1:0").Sockets()[0].Addr().String()
	before := openFDs(t)
	if _, err := tryListen(t, testOptions(), "127.0.0.1:0", "unix:"+path, taken); !errors.Is(err, unix.EADDRINUSE) {
		t.Fatalf("error %v, want EADDRINUSE", err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the unix socket is still there: %v", err)
	}
	if after := openFDs(t); after != before {
		t.Errorf("%d descriptors open, want %d", after, before)
	}
}

func TestListenErrors(t *testing.T) {
	tests := []struct {
		bind, text, hint string
		errno            error
	}{
		{"203.0.113.77:0", "listen on 203.0.113.77:0: ", "no such address", unix.EADDRNOTAVAIL},
		{"[fe80::1%nosuch]:0", `find network interface "nosuch"`, "ip link", unix.ENODEV},
		{"fd://999", "descriptor 999 is not open", "ListenStream=", nil},
	}
	for _, tt := range tests {
		t.Run(tt.bind, func(t *testing.T) {
			_, err := tryListen(t, testOptions(), tt.bind)
			if err == nil || !strings.Contains(err.Error(), tt.text) || !strings.Contains(fault.Hint(err), tt.hint) {
				t.Errorf("error %v (hint %q), want %q (%q)", err, fault.Hint(err), tt.text, tt.hint)
			}
			if tt.errno != nil && !errors.Is(err, tt.errno) {
				t.Errorf("error %v, want %v", err, tt.errno)
			}
		})
	}
}

func TestUnknownHost(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // no name server is to be bothered, let alone waited for
	_, err := Listen(ctx, []Addr{mustParse(t, "no-such-host.invalid:0")}, testOptions())
	const want = "listen on no-such-host.invalid:0: resolve host: "
	if err == nil || !strings.Contains(err.Error(), want) || fault.Hint(err) == "" {
		t.Errorf("error %v, want %q with a hint", err, want)
	}
}

func TestBacklogCapped(t *testing.T) {
	var log bytes.Buffer
	opts := testOptions()
	opts.Backlog, opts.Log = 1<<30, slog.New(slog.NewTextHandler(&log, nil))
	s := listen(t, opts, "127.0.0.1:0").Sockets()[0]
	_, limit, err := s.Queue()
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("net.core.somaxconn=%d", limit); !strings.Contains(log.String(), want) {
		t.Errorf("log %q does not say %q", log.String(), want)
	}
}

func TestSocketClosed(t *testing.T) {
	set := listen(t, testOptions(), "127.0.0.1:0")
	for range 2 {
		if err := set.Close(true); err != nil {
			t.Fatal(err)
		}
	}
	s := set.Sockets()[0]
	err := s.Control(func(uintptr) { t.Error("Control called its function after Close") })
	if !errors.Is(err, ErrClosed) || !errors.Is(err, net.ErrClosed) {
		t.Errorf("Control = %v, want ErrClosed", err)
	}
	if _, _, err := s.Queue(); !errors.Is(err, ErrClosed) {
		t.Errorf("Queue = %v, want ErrClosed", err)
	}
}

func TestNoDescriptorLeak(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	cycle := func() {
		opts := testOptions()
		opts.Slots = 2
		set, err := tryListen(t, opts, "127.0.0.1:0", "unix:"+path)
		if err != nil {
			t.Fatal(err)
		}
		var listeners []*Listener
		for _, s := range set.Sockets() {
			listeners = append(listeners, adopt(t, s))
		}
		a, err := NewAcceptor(listeners)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(a.Close(), set.Close(true)); err != nil {
			t.Fatal(err)
		}
	}
	cycle()
	before := openFDs(t)
	for range 200 {
		cycle()
	}
	if after := openFDs(t); after != before {
		t.Errorf("%d descriptors open after 200 cycles, %d before", after, before)
	}
}
