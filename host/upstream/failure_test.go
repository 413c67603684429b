package upstream

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/appserver-go/appserver/exchange"
)

func TestFailures(t *testing.T) {
	closed := listen(t, nil)
	closed.Close()
	part := strings.Repeat("x", 2*exchange.BufferSize)
	tests := []struct {
		name   string
		answer http.HandlerFunc // nil: no server
		status int
		reason exchange.Reason
		sent   bool
	}{
		{"nobody listens", nil, 502, exchange.Upstream, false},
		{"closes without an answer", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 502, exchange.Upstream, false},
		{"breaks off a small answer", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "10")
			_, _ = io.WriteString(w, "abc")
			panic(http.ErrAbortHandler)
		}, 502, exchange.Upstream, false},
		{"breaks off a large answer", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, part)
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}, 502, exchange.Upstream, true},
		{"switches protocols", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Connection", "upgrade")
			w.Header().Set("Upgrade", "x")
			w.WriteHeader(101)
		}, 502, exchange.Upstream, false},
		{"answers nonsense", func(w http.ResponseWriter, _ *http.Request) {
			c, _, _ := w.(http.Hijacker).Hijack()
			_, _ = io.WriteString(c, "nonsense\r\n\r\n")
			_ = c.Close()
		}, 502, exchange.Upstream, false},
		{"has a head that is too large", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Big", part+part)
		}, 502, exchange.BadResponse, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			url := closed.URL
			if tt.answer != nil {
				url = listen(t, tt.answer).URL
			}
			x, s := newExchange("GET", "/", "")
			f := exchange.AsFailure(serve(t.Context(), newHandler(t, url), x))
			if f.Status != tt.status || f.Reason != tt.reason || x.Response.Committed() != tt.sent || s.closed {
				t.Errorf("have %+v, sent %v, closed %v", f, x.Response.Committed(), s.closed)
			}
		})
	}
}

func TestContext(t *testing.T) {
	arrived, release := make(chan struct{}, 2), make(chan struct{})
	up := listen(t, func(_ http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		select {
		case <-r.Context().Done():
		case <-release:
		}
	})
	defer close(release)
	t.Run("deadline", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		x, _ := newExchange("GET", "/", "")
		if f := exchange.AsFailure(serve(ctx, newHandler(t, up.URL), x)); f.Status != 504 || f.Reason != exchange.TimedOut {
			t.Errorf("have %+v", f)
		}
	})
	t.Run("canceled", func(t *testing.T) {
		for len(arrived) > 0 {
			<-arrived
		}
		ctx, cancel := context.WithCancel(t.Context())
		go func() { <-arrived; cancel() }()
		x, _ := newExchange("GET", "/", "")
		if f := exchange.AsFailure(serve(ctx, newHandler(t, up.URL), x)); f.Status != 503 || f.Reason != exchange.Canceled {
			t.Errorf("have %+v", f)
		}
	})
}

func TestClientFailures(t *testing.T) {
	up := listen(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(w, r.Body)
	})
	h := newHandler(t, up.URL)
	for _, tt := range []struct {
		err    error
		status int
		reason exchange.Reason
	}{
		{io.ErrUnexpectedEOF, 400, exchange.BadRequest},
		{exchange.Fail(413, exchange.BadRequest, "too large"), 413, exchange.BadRequest},
	} {
		x, _ := newExchange("POST", "/", "")
		x.Request.Body = io.MultiReader(strings.NewReader("part"), failing{tt.err})
		x.Request.ContentLength = -1
		if f := exchange.AsFailure(serve(t.Context(), h, x)); f.Status != tt.status || f.Reason != tt.reason {
			t.Errorf("%v: have %+v", tt.err, f)
		}
	}
	x, s := newExchange("POST", "/", strings.Repeat("x", 4*exchange.BufferSize))
	s.err = errors.New("broken pipe")
	if f := exchange.AsFailure(serve(t.Context(), h, x)); f.Reason != exchange.Canceled || !errors.Is(f, s.err) {
		t.Errorf("have %+v", f)
	}
	x, _ = newExchange("GET", "/%zz", "")
	if f := exchange.AsFailure(serve(t.Context(), h, x)); f.Status != 400 || f.Reason != exchange.BadRequest {
		t.Errorf("have %+v", f)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// TestBodyIsReturned checks that nobody reads the request's body once Serve is back, though the server answered
// without reading it.
func TestBodyIsReturned(t *testing.T) {
	up := listen(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(401) })
	h := newHandler(t, up.URL)
	for range 50 {
		x, s := newExchange("POST", "/", "")
		var guard sync.Mutex
		back := false
		x.Request.ContentLength = -1
		x.Request.Body = reader(func(p []byte) (int, error) {
			guard.Lock()
			defer guard.Unlock()
			if back {
				t.Error("the body was read after Serve")
			}
			return len(p), nil
		})
		err := h.Serve(t.Context(), x)
		guard.Lock()
		back = true
		guard.Unlock()
		if err == nil {
			err = x.Response.Finish()
			if s.status != 401 {
				t.Errorf("status %d", s.status)
			}
		}
		if f := exchange.AsFailure(err); err != nil && f.Reason != exchange.Upstream { // the server may close while we send
			t.Errorf("have %v", err)
		}
	}
}

type reader func(p []byte) (int, error)

func (f reader) Read(p []byte) (int, error) { return f(p) }
