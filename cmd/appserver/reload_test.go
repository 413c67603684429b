package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/appserver-go/appserver/internal/load"
)

// The clients of these tests are strict: they count every dial, write, read and body that fails and retry nothing.

// torture reports whether the long versions of the tests are wanted.
func torture() bool { return os.Getenv("TORTURE") != "" }

// reloads counts the reloads that came to a good end.
func (s *appserver) reloads() int { return s.count("Reload complete") }

func (s *appserver) count(msg string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, r := range s.records {
		if r.msg() == msg {
			n++
		}
	}
	return n
}

// hammer puts a server under load until stop is called, which returns what the clients saw.
func hammer(s *appserver, addr string, clients int, keepAlive bool) (stop func() *load.Report) {
	return hammerPlan(s, load.Plan{Addr: addr, Clients: clients, KeepAlive: keepAlive, Raw: get(keepAlive), Check: load.Status(200)})
}

// hammerPlan is hammer with a plan of its own.
func hammerPlan(s *appserver, plan load.Plan) (stop func() *load.Report) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan *load.Report, 1)
	go func() { done <- load.Run(ctx, plan) }()
	eventually(s.t, patience, "load is on", func() bool { return s.served() > 100 })
	return func() *load.Report { cancel(); return <-done }
}

// lostNothing fails the test if a client was let down.
func lostNothing(t *testing.T, r *load.Report) {
	t.Helper()
	if r.Bad+r.Lost+r.Refused > 0 || r.Done < 100 {
		t.Errorf("%s", r)
	} else {
		t.Logf("%s", r)
	}
}

// HUP every 250 ms, whatever the class, the connections and the socket.
func TestReloadUnderLoadLosesNothing(t *testing.T) {
	for class, args := range classArgs {
		for _, network := range []string{"tcp", "unix"} {
			for _, keepAlive := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%s/keepalive=%v", class, network, keepAlive), func(t *testing.T) {
					s := start(t, append([]string{wasm("hello"), "--bind", binds(t)[network]}, args...)...)
					stop := hammer(s, s.addr, 32, keepAlive)
					s.reloadForAWhile()
					lostNothing(t, stop())
					s.stop()
				})
			}
		}
	}
}

// reloadForAWhile reloads the server every 250 ms.
func (s *appserver) reloadForAWhile() {
	s.t.Helper()
	span := 2 * time.Second
	if torture() {
		span = 30 * time.Second
	}
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(span); time.Now().Before(end); <-tick.C {
		s.signal(syscall.SIGHUP)
	}
	eventually(s.t, patience, "two reloads", func() bool { return s.reloads() >= 2 })
	s.t.Logf("%d reloads", s.reloads())
}

// site is a directory with a guest and a configuration for a server that is reloaded.
type site struct {
	t   *testing.T
	dir string
}

func newSite(t *testing.T, guest, config string) *site {
	t.Helper()
	d := &site{t: t, dir: t.TempDir()}
	d.guest(guest)
	d.config(config)
	return d
}

func (d *site) path(name string) string { return filepath.Join(d.dir, name) }

// guest puts one of the guests of testdata in place, by renaming, as deployments do.
func (d *site) guest(name string) {
	d.t.Helper()
	data, err := os.ReadFile(wasm(name))
	if err != nil {
		d.t.Fatal(err)
	}
	d.write("app.wasm", data)
}

func (d *site) config(text string) {
	d.t.Helper()
	d.write("appserver.toml", []byte(text))
}

func (d *site) write(name string, data []byte) {
	d.t.Helper()
	if err := os.WriteFile(d.path(name+".new"), data, 0o644); err != nil {
		d.t.Fatal(err)
	}
	if err := os.Rename(d.path(name+".new"), d.path(name)); err != nil {
		d.t.Fatal(err)
	}
}

// start runs a server in the site's directory.
func (d *site) start(args ...string) *appserver {
	d.t.Helper()
	s := prepare(d.t, append([]string{d.path("app.wasm"), "-c", d.path("appserver.toml")}, args...)...)
	s.begin()
	s.awaitReady()
	return s
}

