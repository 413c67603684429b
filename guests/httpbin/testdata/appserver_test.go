// This file is put beside the tests of go-httpbin, whose servers it makes appservers: one for each configuration, which
// serves until all tests are through.
package httpbin

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
)

// excluded has the lists given to WithExcludeHeaders, which the package forgets.
var excluded sync.Map

func excluding(list string) OptionFunc {
	return func(h *HTTPBin) {
		WithExcludeHeaders(list)(h)
		excluded.Store(h, list)
	}
}

// configuration is what the guest has to be told to be like h.
func configuration(h *HTTPBin) string {
	domains := []string{}
	for d := range h.AllowedRedirectDomains {
		domains = append(domains, d)
	}
	list, _ := excluded.Load(h)
	v := h.version
	b, err := json.Marshal(map[string]any{
		"Prefix": h.prefix, "MaxBodySize": h.MaxBodySize, "MaxDuration": h.MaxDuration, "Defaults": h.DefaultParams,
		"Redirects": domains, "Unsafe": h.unsafeAllowDangerousResponses, "ExcludeHeaders": list, "Hostname": h.hostname,
		"Version": []string{v.Service, v.Version, v.Commit, v.BuildDate, v.GoVersion},
	})
	if err != nil {
		panic(err)
	}
	return string(b)
}

// running is an appserver.
type running struct {
	once sync.Once
	cmd  *exec.Cmd
	addr string
	err  error
}

var (
	mu      sync.Mutex
	servers = map[string]*running{} // by configuration
)

// serveApp stands for httptest.NewServer.
func serveApp(t *testing.T, h *HTTPBin) *httptest.Server {
	t.Helper()
	config := configuration(h)
	mu.Lock()
	r := servers[config]
	if r == nil {
		r = &running{}
		servers[config] = r
	}
	mu.Unlock()
	r.once.Do(func() { r.err = r.start(config) })
	if r.err != nil {
		t.Fatal(r.err)
	}
	return &httptest.Server{URL: "http://" + r.addr, Listener: address(r.addr)}
}

// start starts an appserver, with the arguments in $APPSERVER, one a line, and waits until it is ready.
func (r *running) start(config string) error {
	argv := strings.Split(os.Getenv("APPSERVER"), "\n")
	argv = append(argv, "--guest-config", config, "--guest-env", "GUEST_CONFIG="+config)
	r.cmd = exec.Command(argv[0], argv[1:]...)
	log, err := r.cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := r.cmd.Start(); err != nil {
		return err
	}
	var all strings.Builder
	lines := bufio.NewScanner(log)
	for lines.Scan() {
		var line struct {
			Msg       string
			Addresses []string
		}
		fmt.Fprintln(&all, lines.Text())
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "Ready" {
			r.addr = strings.TrimPrefix(line.Addresses[0], "http://")
			go io.Copy(os.Stderr, log)
			return nil
		}
	}
	return fmt.Errorf("appserver did not start: %w\n%s", r.cmd.Wait(), &all)
}

// stopServers ends all appservers.
func stopServers() {
	for _, r := range servers {
		if r.cmd != nil && r.cmd.Process != nil {
			_ = r.cmd.Process.Signal(os.Interrupt)
		}
	}
	for _, r := range servers {
		if r.cmd != nil && r.cmd.Process != nil {
			_ = r.cmd.Wait()
		}
	}
}

// address is a listener that others listen on.
type address string

func (a address) Accept() (net.Conn, error) { return nil, net.ErrClosed }
func (a address) Close() error              { return nil }
func (a address) Addr() net.Addr            { return a }
func (a address) Network() string           { return "tcp" }
func (a address) String() string            { return string(a) }
