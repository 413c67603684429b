package main

import (
	"bytes"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/appserver-go/appserver/internal/load"
)

// startMonitored starts a server with a metrics listener and returns its address, too.
func startMonitored(t *testing.T, args ...string) (s *appserver, monitor string) {
	t.Helper()
	s = start(t, append(args, "--metrics-bind", "127.0.0.1:0")...)
	return s, strings.TrimPrefix(s.awaitMsg("Metrics").text("address"), "http://")
}

// figures is one scrape: families by name without the prefix.
type figures map[string]*dto.MetricFamily

// scrape asks for /metrics and wants what Prometheus takes.
func scrape(t *testing.T, monitor string) figures {
	t.Helper()
	resp, err := load.Get(t.Context(), monitor, "/metrics")
	if err != nil || resp.Status != 200 {
		t.Fatalf("scrape: %v, %+v", err, resp)
	}
	if problems, err := promlint.New(bytes.NewReader(resp.Body)).Lint(); err != nil || len(problems) > 0 {
		t.Fatalf("scrape: %v, %v\n%s", err, problems, resp.Body)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(resp.Body))
	if err != nil {
		t.Fatal(err)
	}
	f := figures{}
	for name, family := range families {
		f[strings.TrimPrefix(name, "appserver_")] = family
	}
	return f
}

// of returns the value of a family, or of its metric with a label of that value; a histogram's is how much it has counted.
func (f figures) of(name string, label ...string) int {
	for _, m := range f[name].GetMetric() {
		if len(label) > 0 && m.Label[0].GetValue() != label[0] {
			continue
		}
		return int(m.GetCounter().GetValue()+m.GetGauge().GetValue()) + int(m.GetHistogram().GetSampleCount())
	}
	return -1
}

// total adds up a family.
func (f figures) total(name string) int {
	n := 0
	for _, m := range f[name].GetMetric() {
		n += int(m.GetCounter().GetValue() + m.GetGauge().GetValue())
	}
	return n
}

// sent is what a client knows it has done.
type sent struct {
	ok, failed, rejected, connections, in, out int
}

// settle waits until the figures are what the client has done; no more, no less.
func (c *sent) settle(t *testing.T, when, monitor string) figures {
	t.Helper()
	var f figures
	var got sent
	eventually(t, patience, when+": the figures add up", func() bool {
		f = scrape(t, monitor)
		got = sent{
			ok: f.of("requests_total", "2xx"), failed: f.of("requests_total", "5xx"), rejected: f.of("requests_total", "4xx"),
			connections: f.of("connections_accepted_total"), in: f.of("request_body_bytes_total"), out: f.of("response_body_bytes_total"),
		}
		if got.ok > c.ok || got.connections > c.connections || got.out > c.out {
			t.Fatalf("%s: counted %+v, sent %+v", when, got, *c)
		}
		return got == *c && f.of("connections_open") == 0
	})
	if n := f.of("request_duration_seconds"); n != c.ok+c.failed || f.of("requests_rejected_total") != c.rejected {
		t.Errorf("%s: %d durations, %d rejected: sent %+v", when, n, f.of("requests_rejected_total"), *c)
	}
	if f.of("requests_in_flight") != 0 || f.of("requests_queued") != 0 || f.total("requests_lost_total") != 0 {
		t.Errorf("%s: %d in flight, %d queued, %d lost", when, f.of("requests_in_flight"), f.of("requests_queued"), f.total("requests_lost_total"))
	}
	return f
}

// do sends a request on a connection of its own.
func (c *sent) do(t *testing.T, s *appserver, raw string) {
	t.Helper()
	resp, err := load.Do(t.Context(), s.addr, raw)
	if err != nil {
		t.Fatalf("%q: %v\n%s", raw, err, s.log())
	}
	c.connections++
	c.out += len(resp.Body)
	switch resp.Status / 100 {
	case 2:
		c.ok++
	case 4:
		c.rejected++
		c.out -= len(resp.Body) // the front end's own pages are not of the worker's making
	case 5:
		c.failed++
	}
}

const plainGet = "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"

// A client that knows exactly what it has done compares: workers are recycled, replaced by a reload, and killed, and not
// one request, connection or byte is missing or counted twice.
func TestMetricsAddUp(t *testing.T) {
	s, monitor := startMonitored(t, wasm("echo"), "--workers", "2", "--max-requests", "10", "--worker-class", "threaded", "--threads", "2")
	var c sent
	for i := range 60 {
		c.do(t, s, fmt.Sprintf("POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", i, strings.Repeat("x", i)))
		c.in += i
	}
	for range 3 {
		c.do(t, s, "GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n")
	}
	c.settle(t, "recycled", monitor)
	var f figures
	eventually(t, patience, "instances are counted", func() bool {
		f = scrape(t, monitor)
		n := f.of("guest_instances_started_total")
		return n >= 2 && n-f.of("guest_instances_discarded_total") == f.of("guest_instances") && f.of("guest_resets_total") > 50
	})
	eventually(t, patience, "workers are recycled", func() bool { return scrape(t, monitor).of("worker_exits_total", "max_requests") >= 1 })
	s.signal(syscall.SIGHUP)
	s.awaitMsg("Reload complete")
	for range 5 {
		c.do(t, s, plainGet)
	}
	f = c.settle(t, "reloaded", monitor)
	if f.of("generation") != 2 || f.of("reloads_total", "ok") != 1 || f.of("reloads_total", "failed") != 0 {
		t.Errorf("generation %d after %d reloads", f.of("generation"), f.of("reloads_total", "ok"))
	}
	for _, pid := range s.workers() {
		syscall.Kill(pid, syscall.SIGKILL)
	}
	eventually(t, patience, "dead workers are counted", func() bool {
		f = scrape(t, monitor)
		return f.of("worker_exits_total", "killed") >= 1 && f.of("workers", "ready") == 2
	})
	for range 5 {
		c.do(t, s, plainGet)
	}
	f = c.settle(t, "killed", monitor)
	if started, gone := f.of("workers_started_total"), f.total("worker_exits_total"); started-gone != f.total("workers") {
		t.Errorf("%d workers were started and %d have ended, but there are %d", started, gone, f.total("workers"))
	}
	s.stop()
	if conn, err := net.Dial("tcp", monitor); err == nil {
		conn.Close()
		t.Error("the metrics listener outlives the server")
	}
}

