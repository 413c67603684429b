package httpwasm

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/host/engine"
)

// richRequest is the request of the ABI tables.
func richRequest() (*exchange.Exchange, *sink) {
	x, s := newExchange("GET", "/a%20b?c=d%26", "")
	x.Request.Fields = exchange.Fields{
		{Name: "Accept", Value: "text/html"},
		{Name: "X-Multi", Value: "one"},
		{Name: "X-MULTI", Value: ""},
		{Name: "X-Long", Value: strings.Repeat("v", 3000)},
	}
	x.Request.Trailers = exchange.Fields{{Name: "X-Sum", Value: "9"}}
	return x, s
}

// TestGetters checks what each reading function returns and writes, at a limit that fits, one that is a byte short,
// and 0, by the rule for buffers: what does not fit is not written, and its length is returned all the same.
func TestGetters(t *testing.T) {
	l := newLab(t, engine.Options{})
	long := strings.Repeat("v", 3000)
	names := "host\x00accept\x00x-multi\x00x-long\x00"
	tests := []struct {
		name  string
		op    func(limit int) op
		want  string
		count int // of a count_len, -1 for functions that return a length alone
	}{
		{"get_method", func(n int) op { return call("get_method", memFree, n) }, "GET", -1},
		{"get_uri", func(n int) op { return call("get_uri", memFree, n) }, "/a%20b?c=d%26", -1},
		{"get_protocol_version", func(n int) op { return call("get_protocol_version", memFree, n) }, "HTTP/1.1", -1},
		{"get_source_addr", func(n int) op { return call("get_source_addr", memFree, n) }, "192.0.2.7:1234", -1},
		{"get_header_names", func(n int) op { return call("get_header_names", 0, memFree, n) }, names, 4},
		{"get_header_names of trailers", func(n int) op { return call("get_header_names", 2, memFree, n) }, "x-sum\x00", 1},
		{"get_header_names of none", func(n int) op { return call("get_header_names", 1, memFree, n) }, "", 0},
		{"get_header_values", func(n int) op { return call("get_header_values", 0, "ACCEPT", memFree, n) }, "text/html\x00", 1},
		{"get_header_values of several", func(n int) op { return call("get_header_values", 0, "x-multi", memFree, n) }, "one\x00\x00", 2},
		{"get_header_values of many bytes", func(n int) op { return call("get_header_values", 0, "x-long", memFree, n) }, long + "\x00", 1},
		{"get_header_values of none", func(n int) op { return call("get_header_values", 0, "x-none", memFree, n) }, "", 0},
		{"get_header_values of host", func(n int) op { return call("get_header_values", 0, "Host", memFree, n) }, "example.com\x00", 1},
		{"get_header_values of trailers", func(n int) op { return call("get_header_values", 2, "X-SUM", memFree, n) }, "9\x00", 1},
		{"get_header_values of a response's host", func(n int) op { return call("get_header_values", 1, "host", memFree, n) }, "", 0},
	}
	for _, tt := range tests {
		for _, limit := range []int{len(tt.want), len(tt.want) + 1, len(tt.want) - 1, 0, -1} {
			t.Run(tt.name, func(t *testing.T) {
				fits := limit < 0 || limit >= len(tt.want)
				if limit == -1 && tt.want == "" {
					return
				}
				g := l.drive(t, script{start: []op{call("enable_features", 4)}, request: []op{tt.op(limit)}}, Options{})
				x, _ := richRequest()
				mustServe(t, g, x)
				want := uint64(len(tt.want))
				if tt.count > 0 {
					want |= uint64(tt.count) << 32
				}
				if have := results(t, g)[1]; have != want {
					t.Errorf("limit %d: returned %#x, want %#x", limit, have, want)
				}
				wantText := tt.want
				if !fits {
					wantText = strings.Repeat("\x00", len(tt.want))
				}
				if have := text(t, g, memFree, len(tt.want)+1); have != wantText+"\x00" {
					t.Errorf("limit %d: memory has %.60q, want %.60q", limit, have, wantText)
				}
			})
		}
	}
}

