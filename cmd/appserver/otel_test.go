package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/appserver-go/appserver/internal/load"
	"github.com/appserver-go/appserver/internal/otlp/otlptest"
)

// traceOf asks with a traceparent and returns the one that the guest, which shows its environment, has got.
func traceOf(t *testing.T, s *appserver, field string) string {
	t.Helper()
	if field != "" {
		field = "traceparent: " + field + "\r\ntracestate: a=b\r\n"
	}
	resp, err := load.Do(t.Context(), s.addr, "GET /x?y=1 HTTP/1.1\r\nHost: h:81\r\nUser-Agent: t\r\nConnection: close\r\n"+field+"\r\n")
	if err != nil || resp.Status != 200 {
		t.Fatal(resp, err)
	}
	_, rest, _ := strings.Cut(string(resp.Body), "HTTP_TRACEPARENT=")
	value, _, _ := strings.Cut(rest, "\n")
	return value
}

// Every request has a span by the time its worker has drained: those of traces that came in are their children, and parents
// of what the guest asks.
func TestSpansOfRequests(t *testing.T) {
	const trace, parent = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	c := otlptest.Start(t)
	s := start(t, wasm("cgienv"), "--workers", "2", "--otel-endpoint", c.URL, "--otel-service-name", "shop", "--access-log", "-", "--access-log-format", "json")
	child := traceOf(t, s, "00-"+trace+"-"+parent+"-01")
	root := traceOf(t, s, "")
	if unrecorded := "00-" + trace + "-" + parent + "-00"; traceOf(t, s, unrecorded) != unrecorded {
		t.Error("a trace that is not recorded is changed")
	}
	s.stop()
	spans := c.Spans()
	if len(spans) != 2 {
		t.Fatalf("%d spans, want 2: %+v", len(spans), spans)
	}
	for _, got := range spans {
		told := "00-" + got.TraceID + "-" + got.SpanID + "-01"
		switch got.ParentSpanID {
		case parent:
			if got.TraceID != trace || told != child || got.TraceState != "a=b" {
				t.Errorf("the guest was told %q of the span %+v", child, got)
			}
		case "":
			if told != root || got.TraceState != "" {
				t.Errorf("the guest was told %q of the span %+v", root, got)
			}
		default:
			t.Errorf("a strange parent: %+v", got)
		}
		if got.Service != "shop" || got.Name != "GET" || got.Attr("url.path") != "/x" || got.Attr("url.query") != "y=1" ||
			got.Attr("http.response.status_code") != "200" || got.Attr("server.port") != "81" || got.Attr("client.address") != "127.0.0.1" {
			t.Errorf("%+v", got)
		}
		if !strings.Contains(s.out.String(), `"request_id":"`+got.Attr("appserver.request_id")+`","trace_id":"`+got.TraceID) {
			t.Error("the access log does not know the trace")
		}
	}
}

// Files have spans, too, and what the front end refuses has none. HTTP/2 is no different.
func TestSpansWithoutAGuest(t *testing.T) {
	c := otlptest.Start(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "f"), []byte("file"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, wasm("hello"), "--workers", "1", "--otel-endpoint", c.URL, "--static", "/files="+dir, "--http2-cleartext", "prior-knowledge")
	s.mustGet("/files/f", 200)
	s.mustGet("/files/none", 404)
	if resp, err := load.Do(t.Context(), s.addr, "GET / HTTP/1.1\r\n\r\n"); err != nil || resp.Status != 400 {
		t.Errorf("%+v, %v", resp, err)
	}
	if _, err := fetch(h2Client(t, nil), "http://"+s.addr+"/two"); err != nil {
		t.Error(err)
	}
	s.stop()
	want := map[string]string{"/files/f": "200 1.1", "/files/none": "404 1.1", "/two": "200 2"}
	for _, got := range c.Spans() {
		path := got.Attr("url.path")
		if text := got.Attr("http.response.status_code") + " " + got.Attr("network.protocol.version"); text != want[path] || got.Status.Code != 0 {
			t.Errorf("%s: %s: %+v", path, text, got)
		}
		delete(want, path)
	}
	if len(want) > 0 {
		t.Errorf("no spans for %v", want)
	}
}

// A guest's failure is one of its span, and spans reach a collector while the worker lives. The collector is named by
// OpenTelemetry's own variables.
func TestSpansOfFailures(t *testing.T) {
	c := otlptest.Start(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", c.URL)
	t.Setenv("OTEL_SERVICE_NAME", "by-variable")
	s := start(t, wasm("hostile"), "--workers", "1")
	s.mustGet("/trap", 500)
	s.mustGet("/", 200)
	eventually(t, patience, "both spans", func() bool { return len(c.Spans()) == 2 })
	for _, got := range c.Spans() {
		trapped := got.Attr("url.path") == "/trap"
		if (got.Status.Code == 2) != trapped || (got.Attr("error.type") == "trap") != trapped || got.Service != "by-variable" {
			t.Errorf("%+v", got)
		}
	}
	s.stop()
}

// A collector that is away costs spans, which are counted, and no requests.
func TestSpansWithoutACollector(t *testing.T) {
	c := otlptest.Start(t)
	c.Status.Store(400)
	s, monitor := startMonitored(t, wasm("hello"), "--workers", "1", "--otel-endpoint", c.URL)
	for range 5 {
		s.mustGet("/", 200)
	}
	eventually(t, patience, "the drops are counted", func() bool { return scrape(t, monitor).of("spans_dropped_total") == 5 })
	s.awaitMsg("The collector of spans does not take them")
	s.stop()
}
