// Package otlptest is a collector of spans that checks what it gets against the protocol. Only tests use it.
package otlptest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// The messages of opentelemetry-proto's trace service, as far as a server's spans need them. Decoding is strict, so a member
// that is not here is a mistake.

// Request is ExportTraceServiceRequest.
type Request struct {
	ResourceSpans []ResourceSpans `json:"resourceSpans"`
}

// ResourceSpans are the spans of a process.
type ResourceSpans struct {
	Resource struct {
		Attributes []Attribute `json:"attributes"`
	} `json:"resource"`
	ScopeSpans []ScopeSpans `json:"scopeSpans"`
	SchemaURL  string       `json:"schemaUrl"`
}

// ScopeSpans are the spans of a library.
type ScopeSpans struct {
	Scope struct {
		Name    string `json:"name"`
		Version string `json:"version"`
	} `json:"scope"`
	Spans     []Span `json:"spans"`
	SchemaURL string `json:"schemaUrl"`
}

// Span is one span. Values are as they are in the JSON; Attr finds attributes.
type Span struct {
	TraceID      string      `json:"traceId"`
	SpanID       string      `json:"spanId"`
	ParentSpanID string      `json:"parentSpanId"`
	TraceState   string      `json:"traceState"`
	Flags        uint32      `json:"flags"`
	Name         string      `json:"name"`
	Kind         int         `json:"kind"`
	Start        string      `json:"startTimeUnixNano"`
	End          string      `json:"endTimeUnixNano"`
	Attributes   []Attribute `json:"attributes"`
	Status       struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	} `json:"status"`

	// Service is service.name of the resource.
	Service string `json:"-"`
}

// Attribute is KeyValue with the kinds of values that are used.
type Attribute struct {
	Key   string `json:"key"`
	Value struct {
		String *string `json:"stringValue"`
		Int    *string `json:"intValue"`
	} `json:"value"`
}

func (a Attribute) text() string {
	if a.Value.Int != nil {
		return *a.Value.Int
	}
	return *a.Value.String
}

// Attr returns the value of an attribute, "" for none.
func (s *Span) Attr(key string) string { return find(s.Attributes, key) }

func find(attributes []Attribute, key string) string {
	for _, a := range attributes {
		if a.Key == key {
			return a.text()
		}
	}
	return ""
}

var (
	traceID = regexp.MustCompile(`^[0-9a-f]{32}$`)
	spanID  = regexp.MustCompile(`^[0-9a-f]{16}$`)
)

// check checks what decoding cannot.
func (s *Span) check() error {
	start, startErr := strconv.ParseUint(s.Start, 10, 64)
	end, endErr := strconv.ParseUint(s.End, 10, 64)
	now := uint64(time.Now().UnixNano())
	const hour = uint64(time.Hour)
	switch {
	case !traceID.MatchString(s.TraceID) || !spanID.MatchString(s.SpanID) || s.ParentSpanID != "" && !spanID.MatchString(s.ParentSpanID):
		return fmt.Errorf("ids %q, %q, %q", s.TraceID, s.SpanID, s.ParentSpanID)
	case errors.Join(startErr, endErr) != nil || start > end || end > now+hour || start+hour < now:
		return fmt.Errorf("times %q to %q", s.Start, s.End)
	case s.Kind != 2 || s.Name == "" || s.Flags&1 == 0:
		return fmt.Errorf("kind %d, name %q, flags %x", s.Kind, s.Name, s.Flags)
	case (s.Flags&0x200 != 0) != (s.ParentSpanID != ""):
		return fmt.Errorf("flags %x with the parent %q", s.Flags, s.ParentSpanID)
	}
	return checkAttributes(s.Attributes)
}

func checkAttributes(attributes []Attribute) error {
	seen := map[string]bool{}
	for _, a := range attributes {
		if a.Key == "" || seen[a.Key] || (a.Value.String == nil) == (a.Value.Int == nil) {
			return fmt.Errorf("attribute %q", a.Key)
		}
		if a.Value.Int != nil {
			if _, err := strconv.ParseInt(*a.Value.Int, 10, 64); err != nil {
				return fmt.Errorf("attribute %q: %w", a.Key, err)
			}
		}
		seen[a.Key] = true
	}
	return nil
}

// Parse decodes and checks the body of a message.
func Parse(body []byte) ([]Span, error) {
	var r Request
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the message")
	}
	var spans []Span
	for _, rs := range r.ResourceSpans {
		if err := checkAttributes(rs.Resource.Attributes); err != nil {
			return nil, fmt.Errorf("resource: %w", err)
		}
		for _, ss := range rs.ScopeSpans {
			if ss.Scope.Name == "" || ss.SchemaURL == "" {
				return nil, errors.New("a scope without a name or a schema")
			}
			for _, s := range ss.Spans {
				if err := s.check(); err != nil {
					return nil, err
				}
				s.Service = find(rs.Resource.Attributes, "service.name")
				spans = append(spans, s)
			}
		}
	}
	return spans, nil
}

// Collector takes spans.
type Collector struct {
	*httptest.Server

	// Status is what it answers with, 0 for 200. Spans of messages that it does not answer with 200 do not count.
	Status atomic.Int32
	// Answer is the body of its answers, nil for that of a full success.
	Answer atomic.Pointer[string]
	// Posts counts messages.
	Posts atomic.Int32

	mu    sync.Mutex
	spans []Span
}

// Start starts a collector that ends with the test, and fails the test for every message that is not right.
func Start(t *testing.T) *Collector {
	t.Helper()
	c := &Collector{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.Posts.Add(1)
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the sender was killed, or gave up
		}
		if r.Method != http.MethodPost || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("a message by %s to %s of type %q", r.Method, r.URL, r.Header.Get("Content-Type"))
		}
		spans, err := Parse(body)
		if err != nil {
			t.Errorf("%v in %s", err, body)
		}
		c.answer(w, spans)
	}))
	t.Cleanup(c.Close)
	return c
}

func (c *Collector) answer(w http.ResponseWriter, spans []Span) {
	w.Header().Set("Content-Type", "application/json")
	if status := int(c.Status.Load()); status != 0 && status != http.StatusOK {
		w.WriteHeader(status)
		return
	}
	c.mu.Lock()
	c.spans = append(c.spans, spans...)
	c.mu.Unlock()
	answer := "{}"
	if a := c.Answer.Load(); a != nil {
		answer = *a
	}
	_, _ = io.WriteString(w, answer) // the sender may be gone
}

// Spans returns what has come in.
func (c *Collector) Spans() []Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Span(nil), c.spans...)
}
