package main

import (
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/appserver-go/appserver/internal/load"
)

// statsdServer counts what it gets: lines by what stands before their value, and of counters the sum.
type statsdServer struct {
	mu     sync.Mutex
	counts map[string]int
	last   map[string]string
}

func startStatsd(t *testing.T) (*statsdServer, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "statsd")
	pc, err := net.ListenPacket("unixgram", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pc.Close() })
	s := &statsdServer{counts: map[string]int{}, last: map[string]string{}}
	go func() { // ends with pc
		buf := make([]byte, 64<<10)
		for {
			n, _, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			s.mu.Lock()
			for line := range strings.SplitSeq(string(buf[:n]), "\n") {
				name, rest, _ := strings.Cut(line, ":")
				value, _, _ := strings.Cut(rest, "|")
				s.counts[name]++
				s.last[name] = value
				if strings.Contains(rest, "|c") && !strings.HasSuffix(rest, "|c|@1.0|#env:test") {
					s.last["wrong"] = line
				}
			}
			s.mu.Unlock()
		}
	}()
	return s, "unix://" + path
}

func (s *statsdServer) count(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts[name]
}

func (s *statsdServer) value(name string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last[name]
}

// Statsd gets a line for everything that a client has done, also of workers that are recycled, and of a request whose
// worker was killed.
func TestStatsdAddsUp(t *testing.T) {
	server, host := startStatsd(t)
	s := start(t, wasm("hostile"), "--workers", "2", "--max-requests", "10", "--statsd-host", host, "--statsd-prefix", "web",
		"--dogstatsd-tags", "env:test", "--enable-backlog-metric")
	for range 35 {
		s.mustGet("/", 200)
	}
	s.mustGet("/trap", 500)
	eventually(t, patience, "all requests are told", func() bool {
		return server.count("web.gunicorn.requests") == 36 && server.count("web.gunicorn.request.status.200") == 35 &&
			server.count("web.gunicorn.request.status.500") == 1 && server.count("web.gunicorn.request.duration") == 36
	})
	eventually(t, patience, "gauges and errors are told", func() bool {
		return server.value("web.gunicorn.workers") == "2" && server.value("web.gunicorn.backlog") == "0" &&
			server.count("web.gunicorn.log.error") >= 1
	})
	conn, err := load.Dial(t.Context(), s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.Send([]byte("GET /sleep HTTP/1.1\r\nHost: h\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	s.awaitBusy(1)
	for _, pid := range s.workers() {
		syscall.Kill(pid, syscall.SIGKILL)
	}
	eventually(t, patience, "the lost request is told", func() bool { return server.count("web.gunicorn.requests") == 37 })
	if wrong := server.value("wrong"); wrong != "" {
		t.Errorf("the line %q is not gunicorn's", wrong)
	}
	if ms, err := strconv.ParseFloat(server.value("web.gunicorn.request.duration"), 64); err != nil || ms <= 0 {
		t.Errorf("a duration of %v ms, %v", ms, err)
	}
	s.stop()
}

// A request's id comes from a trusted proxy or is made, and is the same for the guest, the client and the logs; so is the
// trace it belongs to.
func TestRequestIDAndTraceGoThrough(t *testing.T) {
	const trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	ask := func(s *appserver, fields string) *load.Response {
		t.Helper()
		resp, err := load.Do(t.Context(), s.addr, "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n"+fields+"\r\n")
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	s := start(t, wasm("cgienv"), "--request-id-header", "X-Trace", "--access-log", "-", "--access-log-format", "json", "--workers", "1")
	resp := ask(s, "X-Trace: proxy-1/a=\r\ntraceparent: "+trace+"\r\ntracestate: a=b\r\n")
	if resp.Get("x-trace") != "proxy-1/a=" {
		t.Errorf("the response has the id %q", resp.Get("x-trace"))
	}
	for _, want := range []string{"HTTP_X_TRACE=proxy-1/a=", "HTTP_TRACEPARENT=" + trace, "HTTP_TRACESTATE=a=b"} {
		if !strings.Contains(string(resp.Body), want) {
			t.Errorf("the guest does not see %s:\n%s", want, resp.Body)
		}
	}
	eventually(t, patience, "the access log has both", func() bool {
		return strings.Contains(s.out.String(), `"request_id":"proxy-1/a=","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736"`)
	})
	resp = ask(s, "X-Trace: no\"good\r\ntraceparent: nonsense\r\ntracestate: a=b\r\n")
	id := resp.Get("x-trace")
	if id == "" || strings.Contains(id, `"`) || !strings.Contains(string(resp.Body), "HTTP_X_TRACE="+id) || strings.Contains(string(resp.Body), "TRACE=nonsense") ||
		strings.Contains(string(resp.Body), "HTTP_TRACESTATE") {
		t.Errorf("id %q; the guest sees\n%s", id, resp.Body)
	}
	s.stop()
	s = start(t, wasm("cgienv"), "--forwarded-allow-ips", "192.0.2.1", "--workers", "1")
	resp = ask(s, "X-Request-Id: stranger\r\n")
	if id := resp.Get("x-request-id"); id == "" || id == "stranger" || strings.Contains(string(resp.Body), "stranger") {
		t.Errorf("the id of a stranger became %q; the guest sees\n%s", id, resp.Body)
	}
	s.stop()
}
