package main

import (
	"crypto/tls"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/appserver-go/appserver/internal/link/linktest"
	"github.com/appserver-go/appserver/internal/load"
)

// keyDir is a directory with the certificate and the key of a server.
type keyDir struct {
	t   *testing.T
	ca  *linktest.Authority
	dir string
}

func newKeyDir(t *testing.T) *keyDir {
	t.Helper()
	k := &keyDir{t: t, ca: linktest.NewAuthority(t), dir: t.TempDir()}
	k.write(k.ca.Issue(t, "one.test"), "cert", "key")
	return k
}

func (k *keyDir) path(name string) string { return filepath.Join(k.dir, name+".pem") }

// write puts files of a pair in place, one after the other in the order given.
func (k *keyDir) write(p linktest.Pair, names ...string) {
	k.t.Helper()
	for _, name := range names {
		k.put(name, map[string]string{"cert": p.Cert, "key": p.Key}[name])
	}
}

func (k *keyDir) put(name, text string) {
	k.t.Helper()
	if err := os.WriteFile(k.path(name), []byte(text), 0o600); err != nil {
		k.t.Fatal(err)
	}
}

// start serves a guest with the pair.
func (k *keyDir) start(guest string, args ...string) *appserver {
	k.t.Helper()
	return start(k.t, append([]string{wasm(guest), "--certfile", k.path("cert"), "--keyfile", k.path("key")}, args...)...)
}

// dial connects with a handshake.
func (k *keyDir) dial(s *appserver, config *tls.Config) (*load.Conn, error) {
	return load.DialTLS(k.t.Context(), s.addr, config)
}

// state returns what a handshake has agreed on.
func state(c *load.Conn) tls.ConnectionState { return c.Conn.(*tls.Conn).ConnectionState() }

// name returns for whom the server's certificate is, as a new connection sees it.
func (k *keyDir) name(s *appserver) string {
	k.t.Helper()
	c, err := k.dial(s, k.ca.Client())
	if err != nil {
		k.t.Fatalf("%v\n%s", err, s.log())
	}
	defer c.Close()
	return state(c).PeerCertificates[0].DNSNames[0]
}

// hammer is hammer over TLS.
func (k *keyDir) hammer(s *appserver, clients int, keepAlive bool) (stop func() *load.Report) {
	return hammerPlan(s, load.Plan{
		Addr: s.addr, TLS: k.ca.Client(), Clients: clients, KeepAlive: keepAlive, Raw: get(keepAlive), Check: load.Status(200),
	})
}

