package boundary

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/internal/allowlist"
)

// clientFunc is a Client.
type clientFunc func(ctx context.Context, r *Request) (*Response, error)

func (f clientFunc) Do(ctx context.Context, r *Request) (*Response, error) { return f(ctx, r) }

// never is a client whose servers never answer.
func never(ctx context.Context, r *Request) (*Response, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func begin(t *testing.T, o Options) (*Scope, context.CancelFunc) {
	t.Helper()
	var err error
	if o.Allow, err = allowlist.Parse([]string{"http://h"}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ctx, s := New(o).Begin(ctx)
	if Current(ctx) != s {
		t.Fatal("the context does not have the scope")
	}
	return s, cancel
}

// codeOf returns the code that a guest would get.
func codeOf(s *Scope, err error) Code {
	if err == nil {
		return 0
	}
	return s.Fail(err)
}

// A wait ends with the call's own time, with the request, and with the scope, and the guest is told which.
func TestWaitsEnd(t *testing.T) {
	for name, c := range map[string]struct {
		own  int64
		end  func(s *Scope, cancel context.CancelFunc)
		want Code
		took time.Duration
	}{
		"setting":  {0, nil, Timeout, time.Minute},
		"shorter":  {1500, nil, Timeout, 1500 * time.Millisecond},
		"longer":   {1 << 31, nil, Timeout, time.Minute},
		"canceled": {0, func(_ *Scope, cancel context.CancelFunc) { cancel() }, NoRequest, time.Second},
		"closed":   {0, func(s *Scope, _ context.CancelFunc) { s.Close() }, NoRequest, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, cancel := begin(t, Options{Client: clientFunc(never), Timeout: time.Minute})
				defer cancel()
				defer s.Close()
				h, err := s.Open("GET http://h/\n", false, c.own)
				if err != nil {
					t.Fatal(err)
				}
				if c.end != nil {
					time.AfterFunc(time.Second, func() { c.end(s, cancel) })
				}
				begun := time.Now()
				_, err = s.Finish(h)
				if got := codeOf(s, err); got != c.want || time.Since(begun) != c.took || s.LastError() == "" {
					t.Errorf("code %d after %s, %q", got, time.Since(begun), s.LastError())
				}
			})
		})
	}
}

// A body that the client does not read does not hold a guest for ever, and what was given to the client is no memory of the
// guest's.
func TestWritesEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, cancel := begin(t, Options{Client: clientFunc(never), Timeout: time.Minute})
		defer cancel()
		defer s.Close()
		h, _ := s.Open("POST http://h/\n", true, 0)
		if got := codeOf(s, s.Write(h, []byte("x"))); got != Timeout {
			t.Errorf("code %d", got)
		}
		h, _ = s.Open("POST http://h/\n", false, 0)
		if got := codeOf(s, s.Write(h, []byte("x"))); got != BadHandle {
			t.Errorf("a body nobody announced: code %d", got)
		}
	})
}

// Functions called in an order that makes no sense have a code, and no panic.
func TestWrongOrder(t *testing.T) {
	answer := clientFunc(func(context.Context, *Request) (*Response, error) {
		return &Response{Status: 200, Body: io.NopCloser(strings.NewReader("ab")), Trailers: func() exchange.Fields { return nil }}, nil
	})
	s, cancel := begin(t, Options{Client: answer, Calls: 2})
	defer cancel()
	defer s.Close()
	h, err := s.Open("GET http://h/\n", false, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, early := s.Read(h, make([]byte, 1))
	_, fields := s.Fields(h, false)
	status, err := s.Finish(h)
	again, errAgain := s.Finish(h)
	_, trailers := s.Fields(h, true)
	if codeOf(s, early) != BadHandle || codeOf(s, fields) != BadHandle || codeOf(s, trailers) != BadHandle {
		t.Errorf("too early: %v, %v, %v", early, fields, trailers)
	}
	if err != nil || errAgain != nil || status != 200 || again != 200 {
		t.Errorf("status %d, %d, %v, %v", status, again, err, errAgain)
	}
	if err := errors.Join(s.CloseCall(h)); err != nil {
		t.Error(err)
	}
	for _, h := range []int32{h, 0, -1, 99} {
		if got := codeOf(s, s.CloseCall(h)); got != BadHandle {
			t.Errorf("handle %d: code %d", h, got)
		}
	}
	_, _ = s.Open("GET http://h/\n", false, 0)
	_, err = s.Open("GET http://h/\n", false, 0)
	if codeOf(s, err) != Limit {
		t.Errorf("the third of two calls: %v", err)
	}
	s.Close()
	if _, err := s.Open("GET http://h/\n", false, 0); codeOf(s, err) != NoRequest {
		t.Errorf("after the end: %v", err)
	}
}

func TestHeads(t *testing.T) {
	for text, want := range map[string]Code{
		"GET http://h/\n": 0,
		"GET http://h/\nHost: H\nContent-Length: 3\nX: a b\nX:\n": 0,
		"GET http://h/":                Invalid,
		"":                             Invalid,
		"\n":                           Invalid,
		"GET\n":                        Invalid,
		"GET http://h/ HTTP/1.1\n":     Invalid,
		"G T http://h/\n":              Invalid,
		"TRACE http://h/\n":            Invalid,
		"GET http://h/\n\n":            Invalid,
		"GET http://h/\r\nX: 1\n":      Invalid,
		"GET http://h/\nX: 1\r\n":      Invalid,
		"GET http://h/\nX : 1\n":       Invalid,
		"GET http://h/\nX: \x00\n":     Invalid,
		"GET http://h/\nHost: other\n": Invalid,
		"GET http://h/\ntransfer-encoding: chunked\n":              Invalid,
		"GET http://h/\nExpect: 100-continue\n":                    Invalid,
		"GET http://h/\nContent-Length: -1\n":                      Invalid,
		"GET http://h/\nContent-Length: 1\nContent-Length: 2\n":    Invalid,
		"GET http://h/\nContent-Length: 99999999999999999999\n":    Invalid,
		"GET http://h/\n" + strings.Repeat("X: 1\n", 257):          Limit,
		"GET http://h/\nX: " + strings.Repeat("y", MaxHead) + "\n": Limit,
	} {
		_, err := parseHead(text)
		var e *Error
		if (err == nil) != (want == 0) || err != nil && (!errors.As(err, &e) || e.Code != want) {
			t.Errorf("%.60q: %v, want code %d", text, err, want)
		}
	}
}

func FuzzHead(f *testing.F) {
	f.Add("POST https://h:8443/a?b\nHost: h:8443\nX-A: b\nContent-Length: 7\n")
	f.Fuzz(func(t *testing.T, text string) {
		h, err := parseHead(text)
		if err != nil {
			return
		}
		for _, field := range h.fields {
			if !exchange.ValidName(field.Name) || !exchange.ValidValue(field.Value) || exchange.HopByHop(field.Name) || strings.EqualFold(field.Name, "host") {
				t.Fatalf("%q has the field %+v", text, field)
			}
		}
		again, err := parseHead(h.method + " " + h.target.String() + "\n" + FormatFields(h.fields))
		if err != nil || again.target != h.target || len(again.fields) != len(h.fields) {
			t.Fatalf("%q is %+v, and written out %+v, %v", text, h, again, err)
		}
	})
}