func TestGetURIOfNoTarget(t *testing.T) {
	l := newLab(t, engine.Options{})
	g := l.drive(t, script{request: []op{call("get_uri", memFree, 10), call("get_source_addr", memFree, 10)}}, Options{})
	x, _ := newExchange("GET", "", "")
	x.Request.RemoteAddr = ""
	mustServe(t, g, x)
	if have := results(t, g); !slices.Equal(have, []uint64{1, 0}) || text(t, g, memFree, 2) != "/\x00" {
		t.Errorf("returned %v, memory has %q", have, text(t, g, memFree, 2))
	}
}

// TestTraps lists what must end the guest's call, in the phase it is done in.
func TestTraps(t *testing.T) {
	l := newLab(t, engine.Options{})
	get := []string{"get_method", "get_uri", "get_protocol_version", "get_source_addr"}
	type trap struct {
		name     string
		features int // enabled at start
		op       op
		contains string
	}
	always := []trap{ // in handle_request and in handle_response
		{"header names of a bad kind", 7, call("get_header_names", 4, memFree, 9), "kind 4"},
		{"header values of a bad kind", 7, call("get_header_values", -1, "a", memFree, 9), "kind 4294967295"},
		{"set header of a bad kind", 7, call("set_header_value", 4, "a", "b"), "kind 4"},
		{"add header of a bad kind", 7, call("add_header_value", 9, "a", "b"), "kind 9"},
		{"remove header of a bad kind", 7, call("remove_header", 4, "a"), "kind 4"},
		{"read body of a bad kind", 7, call("read_body", 2, memFree, 9), "kind 2"},
		{"write body of a bad kind", 7, call("write_body", 2, "a"), "kind 2"},
		{"values of the empty name", 7, call("get_header_values", 0, "", memFree, 9), "empty name"},
		{"set the empty name", 7, call("set_header_value", 1, "", "b"), "empty name"},
		{"add the empty name", 7, call("add_header_value", 1, "", "b"), "empty name"},
		{"remove the empty name", 7, call("remove_header", 1, ""), "empty name"},
		{"read into nothing", 7, call("read_body", 0, memFree, 0), "0 bytes"},
		{"read the response into nothing", 7, call("read_body", 1, memFree, 0), "0 bytes"},
		{"read past the end of memory", 7, call("read_body", 0, memEnd-8, 9), "outside"},
		{"read to an offset that wraps", 7, call("read_body", 0, -1, 9), "outside"},
		{"write from past the end", 7, call("write_body", 1, memEnd-8, 9), "outside"},
		{"name past the end", 7, call("get_header_values", 0, memEnd, 1, memFree, 9), "outside"},
		{"name longer than memory", 7, call("remove_header", 1, memFree, -1), "outside"},
		{"value past the end", 7, call("set_header_value", 1, "a", memEnd-1, 2), "outside"},
		{"names to past the end", 7, call("get_header_names", 0, memEnd-1, 9999), "outside"},
		{"values to past the end", 7, call("get_header_values", 0, "accept", memEnd-1, 9999), "outside"},
		{"config to past the end", 7, call("get_config", memEnd-1, 65536), "outside"},
		{"set a trailer without the feature", 0, call("set_header_value", 3, "a", "b"), "feature trailers"},
		{"add a request trailer without the feature", 0, call("add_header_value", 2, "a", "b"), "feature trailers"},
		{"remove a trailer without the feature", 0, call("remove_header", 3, "a"), "feature trailers"},
	}
	for _, name := range get {
		always = append(always, trap{name + " past the end", 7, call(name, memEnd-1, 9999), "outside"})
	}
	before := []trap{
		{"empty method", 0, call("set_method", ""), "no token"},
		{"method with a space", 0, call("set_method", "GET /x"), "no token"},
		{"method past the end", 0, call("set_method", memEnd, 3), "outside"},
		{"URI past the end", 0, call("set_uri", memEnd, 3), "outside"},
		{"request header splits", 0, call("set_header_value", 0, "a", "b\r\nc: d"), "not valid"},
		{"request header's name splits", 0, call("add_header_value", 0, "a\r\nb", "c"), "not valid"},
		{"request header with NUL", 0, call("add_header_value", 0, "a", "b\x00"), "not valid"},
		{"host with a line break", 0, call("set_header_value", 0, "host", "a\nb"), "not valid"},
	}
	after := []trap{
		{"method", 7, call("set_method", "GET"), "in handle_response"},
		{"URI", 7, call("set_uri", "/"), "in handle_response"},
		{"set a request header", 7, call("set_header_value", 0, "a", "b"), "in handle_response"},
		{"add a request header", 7, call("add_header_value", 0, "a", "b"), "in handle_response"},
		{"remove a request header", 7, call("remove_header", 0, "a"), "in handle_response"},
		{"set a request trailer", 7, call("set_header_value", 2, "a", "b"), "in handle_response"},
		{"write the request's body", 7, call("write_body", 0, "a"), "in handle_response"},
		{"read the request's body", 6, call("read_body", 0, memFree, 9), "buffer_request"},
		{"status", 5, call("set_status_code", 201), "buffer_response"},
		{"set a header", 5, call("set_header_value", 1, "a", "b"), "buffer_response"},
		{"add a header", 5, call("add_header_value", 1, "a", "b"), "buffer_response"},
		{"remove a header", 5, call("remove_header", 1, "a"), "buffer_response"},
		{"set a trailer", 5, call("set_header_value", 3, "a", "b"), "buffer_response"},
		{"read the response's body", 5, call("read_body", 1, memFree, 9), "buffer_response"},
		{"write the response's body", 5, call("write_body", 1, "a"), "buffer_response"},
	}
	run := func(tt trap, phase string) {
		t.Run(phase+"/"+tt.name, func(t *testing.T) {
			s := script{start: []op{call("enable_features", tt.features)}}
			if phase == "handle_request" {
				s.request = []op{tt.op}
			} else {
				s.response, s.next = []op{tt.op}, 1
			}
			g := l.drive(t, s, Options{Next: exchange.HandlerFunc(ok)})
			x, sink := richRequest()
			err := serve(t.Context(), g, x)
			var f *exchange.Failure
			if !errors.As(err, &f) || f.Status != 500 || f.Reason != exchange.Trapped {
				t.Fatalf("have %#v, want a trap", err)
			}
			if !strings.Contains(err.Error(), phase+": ") || !strings.Contains(err.Error(), tt.contains) {
				t.Errorf("error %q does not contain %q", err, tt.contains)
			}
			if !strings.Contains(f.Stack, phase) {
				t.Errorf("the stack does not name %s: %q", phase, f.Stack)
			}
			if sink.status != 500 || sink.body.String() != "error" {
				t.Errorf("the client got %d %q", sink.status, sink.body.String())
			}
		})
	}
	for _, tt := range slices.Concat(always, before) {
		run(tt, "handle_request")
	}
	for _, tt := range slices.Concat(always, after) {
		run(tt, "handle_response")
	}
}