// Each thing that can be broken at a reload, under load: nothing is lost, the reason is told once, the old generation serves
// on, and once it is mended the reload succeeds.
func TestBrokenReloadUnderLoad(t *testing.T) {
	const good = "boot_timeout = 10\nabort_grace = 0.2\n"
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	cases := map[string]struct {
		guest, config, reason string
	}{
		"bad value":       {config: "timeout = \"soon\"\n", reason: "timeout"},
		"bad syntax":      {config: "timeout = [\n", reason: "configuration file"},
		"unknown setting": {config: "tiemout = 3\n", reason: "tiemout"},
		"no guest":        {guest: "-", reason: "cannot open"},
		"no module":       {guest: "junk", reason: "no WebAssembly module"},
		"truncated":       {guest: "truncated", reason: "app.wasm"},
		"traps at start":  {guest: "trapstart", reason: "app.wasm"},
		"lacks exports":   {guest: "badexports", reason: "export"},
		"bad import":      {guest: "badimport", reason: "import"},
		"hangs at start":  {guest: "loopstart", config: "boot_timeout = 1\nabort_grace = 0.2\n", reason: "boot_timeout"},
		"port in use":     {config: fmt.Sprintf("bind = [\"127.0.0.1:0\", \"%s\"]\n", taken.Addr()), reason: "in use"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			d := newSite(t, "hello", good)
			args := []string{"-w", "2", "-k", "threaded", "--threads", "2", "--bind", "127.0.0.1:0"}
			if strings.Contains(c.config, "bind") {
				d.config(good + "bind = [\"127.0.0.1:0\"]\n")
				args = args[:len(args)-2]
				t.Setenv("PORT", "")
			}
			s := d.startRaw(args...)
			stop := hammer(s, s.addr, 8, true)
			d.breakIt(c.guest, c.config)
			s.signal(syscall.SIGHUP)
			r := s.awaitMsg("Reload failed, the old generation serves on")
			if !strings.Contains(r.text("reason"), c.reason) || r.text("level") != "ERROR" {
				t.Errorf("the record does not say %q: %v", c.reason, r)
			}
			s.mustGet("/", 200)
			d.guest("hello")
			d.config(good)
			if strings.Contains(c.config, "bind") {
				d.config(good + "bind = [\"127.0.0.1:0\"]\n")
			}
			s.signal(syscall.SIGHUP)
			s.awaitMsg("Reload complete")
			lostNothing(t, stop())
			if n := s.count("Reload failed, the old generation serves on"); n != 1 {
				t.Errorf("the failure is logged %d times", n)
			}
			s.stop()
		})
	}
}

// startRaw is start without a default for --bind, so that the file's counts.
func (d *site) startRaw(args ...string) *appserver {
	d.t.Helper()
	s := prepare(d.t, append([]string{d.path("app.wasm"), "-c", d.path("appserver.toml")}, args...)...)
	if !hasFlag(args, "--bind") {
		list := s.cmd.Args[:0]
		for i := 0; i < len(s.cmd.Args); i++ {
			if s.cmd.Args[i] == "--bind" {
				i++
				continue
			}
			list = append(list, s.cmd.Args[i])
		}
		s.cmd.Args = list
	}
	s.begin()
	s.awaitReady()
	return s
}

// breakIt puts a broken guest or configuration in place.
func (d *site) breakIt(guest, config string) {
	d.t.Helper()
	switch guest {
	case "":
	case "-":
		if err := os.Remove(d.path("app.wasm")); err != nil {
			d.t.Fatal(err)
		}
	case "junk":
		d.write("app.wasm", []byte("this is no module"))
	default:
		d.guest(guest)
	}
	if config != "" {
		d.config(config)
	}
}

// Idle keep-alive connections that send their next request at a random moment around a reload get an answer, not a reset.
func TestReloadNeverResetsIdleConnections(t *testing.T) {
	connections := 100
	if torture() {
		connections = 1000
	}
	for class, args := range classArgs {
		if class == "sync" { // closes after each response, as gunicorn's does, so nothing is idle
			continue
		}
		t.Run(class, func(t *testing.T) {
			s := start(t, append([]string{wasm("hello"), "--keepalive", "60", "--worker-connections", "2000"}, args...)...)
			conns := make([]*load.Conn, connections)
			for i := range conns {
				c, err := load.Dial(t.Context(), s.addr)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := c.Do([]byte(get(true)), false); err != nil {
					t.Fatal(err)
				}
				conns[i] = c
			}
			var failed atomic.Int32
			var wg sync.WaitGroup
			for i, c := range conns {
				wg.Go(func() {
					time.Sleep(time.Duration(i) * 200 * time.Millisecond / time.Duration(connections)) // the moments are the test
					if resp, err := c.Do([]byte(get(true)), false); err != nil || resp.Status != 200 {
						failed.Add(1)
						t.Logf("connection %d: %v", i, err)
					}
				})
			}
			time.Sleep(20 * time.Millisecond)
			s.signal(syscall.SIGHUP)
			s.awaitMsg("Reload complete")
			wg.Wait()
			if n := failed.Load(); n > 0 {
				t.Errorf("%d of %d connections failed", n, connections)
			}
			for _, c := range conns {
				c.Close() // or the server would wait for them
			}
			s.stop()
		})
	}
}

