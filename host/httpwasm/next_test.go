package httpwasm

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/host/engine"
)

// ok is a next handler.
func ok(_ context.Context, x *exchange.Exchange) error {
	x.Response.Status = 203
	x.Response.Fields.Add("X-Next", "1")
	x.Response.Fields.Add("Content-Length", "9")
	_, err := x.Response.Write([]byte("from next"))
	return err
}

// seen is what a next handler got to see of a request.
type seen struct {
	method, target, host, body string
	fields, trailers           exchange.Fields
	length                     int64
}

// spy is a next handler that notes the request.
func spy(s *seen) exchange.Handler {
	return exchange.HandlerFunc(func(ctx context.Context, x *exchange.Exchange) error {
		r := &x.Request
		*s = seen{r.Method, r.Target, r.Host, readAll(r.Body), slices.Clone(r.Fields), slices.Clone(r.Trailers), r.ContentLength}
		return ok(ctx, x)
	})
}

func TestRequestChanges(t *testing.T) {
	l := newLab(t, engine.Options{})
	tests := []struct {
		name string
		ops  []op
		want func(s *seen)
	}{
		{"nothing", nil, func(*seen) {}},
		{"method", []op{call("set_method", "PATCH")}, func(s *seen) { s.method = "PATCH" }},
		{"URI drops the query", []op{call("set_uri", "/x%20y")}, func(s *seen) { s.target = "/x%20y" }},
		{"URI with a query", []op{call("set_uri", "/x?y=1&z")}, func(s *seen) { s.target = "/x?y=1&z" }},
		{"empty URI", []op{call("set_uri", "")}, func(s *seen) { s.target = "/" }},
		{"URI of the server", []op{call("set_uri", "*")}, func(s *seen) { s.target = "*" }},
		{"relative URI", []op{call("set_uri", "x/y")}, func(s *seen) { s.target = "/x/y" }},
		{"URI not encoded", []op{call("set_uri", "/a b\r\nc\x00é#f\"<>")}, func(s *seen) { s.target = "/a%20b%0D%0Ac%00%C3%A9%23f%22%3C%3E" }},
		{"host", []op{call("set_header_value", 0, "HOST", "other")}, func(s *seen) { s.host = "other" }},
		{"second host", []op{call("add_header_value", 0, "Host", "other")}, func(s *seen) { s.host = "other" }},
		{"no host", []op{call("remove_header", 0, "host")}, func(s *seen) { s.host = "" }},
		{"set a header", []op{call("set_header_value", 0, "accept", "b")}, func(s *seen) { s.fields.Set("accept", "b") }},
		{"add a header", []op{call("add_header_value", 0, "Accept", "b")}, func(s *seen) { s.fields.Add("Accept", "b") }},
		{"remove a header", []op{call("remove_header", 0, "ACCEPT")}, func(s *seen) { s.fields.Del("accept") }},
		{"hop-by-hop header", []op{call("set_header_value", 0, "Transfer-Encoding", "chunked")}, func(*seen) {}},
		{"trailer", []op{call("enable_features", 4), call("add_header_value", 2, "X-Sum", "1")}, func(s *seen) { s.trailers.Add("X-Sum", "1") }},
		{"remove a trailer", []op{call("enable_features", 4), call("remove_header", 2, "X-End")}, func(s *seen) { s.trailers = nil }},
		{"body", []op{call("write_body", 0, "new "), call("write_body", 0, "body")}, func(s *seen) {
			s.body, s.length = "new body", 8
			s.fields.Set("Content-Length", "8")
		}},
		{"emptied body", []op{call("write_body", 0, "")}, func(s *seen) {
			s.body, s.length = "", 0
			s.fields.Set("Content-Length", "0")
		}},
		{"body read in part", []op{call("read_body", 0, memFree, 4)}, func(s *seen) {
			s.body, s.length = "body", -1
			s.fields.Del("Content-Length")
		}},
		{"body read in part and buffered", []op{call("enable_features", 1), call("read_body", 0, memFree, 4)}, func(*seen) {}},
		{"buffered late", []op{call("read_body", 0, memFree, 4), call("enable_features", 1), call("read_body", 0, memFree, 9)}, func(s *seen) {
			s.body, s.length = "body", -1
			s.fields.Del("Content-Length")
		}},
		{"body copied", []op{call("echo", 0, 0, memFree, 3)}, func(*seen) {}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var have seen
			g := l.drive(t, script{request: tt.ops, next: 1}, Options{Next: spy(&have)})
			x, s := newExchange("POST", "/a?b", "the body")
			x.Request.Fields.Add("Accept", "a")
			x.Request.Trailers.Add("X-End", "1")
			want := seen{"POST", "/a?b", "example.com", "the body", slices.Clone(x.Request.Fields), slices.Clone(x.Request.Trailers), 8}
			before := want
			before.fields, before.trailers = slices.Clone(want.fields), slices.Clone(want.trailers)
			tt.want(&want)
			mustServe(t, g, x)
			equalSeen(t, "next", have, want)
			if s.status != 203 || s.body.String() != "from next" || !s.fields.Has("X-Next") {
				t.Errorf("the client got %d %q %v", s.status, s.body.String(), s.fields)
			}
			r := &x.Request
			after := seen{r.Method, r.Target, r.Host, before.body, r.Fields, r.Trailers, r.ContentLength}
			equalSeen(t, "the caller afterwards", after, before)
		})
	}
}

