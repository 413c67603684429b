package otlp

import (
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/appserver-go/appserver/internal/otlp/otlptest"
	"github.com/appserver-go/appserver/internal/texttest"
)

const patience = 20 * time.Second

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func sample() Span {
	return Span{
		Trace: [16]byte{1, 2}, ID: [8]byte{3}, Start: time.Now(), Duration: 1500 * time.Microsecond,
		Method: "POST", Scheme: "https", Host: "example.org:8443", Proto: "HTTP/1.1", Target: "/a%20b?x=1&sig=secret",
		Client: "192.0.2.1:4000", UserAgent: "ua \"\\\x00\xff\u2028é", RequestID: "id-1", Status: 200, BodyIn: 5, BodyOut: 7,
	}
}

// encode makes a message of a span and reads it as a collector does.
func encode(t *testing.T, s Span) otlptest.Span {
	t.Helper()
	body := append(appendSpan(head(`a "service"`, "v1", instanceID(), 17), &s), tail...)
	spans, err := otlptest.Parse(body)
	if err != nil || len(spans) != 1 {
		t.Fatalf("%d spans, %v in %s", len(spans), err, body)
	}
	return spans[0]
}

func TestSpanOfARequest(t *testing.T) {
	s := encode(t, sample())
	for key, want := range map[string]string{
		"http.request.method": "POST", "url.scheme": "https", "url.path": "/a%20b", "url.query": "x=1&sig=REDACTED",
		"server.address": "example.org", "server.port": "8443", "client.address": "192.0.2.1", "client.port": "4000",
		"network.protocol.version": "1.1", "user_agent.original": "ua \"\\\x00\ufffd\u2028é", "http.response.status_code": "200",
		"http.request.body.size": "5", "http.response.body.size": "7", "appserver.request_id": "id-1", "error.type": "",
		"http.request.method_original": "",
	} {
		if got := s.Attr(key); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	if s.Service != `a "service"` || s.Name != "POST" || s.Flags != 0x101 || s.ParentSpanID != "" || s.Status.Code != 0 ||
		s.TraceID != "0102"+strings.Repeat("0", 28) || s.SpanID != "03"+strings.Repeat("0", 14) {
		t.Errorf("%+v", s)
	}
	var start, end int64
	fmt.Sscan(s.Start, &start)
	if fmt.Sscan(s.End, &end); end-start != 1_500_000 {
		t.Errorf("it took %d ns", end-start)
	}
}

func TestSpansOfOddRequests(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*Span)
		want   map[string]string
		check  func(*otlptest.Span) bool
	}{
		{"parent", func(s *Span) { s.Parent, s.State = [8]byte{9}, "a=b" }, nil, func(s *otlptest.Span) bool {
			return s.Flags == 0x301 && s.ParentSpanID == "0900000000000000" && s.TraceState == "a=b"
		}},
		{
			"method", func(s *Span) { s.Method = "BREW" },
			map[string]string{"http.request.method": "_OTHER", "http.request.method_original": "BREW"},
			func(s *otlptest.Span) bool { return s.Name == "HTTP" },
		},
		{
			"failure", func(s *Span) { s.Status, s.Failure, s.Cause = 500, "trap", strings.Repeat("é", 1000) },
			map[string]string{"error.type": "trap", "http.response.status_code": "500"},
			func(s *otlptest.Span) bool {
				return s.Status.Code == 2 && s.Status.Message == strings.Repeat("é", maxCause/2)
			},
		},
		{"cut off", func(s *Span) { s.Failure = "timeout" }, map[string]string{"error.type": "timeout", "http.response.status_code": "200"}, failed},
		{"guest's 503", func(s *Span) { s.Status = 503 }, map[string]string{"error.type": "503"}, failed},
		{"client's fault", func(s *Span) { s.Status = 404 }, map[string]string{"error.type": ""}, fine},
		{"unix socket", func(s *Span) { s.Client, s.Host = "", "" }, map[string]string{"client.address": "", "server.address": ""}, fine},
		{"IPv6", func(s *Span) { s.Client, s.Host = "[2001:db8::1]:0", "[::1]" }, map[string]string{
			"client.address": "2001:db8::1", "client.port": "", "server.address": "::1", "server.port": "",
		}, fine},
		{"HTTP/2", func(s *Span) { s.Proto = "HTTP/2.0" }, map[string]string{"network.protocol.version": "2"}, fine},
		{"no query", func(s *Span) { s.Target = "*" }, map[string]string{"url.path": "*", "url.query": ""}, fine},
		{"signatures", func(s *Span) { s.Target = "/?AWSAccessKeyId=a&b&Signature=c&design=d&X-Goog-Signature=e" }, map[string]string{
			"url.query": "AWSAccessKeyId=REDACTED&b&Signature=REDACTED&design=d&X-Goog-Signature=REDACTED",
		}, fine},
	} {
		s := sample()
		tt.change(&s)
		got := encode(t, s)
		for key, want := range tt.want {
			if got.Attr(key) != want {
				t.Errorf("%s: %s is %q, want %q", tt.name, key, got.Attr(key), want)
			}
		}
		if !tt.check(&got) {
			t.Errorf("%s: %+v", tt.name, got)
		}
	}
}