// What goes wrong in guests is counted by its reason, and a request whose worker is killed is counted as lost.
func TestMetricsOfFailures(t *testing.T) {
	s, monitor := startMonitored(t, wasm("hostile"), "--workers", "1", "--timeout", "1", "--worker-class", "threaded", "--threads", "2")
	s.mustGet("/trap", 500)
	s.mustGet("/exit", 500)
	s.mustGet("/spin", 504)
	s.mustGet("/headers", 502)
	s.mustGet("/tablegrow", 200)
	var f figures
	defer func() {
		if t.Failed() {
			t.Log(f["request_failures_total"], f["requests_total"])
		}
	}()
	eventually(t, patience, "failures are counted", func() bool {
		f = scrape(t, monitor)
		for _, reason := range []string{"trap", "exit", "timeout", "response"} {
			if f.of("request_failures_total", reason) != 1 {
				return false
			}
		}
		return f.of("requests_total", "5xx") == 4
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
	if n := scrape(t, monitor).of("requests_in_flight"); n != 1 {
		t.Errorf("%d requests in flight, want 1", n)
	}
	for _, pid := range s.workers() {
		syscall.Kill(pid, syscall.SIGKILL)
	}
	eventually(t, patience, "the lost request is counted", func() bool { return scrape(t, monitor).of("requests_lost_total", "killed") == 1 })
	s.stop()
}

// The listen queue fills while no worker accepts, and probes say that nobody serves.
func TestProbesAndListenQueue(t *testing.T) {
	s, monitor := startMonitored(t, wasm("hello"), "--workers", "1", "--backlog", "16")
	probe := func(path string) int {
		resp, err := load.Get(t.Context(), monitor, path)
		if err != nil {
			t.Fatal(err)
		}
		return resp.Status
	}
	if probe("/livez") != 200 || probe("/readyz") != 200 || probe("/nothing") != 404 {
		t.Error("a server that serves does not say so")
	}
	s.signal(syscall.SIGWINCH)
	eventually(t, patience, "a drained server is not ready", func() bool { return probe("/readyz") == 503 && len(s.workers()) == 0 })
	for range 3 {
		conn, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	f := scrape(t, monitor)
	if f.of("listen_queue") != 3 || f.of("listen_queue_limit") != 16 || f.of("ready") != 0 || probe("/livez") != 200 {
		t.Errorf("%d of %d connections wait, ready %d", f.of("listen_queue"), f.of("listen_queue_limit"), f.of("ready"))
	}
	s.signal(syscall.SIGTTIN)
	eventually(t, patience, "the server is ready again", func() bool { return probe("/readyz") == 200 })
	s.stop()
}

// The address is checked before anything starts, and one that is taken is told by its setting.
func TestMetricsAddressErrors(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for bind, want := range map[string]string{
		"nonsense:x": "metrics_bind", "unix:/nowhere/at/all.sock": "metrics_bind: ",
	} {
		out, err := command("serve", wasm("hello"), "--bind", "127.0.0.1:0", "--metrics-bind", bind).CombinedOutput()
		if err == nil || !strings.Contains(string(out), want) {
			t.Errorf("%s: %v\n%s", bind, err, out)
		}
	}
}

// During an upgrade the old arbiter answers on the metrics address until it is gone; then the new one does.
func TestMetricsFollowAnUpgrade(t *testing.T) {
	monitor := "unix:" + filepath.Join(t.TempDir(), "metrics.sock")
	s := start(t, wasm("hello"), "--workers", "1", "--metrics-bind", monitor)
	s.mustGet("/", 200)
	eventually(t, patience, "the old arbiter counts", func() bool { return scrape(t, monitor).of("requests_total", "2xx") == 1 })
	pid := s.startSuccessor()
	if scrape(t, monitor).of("requests_total", "2xx") != 1 {
		t.Error("the new arbiter answers although the old one is there")
	}
	s.signal(syscall.SIGTERM)
	s.succeeded(pid)
	eventually(t, patience, "the new arbiter answers", func() bool {
		resp, err := load.Get(t.Context(), monitor, "/readyz")
		return err == nil && resp.Status == 200
	})
	if n := scrape(t, monitor).of("requests_total", "2xx"); n != 0 {
		t.Errorf("the new arbiter has counted %d requests", n)
	}
	s.stop()
}