func equalSeen(t *testing.T, who string, have, want seen) {
	t.Helper()
	if have.method != want.method || have.target != want.target || have.host != want.host || have.body != want.body ||
		have.length != want.length || !slices.Equal(have.fields, want.fields) || !slices.Equal(have.trailers, want.trailers) {
		t.Errorf("%s saw %+v\nwant %+v", who, have, want)
	}
}

func TestHandleResponse(t *testing.T) {
	l := newLab(t, engine.Options{})
	tests := []struct {
		name   string
		s      script
		status int
		body   string
		check  func(t *testing.T, g *Guest, s *sink)
	}{
		{
			"streamed, reading only",
			script{response: []op{call("get_status_code"), call("get_header_values", 1, "x-next", memFree, 9)}, next: 1},
			203, "from next",
			func(t *testing.T, g *Guest, _ *sink) {
				if log := results(t, g); !slices.Equal(log, []uint64{203, 1<<32 | 2}) {
					t.Errorf("log %#x", log)
				}
			},
		},
		{
			"read",
			script{start: []op{call("enable_features", 2)}, response: []op{call("read_body", 1, memFree, 5), call("read_body", 1, memFree+5, 99)}, next: 1},
			203, "from next",
			func(t *testing.T, g *Guest, _ *sink) {
				if log := results(t, g); !slices.Equal(log[1:], []uint64{5, 1<<32 | 4}) || text(t, g, memFree, 10) != "from next\x00" {
					t.Errorf("log %#x, read %q", log, text(t, g, memFree, 10))
				}
			},
		},
		{
			"replace",
			script{request: []op{call("enable_features", 2)}, response: []op{call("write_body", 1, "new "), call("write_body", 1, "one"), call("set_status_code", 418), call("remove_header", 1, "x-next")}, next: 1},
			418, "new one",
			func(t *testing.T, _ *Guest, s *sink) {
				if len(s.fields) != 0 || s.length != 7 {
					t.Errorf("fields %v, length %d", s.fields, s.length)
				}
			},
		},
		{"empty", script{start: []op{call("enable_features", 2)}, response: []op{call("write_body", 1, "")}, next: 1}, 203, "", nil},
		{"transform", script{start: []op{call("enable_features", 2)}, response: []op{call("echo", 1, 1, memFree, 2)}, next: 1}, 203, "from next", nil},
		{
			"request's body again",
			script{start: []op{call("enable_features", 3)}, request: []op{call("read_body", 0, memFree, 4)}, response: []op{call("read_body", 0, memFree+4, 99)}, next: 1},
			203, "from next",
			func(t *testing.T, g *Guest, _ *sink) {
				if have := text(t, g, memFree, 9); have != "the body\x00" {
					t.Errorf("read %q", have)
				}
			},
		},
		{
			"headers set before next are kept, status and body are not",
			script{request: []op{call("set_status_code", 404), call("set_header_value", 1, "x-early", "1"), call("write_body", 1, "early")}, next: 1},
			203, "from next",
			func(t *testing.T, _ *Guest, s *sink) {
				if want := (exchange.Fields{{Name: "x-early", Value: "1"}, {Name: "X-Next", Value: "1"}}); !slices.Equal(s.fields, want) {
					t.Errorf("fields %v", s.fields)
				}
			},
		},
		{
			"trailers",
			script{start: []op{call("enable_features", 6)}, response: []op{call("set_header_value", 3, "X-Sum", "1"), call("get_header_names", 3, memFree, 9)}, next: 1},
			203, "from next",
			func(t *testing.T, g *Guest, s *sink) {
				if !s.trailers.Has("X-Sum") || text(t, g, memFree, 6) != "x-sum\x00" {
					t.Errorf("trailers %v", s.trailers)
				}
			},
		},
		{
			"feature asked for too late",
			script{response: []op{call("enable_features", 4), call("get_header_names", 3, memFree, 9)}, next: 1},
			203, "from next",
			func(t *testing.T, g *Guest, _ *sink) {
				if log := results(t, g); !slices.Equal(log, []uint64{7, 0}) {
					t.Errorf("log %#x", log)
				}
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.s.next |= 77 << 32
			g := l.drive(t, tt.s, Options{Next: exchange.HandlerFunc(ok)})
			x, s := newExchange("POST", "/", "the body")
			mustServe(t, g, x)
			if s.status != tt.status || s.body.String() != tt.body {
				t.Errorf("the client got %d %q", s.status, s.body.String())
			}
			if tt.check != nil {
				tt.check(t, g, s)
			}
			checkHandleResponse(t, g, 77, 0, 1)
		})
	}
}

