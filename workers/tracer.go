package workers

import (
	"encoding/binary"
	"math/rand/v2"
	"time"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/internal/otlp"
)

// SpanFunc takes the span of an answered request. It is called from many goroutines; spans are lent like access-log records.
type SpanFunc func(*otlp.Span)

// tracer decides which requests have spans: those of traces that are recorded elsewhere, and a part of the others. Its zero
// value traces nothing, and lets valid trace context pass.
type tracer struct {
	export SpanFunc // nil for no spans
	below  uint64   // a trace that begins here is recorded if the number in its id is less
}

// newTracer makes a tracer. ratio, from 0 to 1, is the part of the traces begun here that is recorded.
func newTracer(export SpanFunc, ratio float64) tracer {
	return tracer{export: export, below: uint64(ratio * (1 << 63))}
}

// requestSpan is a request's place in its trace. The zero value has none.
type requestSpan struct {
	traceContext         // its parent, and whether it is recorded; a zero parent means that the trace begins here
	id           [8]byte // its own
}

// begin finds a request's place and tells the guest of it, in the field by which that tells others. Requests that are not
// recorded keep what they came with; if that is nothing, the guest is told that there is nothing to record, or each of
// those it asks would draw lots anew.
func (t *tracer) begin(r *exchange.Request) (s requestSpan) {
	parent, ok := screenTrace(r)
	if t.export == nil || ok && !parent.sampled {
		return requestSpan{}
	}
	s.traceContext = parent
	if !ok {
		s.trace, s.sampled = t.newTrace()
	}
	s.id = newSpanID()
	told := traceContext{trace: s.trace, parent: s.id, sampled: s.sampled}
	r.Fields.Set(traceparent, string(told.appendTo(make([]byte, 0, traceparentLen))))
	return s
}

// newTrace makes the id of a trace and says whether it is recorded, which follows from the id as in OpenTelemetry's
// TraceIdRatioBased sampler.
func (t *tracer) newTrace() (id [16]byte, sampled bool) {
	binary.BigEndian.PutUint64(id[:8], rand.Uint64())
	n := rand.Uint64()
	binary.BigEndian.PutUint64(id[8:], n|1) // zero is no id; the bit takes no part in the decision
	return id, n>>1 < t.below
}

func newSpanID() (id [8]byte) {
	binary.BigEndian.PutUint64(id[:], rand.Uint64()|1)
	return id
}

// end exports the span of a request that was answered with a status. f is why it failed, nil if it did not.
func (t *tracer) end(s *requestSpan, c call, start time.Time, took time.Duration, status int, f *exchange.Failure) {
	if !s.sampled {
		return
	}
	r, resp := &c.X().Request, &c.X().Response
	span := otlp.Span{
		Trace: s.trace, ID: s.id, Parent: s.parent, Start: start, Duration: took,
		Method: r.Method, Scheme: r.Scheme, Host: r.Host, Proto: r.Proto, Target: r.RawTarget(),
		Client: r.RemoteAddr, UserAgent: r.Fields.Get("User-Agent"), RequestID: r.ID,
		Status: status, BodyIn: c.BodyRead(), BodyOut: resp.Sent(),
	}
	if s.parent != [8]byte{} {
		span.State = r.Fields.Get(tracestate)
	}
	if f != nil && f.Status >= 500 { // of the others clients are the cause
		span.Failure, span.Cause = string(f.Reason), f.Error()
	}
	t.export(&span)
}
