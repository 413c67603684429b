package metrics

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/appserver-go/appserver/arbiter"
	"github.com/appserver-go/appserver/scoreboard"
)

var update = flag.Bool("update", false, "rewrite golden files")

// figures has something to show in every family.
func figures() *Figures {
	var t scoreboard.Totals
	for c := range t.Counters {
		t.Counters[c] = int64(c) + 100
	}
	t.Duration.Buckets[0], t.Duration.Buckets[len(t.Duration.Buckets)-1], t.Duration.Sum = 3, 2, 90*time.Second
	t.QueueWait.Buckets[1] = 1
	return &Figures{
		Version: "v1 \"quoted\"\\\n\xff",
		Metrics: &arbiter.Metrics{
			Totals: t, Spawned: 7, Reloads: 2, FailedReloads: 1, Exits: map[arbiter.Ending]int64{arbiter.EndedCrash: 3},
			Lost: map[arbiter.Ending]int64{arbiter.EndedTimeout: 4}, Queues: []arbiter.Queue{{Address: "http://[::1]:80", Waiting: 1, Limit: 2048}},
			Status: &arbiter.Status{
				Started: time.Unix(1700000000, 5e8), Generation: 3, Target: 2, Ready: 1, Announced: true,
				Workers: []arbiter.WorkerStatus{
					{State: "ready", Slot: 1, Memory: 10, Threads: 4, Busy: make([]arbiter.RequestStatus, 2)},
					{State: "booted", Slot: 1, Memory: 5},
				},
			},
		},
	}
}

// The parser and the linter of Prometheus' own client library take what render makes, and find what was put in.
func TestTextIsPrometheus(t *testing.T) {
	text := render(figures())
	problems, err := promlint.New(bytes.NewReader(text)).Lint()
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	parsed, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]dto.MetricType{
		"counter": dto.MetricType_COUNTER, "gauge": dto.MetricType_GAUGE, "histogram": dto.MetricType_HISTOGRAM,
	}
	for _, f := range Families() {
		p := parsed[f.Name]
		if p == nil || p.GetType() != kinds[f.Kind] || p.GetHelp() != f.Help || len(p.Metric) == 0 {
			t.Errorf("%s came out as %v", f.Name, p)
			continue
		}
		var labels []string
		for _, l := range p.Metric[0].Label {
			labels = append(labels, l.GetName())
		}
		if got := strings.Join(labels, ", "); got != f.Labels {
			t.Errorf("%s has the labels %q, not %q", f.Name, got, f.Labels)
		}
	}
	if len(parsed) != len(Families()) {
		t.Errorf("%d families, want %d", len(parsed), len(Families()))
	}
	h := parsed[Prefix+"request_duration_seconds"].Metric[0].Histogram
	if h.GetSampleCount() != 5 || h.GetSampleSum() != 90 || h.Bucket[0].GetCumulativeCount() != 3 || h.Bucket[0].GetUpperBound() != 0.0005 {
		t.Errorf("the histogram reads %v", h)
	}
	if v := parsed[Prefix+"build_info"].Metric[0].Label[0].GetValue(); v != "v1 \"quoted\"\\\n\uFFFD" {
		t.Errorf("the version reads %q", v)
	}
	for name, want := range map[string]float64{
		"requests_in_flight": 2, "slots": 4, "worker_resident_memory_bytes": 15, "start_time_seconds": 1700000000.5, "ready": 1, "generation": 3,
	} {
		if got := parsed[Prefix+name].Metric[0].Gauge.GetValue(); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
}

func TestMarkdown(t *testing.T) {
	const path = "../docs/metrics.md"
	want := Markdown()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil || string(got) != want {
		t.Errorf("%s is not up to date (%v): run make generate", path, err)
	}
}

// answering serves on a free port and returns how to ask.
func answering(t *testing.T, o Options) func(path string) (status int, body string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o.Log = slog.New(slog.DiscardHandler)
	s := Serve(l, o)
	t.Cleanup(s.Close)
	return func(path string) (int, string) {
		resp, err := http.Get("http://" + l.Addr().String() + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		if path == "/metrics" && resp.StatusCode == 200 && resp.Header.Get("Content-Type") != ContentType {
			t.Errorf("content type %q", resp.Header.Get("Content-Type"))
		}
		return resp.StatusCode, string(body)
	}
}

func TestProbes(t *testing.T) {
	var st *arbiter.Status
	var failed error
	get := answering(t, Options{
		Status:  func(context.Context) (*arbiter.Status, error) { return st, failed },
		Figures: func(context.Context) (*Figures, error) { return figures(), failed },
	})
	serving := arbiter.Status{Target: 2, Ready: 1, Announced: true}
	for _, c := range []struct {
		change      func(*arbiter.Status)
		err         error
		live, ready int
		says        string
	}{
		{change: func(*arbiter.Status) {}, live: 200, ready: 200, says: "ok"},
		{change: func(s *arbiter.Status) { s.Reloading = "canary" }, live: 200, ready: 200, says: "ok"},
		{change: func(s *arbiter.Status) { s.Announced = false }, live: 200, ready: 503, says: "booting"},
		{change: func(s *arbiter.Status) { s.Ready = 0 }, live: 200, ready: 503, says: "no worker"},
		{change: func(s *arbiter.Status) { s.Target = 0 }, live: 200, ready: 503, says: "drained"},
		{change: func(s *arbiter.Status) { s.Halting = true }, live: 200, ready: 503, says: "shutting down"},
		{change: func(*arbiter.Status) {}, err: errors.New("it hangs"), live: 503, ready: 503, says: "it hangs"},
	} {
		now := serving
		c.change(&now)
		st, failed = &now, c.err
		if status, _ := get("/livez"); status != c.live {
			t.Errorf("%+v: /livez says %d", now, status)
		}
		if status, body := get("/readyz"); status != c.ready || !strings.Contains(body, c.says) {
			t.Errorf("%+v: /readyz says %d %q", now, status, body)
		}
		want := 200
		if c.err != nil {
			want = 503
		}
		if status, _ := get("/metrics"); status != want {
			t.Errorf("%+v: /metrics says %d", now, status)
		}
	}
	if status, _ := get("/other"); status != 404 {
		t.Errorf("/other says %d", status)
	}
}