// TestBadResponses are the guest's answers that no client may see.
func TestBadResponses(t *testing.T) {
	l := newLab(t, engine.Options{})
	tests := []struct {
		name     string
		ops      []op
		contains string
	}{
		{"status 0", []op{call("set_status_code", 0)}, "status 0"},
		{"status 99", []op{call("set_status_code", 99)}, "status 99"},
		{"status 101", []op{call("set_status_code", 101)}, "status 101"},
		{"status 1000", []op{call("set_status_code", 1000)}, "status 1000"},
		{"status -1", []op{call("set_status_code", -1)}, "status 4294967295"},
		{"splitting value", []op{call("set_header_value", 1, "a", "b\r\nc: d")}, "control characters"},
		{"splitting name", []op{call("add_header_value", 1, "a\r\nb", "c")}, "invalid name"},
		{"NUL", []op{call("set_header_value", 1, "a", "b\x00c")}, "control characters"},
		{"a long value", []op{call("set_header_value", 1, "a", memFree, 70000)}, "more than 65536 bytes"},
		{"a long name", []op{call("set_header_value", 1, memFree, 70000, "a")}, "70000 bytes"},
		{"many fields", []op{call("repeat", 1000), call("add_header_value", 1, "a", "b")}, "more than 256"},
		{"many bytes", []op{call("repeat", 100), call("add_header_value", 1, "a", memConfig, 1000)}, ""},
		{"Content-Length too large", []op{call("set_header_value", 1, "content-length", "9"), call("write_body", 1, "a")}, "Content-Length of 9"},
		{"forbidden trailer", []op{call("enable_features", 4), call("set_header_value", 3, "content-length", "9")}, "trailer"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := l.drive(t, script{request: tt.ops}, Options{})
			x, sink := newExchange("GET", "/", "")
			err := serve(t.Context(), g, x)
			var f *exchange.Failure
			if !errors.As(err, &f) || f.Status != 502 || f.Reason != exchange.BadResponse || !strings.Contains(err.Error(), tt.contains) {
				t.Fatalf("have %v, want a bad response that mentions %q", err, tt.contains)
			}
			if sink.status != 502 || len(sink.fields) != 1 {
				t.Errorf("the client got %d with %v", sink.status, sink.fields)
			}
		})
	}
}

