package httpwasm

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/host/engine"
)

// big is a next handler with a response of n bytes that it flushes all the while.
func big(n int) exchange.Handler {
	return exchange.HandlerFunc(func(_ context.Context, x *exchange.Exchange) error {
		piece := []byte(strings.Repeat("x", 1000))
		for ; n > 0; n -= len(piece) {
			if _, err := x.Response.Write(piece); err != nil {
				return err
			}
			if err := x.Response.Flush(); err != nil {
				return err
			}
		}
		return nil
	})
}

func TestBodyLimit(t *testing.T) {
	l := newLab(t, engine.Options{})
	const limit = 100_000
	large := strings.Repeat("y", limit+1)
	tests := []struct {
		name   string
		s      script
		next   exchange.Handler
		body   string
		status int
		reason exchange.Reason
	}{
		{"response that fits", script{start: []op{call("enable_features", 2)}, response: []op{call("set_status_code", 201)}, next: 1}, big(limit), "", 201, ""},
		{"response too large", script{start: []op{call("enable_features", 2)}, next: 1}, big(limit + 1000), "", 502, exchange.BadResponse},
		{"response not buffered", script{next: 1}, big(10 * limit), "", 200, ""},
		{"request that fits", script{start: []op{call("enable_features", 1)}, request: []op{call("echo", 0, 1, memFree, 4096)}}, nil, large[1:], 200, ""},
		{"request too large", script{start: []op{call("enable_features", 1)}, request: []op{call("repeat", 100), call("read_body", 0, memFree, 4096)}}, nil, large, 413, exchange.BadRequest},
		{"request not buffered", script{request: []op{call("echo", 0, 1, memFree, 4096)}}, nil, large, 200, ""},
		{"replacement too large", script{request: []op{call("repeat", 2), call("write_body", 0, memFree, 60_000)}, next: 1}, nil, "", 500, exchange.Trapped},
		{"own response too large in handle_response", script{start: []op{call("enable_features", 2)}, response: []op{call("repeat", 2), call("write_body", 1, memFree, 60_000)}, next: 1}, big(1000), "", 502, exchange.BadResponse},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := l.drive(t, tt.s, Options{Next: tt.next, BodyLimit: limit})
			x, s := newExchange("POST", "/", tt.body)
			err := serve(t.Context(), g, x)
			if s.status != tt.status {
				t.Errorf("status %d, want %d: %v", s.status, tt.status, err)
			}
			if tt.reason != "" && exchange.AsFailure(err).Reason != tt.reason || tt.reason == "" && err != nil {
				t.Errorf("have %v, want reason %q", err, tt.reason)
			}
		})
	}
}

// TestBrokenRequestBody checks that a body which cannot be read is the client's failure and not the guest's.
func TestBrokenRequestBody(t *testing.T) {
	l := newLab(t, engine.Options{})
	tooLarge := exchange.Fail(413, exchange.BadRequest, "too large")
	for _, tt := range []struct {
		err    error
		status int
		reason exchange.Reason
	}{
		{io.ErrUnexpectedEOF, 400, exchange.BadRequest},
		{errors.New("connection reset"), 400, exchange.BadRequest},
		{tooLarge, 413, exchange.BadRequest},
		{exchange.Fail(408, exchange.TimedOut, "too slow"), 408, exchange.TimedOut},
	} {
		for _, features := range []int{0, 1} {
			g := l.drive(t, script{start: []op{call("enable_features", features)}, request: []op{call("echo", 0, 1, memFree, 100)}}, Options{})
			x, _ := newExchange("POST", "/", "")
			x.Request.Body = io.MultiReader(strings.NewReader("part"), brokenReader{tt.err})
			f := exchange.AsFailure(serve(t.Context(), g, x))
			if f.Status != tt.status || f.Reason != tt.reason || !errors.Is(f, errOf(tt.err)) {
				t.Errorf("%v: have %+v", tt.err, f)
			}
		}
	}
}

// errOf is the cause that a failure carries on, since failures are copied on their way.
func errOf(err error) error {
	var f *exchange.Failure
	if errors.As(err, &f) {
		return f.Err
	}
	return err
}

type brokenReader struct{ err error }

func (r brokenReader) Read([]byte) (int, error) { return 0, r.err }

func TestClientGone(t *testing.T) {
	l := newLab(t, engine.Options{})
	g := l.drive(t, script{request: []op{call("write_body", 1, memFree, exchange.BufferSize+1)}}, Options{})
	x, s := newExchange("GET", "/", "")
	s.err = errors.New("broken pipe")
	f := exchange.AsFailure(g.Serve(t.Context(), x))
	if f.Reason != exchange.Canceled || !errors.Is(f, s.err) {
		t.Errorf("have %+v", f)
	}
}