func TestServesTLS(t *testing.T) {
	k := newKeyDir(t)
	s := k.start("cgienv", "-w", "1", "--tls-min-version", "1.3")
	if r := s.awaitMsg("Listening"); !strings.Contains(r.text("addresses"), "https://") {
		t.Errorf("%v", r)
	}
	if r := s.awaitMsg("Certificate"); !strings.Contains(r.text("names"), "one.test") || r.text("expires") == "" {
		t.Errorf("%v", r)
	}
	c, err := k.dial(s, k.ca.Client("http/1.1"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r, err := c.Do([]byte(get(false)), false)
	if err != nil || r.Status != 200 || !strings.Contains(string(r.Body), "HTTPS=on") || state(c).NegotiatedProtocol != "http/1.1" {
		t.Errorf("%+v %v", r, err)
	}
	old := k.ca.Client()
	old.MaxVersion = tls.VersionTLS12
	if c, err := k.dial(s, old); err == nil {
		t.Errorf("version %x is spoken", state(c).Version)
	}
	if r := s.mustGet("/", 400); !strings.Contains(string(r.Body), "https") {
		t.Errorf("plain HTTP gets %q", r.Body)
	}
	s.stop()
}

// The key is the arbiter's to read. Workers have other rights and get it from there.
func TestWorkersNeedNoRightToTheKey(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can run workers as somebody else")
	}
	if _, err := user.Lookup("nobody"); err != nil {
		t.Skip("there is no user nobody")
	}
	k := newKeyDir(t)
	s := k.start("hello", "-w", "1", "--user", "nobody")
	if name := k.name(s); name != "one.test" {
		t.Errorf("%s", name)
	}
	for _, pid := range s.workers() {
		if uid, err := statusValue(pid, "Uid"); err != nil || uid == 0 {
			t.Errorf("worker %d runs as %d, %v", pid, uid, err)
		}
	}
	s.stop()
}

// A certificate and its key are replaced one after the other, in both orders, under load. No handshake fails, nothing is
// reloaded, what is in between is told once.
func TestCertificateSwapUnderLoad(t *testing.T) {
	k := newKeyDir(t)
	s := k.start("hello", "-w", "2", "-k", "threaded", "--threads", "4")
	stop := k.hammer(s, 8, false)
	const trouble = "The changed certificate is no good, the old one stays"
	for i, order := range [][]string{{"cert", "key"}, {"key", "cert"}} {
		name := fmt.Sprintf("swap%d.test", i)
		before, pair := k.name(s), k.ca.Issue(t, name)
		k.write(pair, order[0])
		eventually(t, patience, "the mismatch to be seen", func() bool { return s.count(trouble) == i+1 })
		if got := k.name(s); got != before {
			t.Errorf("half of a pair makes the server %s", got)
		}
		k.write(pair, order[1])
		eventually(t, patience, "the new certificate", func() bool { return k.name(s) == name })
	}
	lostNothing(t, stop())
	if n := s.count(trouble); n != 2 || s.reloads() != 0 {
		t.Errorf("%d records about mismatches, %d reloads", n, s.reloads())
	}
	// Workers that are started later have the new one, too.
	for _, pid := range s.workers() {
		syscall.Kill(pid, syscall.SIGKILL)
	}
	eventually(t, patience, "new workers", func() bool {
		c, err := k.dial(s, k.ca.Client())
		if err != nil {
			return false
		}
		defer c.Close()
		return state(c).PeerCertificates[0].DNSNames[0] == "swap1.test"
	})
	s.stop()
}

// A reload with a pair that does not belong together leaves everything as it is, and says why.
func TestReloadWithAWrongPair(t *testing.T) {
	k := newKeyDir(t)
	s := k.start("hello", "-w", "2")
	stop := k.hammer(s, 4, true)
	good := k.ca.Issue(t, "two.test")
	k.write(good, "cert")
	s.signal(syscall.SIGHUP)
	r := s.awaitMsg("Reload failed, the old generation serves on")
	if text := r.text("reason"); !strings.Contains(text, "keyfile") || !strings.Contains(text, "match") {
		t.Errorf("%v", r)
	}
	if name := k.name(s); name != "one.test" {
		t.Errorf("%s", name)
	}
	k.write(good, "key")
	s.signal(syscall.SIGHUP)
	s.awaitMsg("Reload complete")
	if name := k.name(s); name != "two.test" {
		t.Errorf("after the reload the server is %s", name)
	}
	lostNothing(t, stop())
	if strings.Contains(s.log(), "PRIVATE KEY") {
		t.Error("a key is in the log")
	}
	s.stop()
}

// A reload can turn TLS on; the socket stays and is called by what is spoken on it now.
func TestReloadTurnsTLSOn(t *testing.T) {
	k := newKeyDir(t)
	file := filepath.Join(t.TempDir(), "appserver.toml")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("")
	s, monitor := startMonitored(t, wasm("hello"), "-w", "1", "-c", file)
	address := func() string { return scrape(t, monitor)["listen_queue"].GetMetric()[0].Label[0].GetValue() }
	if a := address(); a != "http://"+s.addr {
		t.Errorf("the address is %s", a)
	}
	write(fmt.Sprintf("certfile = %q\nkeyfile = %q\n", k.path("cert"), k.path("key")))
	s.signal(syscall.SIGHUP)
	s.awaitMsg("Reload complete")
	if name := k.name(s); name != "one.test" {
		t.Errorf("the server is %s", name)
	}
	if a := address(); a != "https://"+s.addr {
		t.Errorf("after the reload the address is %s", a)
	}
	s.stop()
}

func TestClientCertificates(t *testing.T) {
	k := newKeyDir(t)
	k.put("ca", k.ca.PEM)
	known, stranger := k.ca.Issue(t, "client").TLS(t), linktest.NewAuthority(t).Issue(t, "client").TLS(t)
	for reqs, want := range map[string]struct{ none, known, stranger bool }{
		"none":     {true, true, true},
		"optional": {true, true, false},
		"required": {false, true, false},
	} {
		args := []string{"-w", "1", "--cert-reqs", reqs}
		if reqs != "none" {
			args = append(args, "--ca-certs", k.path("ca"))
		}
		s := k.start("hello", args...)
		for name, tt := range map[string]struct {
			cert *tls.Certificate
			ok   bool
		}{"none": {nil, want.none}, "known": {&known, want.known}, "stranger": {&stranger, want.stranger}} {
			config := k.ca.Client()
			if tt.cert != nil {
				config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return tt.cert, nil }
			}
			c, err := k.dial(s, config)
			if err == nil {
				// In TLS 1.3 the client has finished before the server has looked at its certificate.
				_, err = c.Do([]byte(get(false)), false)
				c.Close()
			}
			if (err == nil) != tt.ok {
				t.Errorf("cert_reqs=%s, certificate %s: %v", reqs, name, err)
			}
		}
		s.stop()
	}
}