// bindUnix is the line of a configuration that listens on unix sockets.
func bindUnix(paths ...string) string {
	return fmt.Sprintf("bind = [\"unix:%s\"]\n", strings.Join(paths, `", "unix:`))
}

// A changed bind is there before the old one goes, what is in both is never closed, and the old one ends without a loss.
func TestReloadChangesBinds(t *testing.T) {
	dir := t.TempDir()
	a, b, c := filepath.Join(dir, "a"), filepath.Join(dir, "b"), filepath.Join(dir, "c")
	d := newSite(t, "hello", bindUnix(a, b))
	s := d.startRaw("-w", "2", "-k", "threaded", "--threads", "4")
	stop := hammer(s, "unix:"+b, 8, false)
	d.config(bindUnix(b, c))
	s.signal(syscall.SIGHUP)
	s.awaitMsg("Reload complete")
	resp, err := load.Get(t.Context(), "unix:"+c, "/")
	if err != nil || resp.Status != 200 {
		t.Errorf("the new address: %v", err)
	}
	eventually(t, patience, "the old address is gone", func() bool {
		_, err := os.Lstat(a)
		return os.IsNotExist(err)
	})
	lostNothing(t, stop())
	s.stop()
	for _, path := range []string{a, b, c} {
		if _, err := os.Lstat(path); !os.IsNotExist(err) {
			t.Errorf("%s was left behind", path)
		}
	}
}

// New values of settings are taken over, those that need a restart are named and kept.
func TestReloadTakesOverSettings(t *testing.T) {
	d := newSite(t, "hello", "workers = 1\n")
	s := d.start()
	d.config("workers = 3\numask = \"0077\"\nlog_level = \"debug\"\n")
	s.signal(syscall.SIGHUP)
	s.awaitMsg("Reload complete")
	eventually(t, patience, "three workers", func() bool { return len(s.workers()) == 3 })
	if r := s.awaitMsg("Changed settings need a restart, keeping their old values"); r.text("settings") != "[umask]" {
		t.Errorf("%v", r)
	}
	d.guest("cgihello")
	s.signal(syscall.SIGHUP)
	eventually(t, patience, "the second reload", func() bool { return s.reloads() == 2 })
	if body := string(s.mustGet("/", 200).Body); strings.Contains(body, "Hello from WebAssembly!") {
		t.Errorf("the old guest answers: %q", body)
	}
	s.stop()
}

// A server that has changed to another directory finds its file where it was started.
func TestReloadReadsWhereTheServerStarted(t *testing.T) {
	d := newSite(t, "hello", "workers = 1\nchdir = \"/\"\n")
	s := prepare(t, d.path("app.wasm"))
	s.cmd.Dir = d.dir
	path, err := filepath.Abs(s.cmd.Path)
	if err != nil {
		t.Fatal(err)
	}
	s.cmd.Path = path
	s.begin()
	s.awaitReady()
	d.config("workers = 2\nchdir = \"/\"\n")
	s.signal(syscall.SIGHUP)
	s.awaitMsg("Reload complete")
	eventually(t, patience, "two workers", func() bool { return len(s.workers()) == 2 })
	s.stop()
}

// In listen_mode slots, no connection waits for a slot that has no worker.
func TestSlotsWithoutWorkersAreServed(t *testing.T) {
	s := start(t, wasm("hello"), "-w", "4", "--listen-mode", "slots")
	check := func(n int) {
		t.Helper()
		eventually(t, patience, fmt.Sprintf("%d workers", n), func() bool { return len(s.workers()) == n })
		report := load.Run(t.Context(), load.Plan{Addr: s.addr, Clients: 8, Requests: 25, Raw: get(false), Check: load.Status(200)})
		if report.Done != 200 || report.Bad+report.Lost > 0 || report.Quantile(1) > 5*time.Second {
			t.Errorf("with %d workers: %s", n, report)
		}
	}
	check(4)
	for n := 3; n >= 1; n-- {
		s.signal(syscall.SIGTTOU)
		check(n)
	}
	for n := 2; n <= 5; n++ {
		s.signal(syscall.SIGTTIN)
		check(n)
	}
	stop := hammer(s, s.addr, 16, false)
	s.signal(syscall.SIGHUP)
	s.awaitMsg("Reload complete")
	for range 2 {
		s.signal(syscall.SIGTTOU)
	}
	lostNothing(t, stop())
	s.stop()
}