func fine(s *otlptest.Span) bool   { return s.Status.Code == 0 }
func failed(s *otlptest.Span) bool { return s.Status.Code == 2 }

func FuzzSpan(f *testing.F) {
	f.Add("GET", "/?a", "h:1", "1.2.3.4:5", "ua", "cause")
	f.Fuzz(func(t *testing.T, method, target, host, client, agent, cause string) {
		s := sample()
		s.Method, s.Target, s.Host, s.Client, s.UserAgent, s.Cause, s.Failure = method, target, host, client, agent, cause, "trap"
		encode(t, s)
	})
}

func newExporter(t *testing.T, endpoint string) (*Exporter, *texttest.Buffer) {
	t.Helper()
	l := &texttest.Buffer{}
	e := New(Options{Endpoint: endpoint, Service: "s", Version: "v", Log: slog.New(slog.NewTextHandler(l, nil))})
	t.Cleanup(e.Close)
	return e, l
}

func add(e *Exporter, n int) {
	for range n {
		s := sample()
		e.Add(&s)
	}
}

func TestSpansArriveInBatches(t *testing.T) {
	c := otlptest.Start(t)
	e, _ := newExporter(t, c.URL+"/")
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() { add(e, 500) })
	}
	wg.Wait()
	await(t, "a batch, without the end", func() bool { return len(c.Spans()) > 0 })
	e.Close()
	e.Close()
	if n := len(c.Spans()); n != 2000 || e.Dropped() != 0 {
		t.Errorf("%d spans have arrived, %d dropped", n, e.Dropped())
	}
	if n := c.Posts.Load(); n > 20 {
		t.Errorf("%d messages for 2000 spans", n)
	}
	add(e, 1) // of a request that was cut off: nobody sends it, and it does not block
}

func TestCollectorThatRefuses(t *testing.T) {
	c := otlptest.Start(t)
	c.Status.Store(400)
	e, log := newExporter(t, c.URL)
	add(e, 3)
	await(t, "the drop", func() bool { return e.Dropped() == 3 })
	if n := c.Posts.Load(); n != 1 {
		t.Errorf("%d messages: 400 is no reason to try again", n)
	}
	c.Status.Store(503)
	add(e, 2)
	await(t, "a second attempt", func() bool { return c.Posts.Load() >= 2 })
	c.Status.Store(0)
	await(t, "spans after a retry", func() bool { return len(c.Spans()) == 2 })
	if e.Dropped() != 3 {
		t.Errorf("%d dropped", e.Dropped())
	}
	partial := `{"partialSuccess":{"rejectedSpans":"1","errorMessage":"why"}}`
	c.Answer.Store(&partial)
	add(e, 2)
	await(t, "the rejected span", func() bool { return e.Dropped() == 4 })
	e.Close()
	if text := log.String(); strings.Count(text, "level=WARN") != 1 || strings.Count(text, "level=INFO") != 1 || !strings.Contains(text, "answers 400") {
		t.Errorf("the log is\n%s", text)
	}
}

// A collector that is away, or takes a connection and never answers, costs spans and a bounded time at the end.
func TestCollectorThatIsAway(t *testing.T) {
	hangs, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer hangs.Close()
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	for _, l := range []net.Listener{hangs, gone} {
		e, log := newExporter(t, "http://user:secret@"+l.Addr().String())
		start := time.Now()
		add(e, 20_000) // more than fit
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("20000 spans took %v", took)
		}
		if e.Dropped() == 0 {
			t.Error("none was dropped")
		}
		e.Close()
		if e.Dropped() != 20_000 {
			t.Errorf("%d dropped", e.Dropped())
		}
		if strings.Contains(log.String(), "secret") {
			t.Errorf("the log has the password: %s", log)
		}
	}
	var none *Exporter
	none.Close()
	if none.Dropped() != 0 {
		t.Error("no exporter has dropped something")
	}
}

func TestAnswersOfCollectors(t *testing.T) {
	for answer, want := range map[string]uint64{
		"": 0, "{}": 0, "nonsense": 0, `{"partialSuccess":{}}`: 0, `{"partialSuccess":{"rejectedSpans":"7"}}`: 7,
		`{"partialSuccess":{"rejectedSpans":7}}`: 7, `{"partialSuccess":{"rejectedSpans":-1}}`: 0,
	} {
		if got := rejectedSpans([]byte(answer)); got != want {
			t.Errorf("%s rejects %d, want %d", answer, got, want)
		}
	}
	for value, want := range map[string]time.Duration{"": 0, "2": 2 * time.Second, "9999": maxAfter, "Fri, 31 Dec 1999 23:59:59 GMT": 0, "-1": 0} {
		if got := retryAfter(value); got != want {
			t.Errorf("Retry-After: %s is %v, want %v", value, got, want)
		}
	}
}

func BenchmarkAdd(b *testing.B) {
	e := &Exporter{head: head("s", "v", "i", 1), full: make(chan struct{}, 1), log: slog.New(slog.DiscardHandler)}
	b.ReportAllocs()
	s := sample()
	s.Target, s.UserAgent = "/articles/17?page=2", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
	for b.Loop() {
		e.Add(&s)
		if e.waiting.n == 300 { // about a batch
			e.take()
		}
	}
}