// Clients that have not finished their handshakes occupy no slot, even of a worker that has one.
func TestSlowHandshakesOccupyNoSlot(t *testing.T) {
	k := newKeyDir(t)
	for class, args := range classArgs {
		t.Run(class, func(t *testing.T) {
			s := k.start("hello", append(args, "-w", "1")...)
			var slow []*load.Conn
			for range 20 {
				c, err := load.Dial(t.Context(), s.addr)
				if err != nil {
					t.Fatal(err)
				}
				slow = append(slow, c)
				if _, err := c.Write([]byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")); err != nil {
					t.Fatal(err)
				}
			}
			r := load.Run(t.Context(), load.Plan{Addr: s.addr, TLS: k.ca.Client(), Clients: 4, Requests: 25, Raw: get(false), Check: load.Status(200)})
			lostNothing(t, r)
			for _, c := range slow {
				c.Close()
			}
			s.stop()
		})
	}
}

// A client resumes its session with any worker, after reloads and changed certificates, too.
func TestSessionsAreResumedByAllWorkers(t *testing.T) {
	k := newKeyDir(t)
	s := k.start("hello", "-w", "4")
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		config := k.ca.Client()
		config.MaxVersion, config.ClientSessionCache = version, tls.NewLRUClientSessionCache(4)
		resumed := func() bool {
			c, err := k.dial(s, config)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if r, err := c.Do([]byte(get(false)), false); err != nil || r.Status != 200 {
				t.Fatalf("%+v %v", r, err)
			}
			return state(c).DidResume
		}
		resumed()
		for range 20 {
			if !resumed() {
				t.Errorf("version %x: a session is not resumed", version)
			}
		}
		before := s.reloads()
		s.signal(syscall.SIGHUP)
		eventually(t, patience, "the reload", func() bool { return s.reloads() > before })
		if !resumed() {
			t.Errorf("version %x: a session is not resumed after a reload", version)
		}
	}
	s.stop()
}

// What is wrong with TLS is found out before anything is served.
func TestCheckLooksAtCertificates(t *testing.T) {
	k := newKeyDir(t)
	args := []string{"check", wasm("hello"), "--certfile", k.path("cert"), "--keyfile", k.path("key")}
	if out, err := command(args...).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	k.write(k.ca.Issue(t, "two.test"), "key")
	for _, verb := range []string{"check", "serve"} {
		args[0] = verb
		out, err := command(args...).CombinedOutput()
		if err == nil || !strings.Contains(string(out), "certfile") || !strings.Contains(string(out), "hint") {
			t.Errorf("%s: %v: %s", verb, err, out)
		}
	}
}
