package nethttp

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/internal/load"
)

// testServer is a Server on a port of its own that remembers the requests its handler saw.
type testServer struct {
	*Server
	addr string

	mu   sync.Mutex
	seen []exchange.Request
}

// start serves with a handler that may return an error, which aborts the response.
func start(t *testing.T, o Options, handle func(*Call) error) *testServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ts := &testServer{addr: l.Addr().String()}
	o.Handler = func(c *Call) {
		r := c.Request
		r.Fields = append(exchange.Fields(nil), r.Fields...)
		ts.mu.Lock()
		ts.seen = append(ts.seen, r)
		ts.mu.Unlock()
		err := handle(c)
		if err == nil {
			err = c.Response.Finish()
		}
		if err != nil {
			c.Response.Abort()
		}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.StallTimeout == 0 {
		o.StallTimeout = 10 * time.Second
	}
	ts.Server = New(o)
	served := make(chan error, 1)
	go func() { served <- ts.Serve(l) }()
	t.Cleanup(func() {
		l.Close()
		<-served
		ts.Close()
		select {
		case <-ts.Empty():
		case <-time.After(10 * time.Second):
			t.Error("connections are left after Close")
		}
	})
	return ts
}

// requests returns what the handler saw so far.
func (ts *testServer) requests() []exchange.Request {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	return append([]exchange.Request(nil), ts.seen...)
}

func (ts *testServer) dial(t *testing.T) *load.Conn {
	t.Helper()
	c, err := load.Dial(t.Context(), ts.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// do sends raw on a new connection and returns the one response.
func (ts *testServer) do(t *testing.T, raw string) *load.Response {
	t.Helper()
	r, err := ts.dial(t).Do([]byte(raw), strings.HasPrefix(raw, "HEAD "))
	if err != nil {
		t.Fatalf("%.80q: %v", raw, err)
	}
	return r
}

// expectEnd checks that the server closes the connection without sending more.
func expectEnd(t *testing.T, c *load.Conn) {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if r, err := c.Read(false); err == nil {
		t.Errorf("the connection goes on: %d %q", r.Status, r.Body)
	} else if ne, ok := err.(net.Error); ok && ne.Timeout() {
		t.Error("the connection stays open")
	}
}

// hello answers with the target.
func hello(c *Call) error {
	_, err := io.WriteString(&c.Response, c.Request.Method+" "+c.Request.Target)
	return err
}

// echo answers with the request's body.
func echo(c *Call) error {
	_, err := io.Copy(&c.Response, c.Request.Body)
	return err
}

func chunked(body string, size int) string {
	var b strings.Builder
	for len(body) > 0 {
		n := min(size, len(body))
		fmt.Fprintf(&b, "%x\r\n%s\r\n", n, body[:n])
		body = body[n:]
	}
	return b.String() + "0\r\n"
}