func TestResponseIsLazy(t *testing.T) {
	l := newLab(t, engine.Options{})
	g := l.drive(t, script{request: []op{
		call("set_status_code", 404),
		call("write_body", 1, "ab"),
		call("set_status_code", 201),
		call("set_header_value", 1, "X-Late", "1"),
		call("add_header_value", 1, "x-late", "2"),
		call("set_header_value", 1, "x-gone", "1"),
		call("write_body", 1, "cd"),
		call("remove_header", 1, "X-GONE"),
		call("set_header_value", 1, "connection", "close"),
		call("get_status_code"),
		call("get_header_names", 1, memFree, 100),
		call("enable_features", 4),
		call("add_header_value", 3, "X-Sum", "1"),
	}}, Options{})
	x, s := newExchange("GET", "/", "")
	mustServe(t, g, x)
	want := exchange.Fields{{Name: "X-Late", Value: "1"}, {Name: "x-late", Value: "2"}}
	if s.status != 201 || s.body.String() != "abcd" || !slices.Equal(s.fields, want) || !s.closed {
		t.Errorf("status %d, body %q, fields %v", s.status, s.body.String(), s.fields)
	}
	if !slices.Equal(s.trailers, exchange.Fields{{Name: "X-Sum", Value: "1"}}) {
		t.Errorf("trailers %v", s.trailers)
	}
	log := results(t, g)
	if log[9] != 201 || log[10] != 2<<32|18 || text(t, g, memFree, 18) != "x-late\x00connection\x00" {
		t.Errorf("get_status_code %d, get_header_names %#x %q", log[9], log[10], text(t, g, memFree, 18))
	}
}

func TestDefaultResponse(t *testing.T) {
	l := newLab(t, engine.Options{})
	for _, next := range []uint64{0, 16 << 32} { // a context without next means nothing
		g := l.drive(t, script{request: []op{call("get_status_code"), call("read_body", 1, memFree, 9)}, next: next}, Options{})
		x, s := newExchange("GET", "/", "")
		mustServe(t, g, x)
		if s.status != 200 || s.length != 0 || len(s.fields) != 0 {
			t.Errorf("status %d, length %d, fields %v", s.status, s.length, s.fields)
		}
		if log := results(t, g); log[0] != 200 || log[1] != 1<<32 {
			t.Errorf("get_status_code %d, read_body %#x", log[0], log[1])
		}
	}
}

// TestLateHead covers what is set after the head had to be sent.
func TestLateHead(t *testing.T) {
	l := newLab(t, engine.Options{})
	for _, late := range []op{call("set_status_code", 404), call("set_header_value", 1, "a", "b"), call("remove_header", 1, "a")} {
		g := l.drive(t, script{request: []op{call("write_body", 1, memFree, exchange.BufferSize+1), late}}, Options{})
		x, s := newExchange("GET", "/", "")
		if err := serve(t.Context(), g, x); !errors.Is(err, exchange.ErrCommitted) || !s.aborted || s.closed {
			t.Errorf("%s: %v, aborted %v, closed %v", late.name, err, s.aborted, s.closed)
		}
	}
}

func TestConfig(t *testing.T) {
	l := newLab(t, engine.Options{})
	s := script{request: []op{call("get_config", memFree, 0), call("get_config", memFree, 10), call("get_config", memFree, 65536)}}
	g := l.drive(t, s, Options{})
	x, _ := newExchange("GET", "/", "")
	mustServe(t, g, x)
	config := s.encode()
	n := uint64(len(config))
	if have := results(t, g); !slices.Equal(have, []uint64{n, n, n}) {
		t.Errorf("returned %d, want %d", have, n)
	}
	if text(t, g, memFree, len(config)) != string(config) {
		t.Error("the configuration was not written")
	}
}
