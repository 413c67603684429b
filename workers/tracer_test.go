package workers

import (
	"math"
	"testing"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/internal/otlp"
)

func newTestTracer(ratio float64) *tracer {
	t := newTracer(func(*otlp.Span) {}, ratio)
	return &t
}

func traced(parent string) *exchange.Request {
	r := &exchange.Request{}
	if parent != "" {
		r.Fields.Add("Traceparent", parent)
		r.Fields.Add("tracestate", "a=b")
	}
	return r
}

// The guest's parent is the span of its request, in the trace that came in.
func TestTraceGoesOn(t *testing.T) {
	r := traced(goodTrace)
	s := newTestTracer(0).begin(r) // the ratio is not asked
	told, ok := parseTraceparent(r.Fields.Get(traceparent))
	if !ok || !s.sampled || told.trace != s.trace || told.parent != s.id || !told.sampled || s.id == s.parent {
		t.Errorf("span %x of %+v; the guest gets %q", s.id, s.traceContext, r.Fields.Get(traceparent))
	}
	if want, _ := parseTraceparent(goodTrace); s.traceContext != want {
		t.Errorf("the parent became %+v", s.traceContext)
	}
	if r.Fields.Get(tracestate) != "a=b" {
		t.Error("the state is gone")
	}
}

func TestTraceThatIsNotRecordedGoesOn(t *testing.T) {
	const off = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"
	r := traced(off)
	if s := newTestTracer(1).begin(r); s.sampled || r.Fields.Get(traceparent) != off {
		t.Errorf("%+v; the guest gets %q", s, r.Fields.Get(traceparent))
	}
}

func TestTraceBegins(t *testing.T) {
	for _, parent := range []string{"", "nonsense"} {
		r := traced(parent)
		s := newTestTracer(1).begin(r)
		told, ok := parseTraceparent(r.Fields.Get(traceparent))
		if !ok || !s.sampled || s.parent != [8]byte{} || told.trace != s.trace || told.parent != s.id || r.Fields.Get(tracestate) != "" {
			t.Errorf("%q: span %x of %+v; the guest gets %+v", parent, s.id, s.traceContext, r.Fields)
		}
	}
	r := traced("")
	s := newTestTracer(0).begin(r)
	if told, ok := parseTraceparent(r.Fields.Get(traceparent)); s.sampled || !ok || told.sampled {
		t.Errorf("without luck: %+v; the guest gets %q", s, r.Fields.Get(traceparent))
	}
}

func TestWithoutTracingNothingIsAdded(t *testing.T) {
	r := traced("")
	if s := (&tracer{}).begin(r); s != (requestSpan{}) || len(r.Fields) != 0 {
		t.Errorf("%+v, %v", s, r.Fields)
	}
}

func TestSampleRatio(t *testing.T) {
	const n = 20_000
	for _, ratio := range []float64{0, 0.1, 0.5, 1} {
		got := 0
		tr := newTestTracer(ratio)
		for range n {
			if _, sampled := tr.newTrace(); sampled {
				got++
			}
		}
		if slack := 6 * math.Sqrt(ratio*(1-ratio)/n); math.Abs(float64(got)/n-ratio) > slack {
			t.Errorf("%d of %d are recorded with a ratio of %v", got, n, ratio)
		}
	}
}

func BenchmarkTraceOff(b *testing.B) {
	b.ReportAllocs()
	tr, r := tracer{}, traced("")
	r.Fields.Add("User-Agent", "x")
	for b.Loop() {
		tr.begin(r)
	}
}

func BenchmarkTraceOn(b *testing.B) {
	b.ReportAllocs()
	tr, r := newTestTracer(1), traced("")
	for b.Loop() {
		r.Fields = r.Fields[:0]
		tr.begin(r)
	}
}