// checkHandleResponse checks what handle_response was called with last and how many times it was called.
func checkHandleResponse(t *testing.T, g *Guest, reqCtx, isError, calls uint32) {
	t.Helper()
	peek(t, g, func(in *instance) {
		c, _ := in.memory.ReadUint32Le(memReqCtx)
		e, _ := in.memory.ReadUint32Le(memReqCtx + 4)
		n, _ := in.memory.ReadUint32Le(memCalls)
		if c != reqCtx || e != isError || n != calls {
			t.Errorf("handle_response got reqCtx %d, isError %d in call %d; want %d, %d, %d", c, e, n, reqCtx, isError, calls)
		}
	})
}

func TestCtxNext(t *testing.T) {
	l := newLab(t, engine.Options{})
	for _, tt := range []struct {
		ctxNext uint64
		calls   uint32
		reqCtx  uint32
	}{{0, 0, 0}, {1, 1, 0}, {16<<32 | 1, 1, 16}, {16 << 32, 0, 0}, {0xffffffff<<32 | 1, 1, 0xffffffff}, {16<<32 | 2, 1, 16}} {
		g := l.drive(t, script{next: tt.ctxNext}, Options{Next: exchange.HandlerFunc(ok)})
		x, _ := newExchange("GET", "/", "")
		mustServe(t, g, x)
		checkHandleResponse(t, g, tt.reqCtx, 0, tt.calls)
	}
}

func TestNextFails(t *testing.T) {
	l := newLab(t, engine.Options{})
	s := script{start: []op{call("enable_features", 2)}, response: []op{call("get_status_code"), call("read_body", 1, memFree, 9)}, next: 5<<32 | 1}
	want := exchange.Fail(502, exchange.Upstream, "no answer")
	g := l.drive(t, s, Options{Next: exchange.HandlerFunc(func(ctx context.Context, x *exchange.Exchange) error {
		return errors.Join(ok(ctx, x), want)
	})})
	x, sink := newExchange("GET", "/", "")
	if err := serve(t.Context(), g, x); !errors.Is(err, want) {
		t.Errorf("have %v", err)
	}
	if sink.status != 502 {
		t.Errorf("status %d", sink.status)
	}
	checkHandleResponse(t, g, 5, 1, 1)
	if log := results(t, g); !slices.Equal(log[1:], []uint64{502, 1 << 32}) {
		t.Errorf("the guest saw %#x", log)
	}
}

func TestNoNext(t *testing.T) {
	l := newLab(t, engine.Options{})
	g := l.drive(t, script{next: 1}, Options{})
	x, sink := newExchange("GET", "/", "")
	f := exchange.AsFailure(serve(t.Context(), g, x))
	if f.Status != 404 || f.Reason != exchange.NotFound || sink.status != 404 {
		t.Errorf("have %+v, status %d", f, sink.status)
	}
	checkHandleResponse(t, g, 0, 1, 1)
}

func TestNextPanics(t *testing.T) {
	l := newLab(t, engine.Options{})
	calls := 0
	g := l.drive(t, script{next: 1}, Options{Instances: 1, Next: exchange.HandlerFunc(func(ctx context.Context, x *exchange.Exchange) error {
		if calls++; calls == 1 {
			panic("next")
		}
		return ok(ctx, x)
	})})
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		x, _ := newExchange("GET", "/", "")
		_ = g.Serve(t.Context(), x)
	}()
	x, s := newExchange("GET", "/", "") // hangs if the panic took the only instance's place with it
	mustServe(t, g, x)
	if s.status != 203 {
		t.Errorf("status %d", s.status)
	}
}

func TestResponseSentBeforeNext(t *testing.T) {
	l := newLab(t, engine.Options{})
	g := l.drive(t, script{request: []op{call("write_body", 1, memFree, exchange.BufferSize+1)}, next: 1}, Options{Next: exchange.HandlerFunc(ok)})
	x, s := newExchange("GET", "/", "")
	if err := serve(t.Context(), g, x); exchange.AsFailure(err).Reason != exchange.BadResponse || !s.aborted {
		t.Errorf("have %v, aborted %v", err, s.aborted)
	}
}
