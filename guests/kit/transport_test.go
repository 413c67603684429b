package kit

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// fakeCaller is a server in memory.
type fakeCaller struct {
	head    string
	timeout uint32
	sent    strings.Builder
	takes   int // bytes of a body, before it wants no more
	result  int32
	answer  io.Reader
	opened  int
}

func (c *fakeCaller) open(head string, _ bool, timeout uint32) int32 {
	c.head, c.timeout = head, timeout
	if c.result < 0 {
		return c.result
	}
	c.opened++
	return 7
}

func (c *fakeCaller) write(_ int32, p []byte) int32 {
	if c.sent.Len()+len(p) > c.takes {
		return CodeUnwanted
	}
	c.sent.Write(p)
	return 0
}

func (c *fakeCaller) finish(int32) int32 { return 201 }

func (c *fakeCaller) fields(_ int32, trailers bool) (string, int32) {
	text := "content-length: 2\nx-a: 1\nX-A: 2\nX-Empty: \n"
	if trailers {
		text = "X-Sum: 3\n"
	}
	return text, int32(len(text))
}

func (c *fakeCaller) read(_ int32, p []byte) int32 {
	n, err := c.answer.Read(p)
	if err != nil && err != io.EOF {
		return CodeBroken
	}
	return int32(n)
}

func (c *fakeCaller) close(int32)       { c.opened-- }
func (c *fakeCaller) errorText() string { return "because" }

func TestTransport(t *testing.T) {
	c := &fakeCaller{takes: 10, answer: strings.NewReader("ok")}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "POST", "https://h/a?b#c", strings.NewReader("hello"))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Connection", "close")
	r.Header.Set("X-B", "1")
	res, err := roundTripper{c}.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	if want := "POST https://h/a?b\nContent-Length: 5\nX-B: 1\n"; c.head != want || c.sent.String() != "hello" {
		t.Errorf("sent %q %q, want %q", c.head, c.sent.String(), want)
	}
	if c.timeout == 0 || c.timeout > 60_001 {
		t.Errorf("the time is %d ms", c.timeout)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil || string(body) != "ok" || res.Status != "201 Created" || res.ContentLength != 2 || res.Trailer.Get("X-Sum") != "3" {
		t.Errorf("%+v, %q, %v", res, body, err)
	}
	if v := res.Header["X-A"]; len(v) != 2 || len(res.Header["X-Empty"]) != 1 || c.opened != 0 {
		t.Errorf("fields %v, %d open", res.Header, c.opened)
	}
}

func TestTransportFailures(t *testing.T) {
	c := &fakeCaller{result: CodeDenied}
	r, _ := http.NewRequestWithContext(t.Context(), "GET", "https://h/", nil)
	_, err := roundTripper{c}.RoundTrip(r)
	var h *HostError
	if !errors.As(err, &h) || h.Code != CodeDenied || h.Timeout() || !strings.Contains(err.Error(), "because") {
		t.Errorf("denied: %v", err)
	}
	c = &fakeCaller{answer: io.MultiReader(strings.NewReader("x"), failing{})}
	r, _ = http.NewRequestWithContext(t.Context(), "POST", "https://h/", strings.NewReader("more than is wanted"))
	res, err := roundTripper{c}.RoundTrip(r)
	if err != nil {
		t.Fatalf("a body that is not wanted is no failure: %v", err)
	}
	if _, err := io.ReadAll(res.Body); !errors.As(err, &h) || h.Code != CodeBroken || c.opened != 0 {
		t.Errorf("cut: %v, %d open", err, c.opened)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (roundTripper{c}).RoundTrip(r.WithContext(ctx)); !errors.Is(err, context.Canceled) {
		t.Errorf("over before it began: %v", err)
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
