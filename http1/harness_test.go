package http1

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/internal/load"
)

// patience is how long tests wait for what must happen.
const patience = 20 * time.Second

// keep is a keep-alive time that no test reaches.
const keep = time.Minute

// seen is a request as the handler saw it, with copies of all strings.
type seen struct {
	method, target, host, proto, body string
	fields, trailers                  exchange.Fields
	length                            int64
	err                               error // of reading the body
}

func clone(fields exchange.Fields) exchange.Fields {
	var c exchange.Fields
	for _, f := range fields {
		c.Add(strings.Clone(f.Name), strings.Clone(f.Value))
	}
	return c
}

// testServer is a Server that remembers the requests its handler saw.
type testServer struct {
	*Server
	addr string
	pipe chan net.Conn // connections without a descriptor

	mu   sync.Mutex
	seen []seen
}

// start serves with a handler that may return an error, which aborts the response.
func start(t *testing.T, o Options, handle func(*Call) error) *testServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ts := &testServer{addr: l.Addr().String(), pipe: make(chan net.Conn)}
	o.Handler = func(c *Call) {
		r := &c.Request
		s := seen{
			method: strings.Clone(r.Method), target: strings.Clone(r.Target), host: strings.Clone(r.Host), proto: r.Proto,
			fields: clone(r.Fields), length: r.ContentLength,
		}
		ts.note(s)
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
		o.StallTimeout = patience
	}
	ts.Server = New(o)
	served := make(chan error, 1)
	go func() { served <- ts.Serve(&listener{Listener: l, pipe: ts.pipe}) }()
	t.Cleanup(func() {
		l.Close()
		<-served
		ts.Close()
		select {
		case <-ts.Empty():
		case <-time.After(patience):
			t.Error("connections are left after Close")
		}
		noGoroutines(t)
	})
	return ts
}

// listener accepts from a port and from a channel.
type listener struct {
	net.Listener
	pipe     chan net.Conn
	once     sync.Once
	accepted chan any
}

func (l *listener) Accept() (net.Conn, error) {
	l.once.Do(func() {
		l.accepted = make(chan any)
		go func() {
			for {
				nc, err := l.Listener.Accept()
				if err != nil {
					l.accepted <- err
					return
				}
				l.accepted <- nc
			}
		}()
	})
	select {
	case nc := <-l.pipe:
		return nc, nil
	case got := <-l.accepted:
		if nc, ok := got.(net.Conn); ok {
			return nc, nil
		}
		return nil, got.(error)
	}
}

func (ts *testServer) note(s seen) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	ts.seen = append(ts.seen, s)
}

// take returns what the handler saw since the last take.
func (ts *testServer) take() []seen {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	all := ts.seen
	ts.seen = nil
	return all
}

func (ts *testServer) count() int {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	return len(ts.seen)
}

// noGoroutines checks that no connection's goroutine is left.
func noGoroutines(t *testing.T) {
	t.Helper()
	waitFor(t, "goroutines to end", func() bool {
		buf := make([]byte, 1<<20)
		return !bytes.Contains(buf[:runtime.Stack(buf, true)], []byte("http1.(*conn)"))
	})
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

// answer is a response on a connection that was read to its end.
type answer struct {
	status int
	body   string
	close  bool
	raw    *http.Response
}

// talk sends raw, whole over TCP or byte by byte over a pipe, and returns everything that comes back until the server
// closes the connection.
func (ts *testServer) talk(t *testing.T, raw string, byByte bool) []answer {
	t.Helper()
	var client net.Conn
	if byByte {
		var server net.Conn
		client, server = net.Pipe()
		ts.pipe <- server
	} else {
		var err error
		if client, err = net.Dial("tcp", ts.addr); err != nil {
			t.Fatal(err)
		}
	}
	defer client.Close()
	if err := client.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	var sent sync.WaitGroup
	sent.Go(func() {
		if !byByte {
			_, _ = client.Write([]byte(raw)) // fails when the server has refused before the end
			return
		}
		for i := range len(raw) {
			if _, err := client.Write([]byte(raw[i : i+1])); err != nil {
				return
			}
		}
	})
	got, err := io.ReadAll(client)
	sent.Wait()
	if err != nil {
		t.Errorf("the connection ends with %v after %.60q", err, got)
	}
	answers, err := parseAnswers(got, strings.HasPrefix(raw, "HEAD "))
	if err != nil {
		t.Errorf("%v in %.200q", err, got)
	}
	return answers
}

func parseAnswers(got []byte, head bool) (all []answer, err error) {
	r := bufio.NewReader(bytes.NewReader(got))
	for {
		if _, err := r.Peek(1); err != nil {
			return all, nil
		}
		method := "GET"
		if head && len(all) == 0 {
			method = "HEAD"
		}
		resp, err := http.ReadResponse(r, &http.Request{Method: method})
		if err != nil {
			return all, err
		}
		if resp.StatusCode == 100 {
			continue
		}
		body, err := io.ReadAll(resp.Body)
		all = append(all, answer{resp.StatusCode, string(body), resp.Close, resp})
		if err != nil {
			return all, err
		}
	}
}

// expectEnd checks that the server closes the connection without sending more.
func expectEnd(t *testing.T, c *load.Conn) {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if r, err := c.Read(false); err == nil {
		t.Errorf("the connection goes on: %d %q", r.Status, r.Body)
	} else if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
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

func waitFor(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited too long for %s", what)
		}
	}
}
