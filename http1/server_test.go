package http1

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/internal/httprules"
)

func TestKeepAliveAndPipelining(t *testing.T) {
	ts := start(t, Options{Keepalive: keep}, hello)
	c := ts.dial(t)
	one := "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n"
	if err := c.Send([]byte(one + strings.Replace(one, "/1", "/2", 1))); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"GET /1", "GET /2"} {
		r, err := c.Read(false)
		if err != nil || string(r.Body) != want || r.Close {
			t.Fatalf("got %+v %v, want %q and an open connection", r, err, want)
		}
		if r.Get("server") != httprules.ServerName || r.Get("date") == "" || r.Get("content-type") != "" {
			t.Errorf("fields %v", r.Header)
		}
	}
}

func TestConnectionsThatEnd(t *testing.T) {
	tests := []struct {
		name, raw string
		keepalive time.Duration
	}{
		{"keepalive 0", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 0},
		{"asked to", "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", keep},
		{"HTTP/1.0", "GET / HTTP/1.0\r\n\r\n", keep},
		{"unread large body", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 70000\r\n\r\n", keep},
		{"unread chunks", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", keep},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ts := start(t, Options{Keepalive: tt.keepalive}, hello)
			c := ts.dial(t)
			if err := c.Send([]byte(tt.raw + "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")); err != nil {
				t.Fatal(err)
			}
			r, err := c.Read(false)
			if err != nil || r.Status != 200 || !r.Close {
				t.Fatalf("got %+v %v", r, err)
			}
			expectEnd(t, c)
			if n := len(ts.take()); n != 1 {
				t.Errorf("the handler saw %d requests", n)
			}
		})
	}
}

func TestCloseConnections(t *testing.T) {
	ts := start(t, Options{Keepalive: keep}, hello)
	c := ts.dial(t)
	get := []byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	if r, err := c.Do(get, false); err != nil || r.Close {
		t.Fatalf("got %+v %v", r, err)
	}
	ts.CloseConnections()
	if r, err := c.Do(get, false); err != nil || !r.Close {
		t.Fatalf("the idle connection's next request got %+v %v", r, err)
	}
	expectEnd(t, c)
}

func TestCloseIdle(t *testing.T) {
	release := make(chan struct{})
	ts := start(t, Options{Keepalive: keep}, func(c *Call) error {
		if c.Request.Target == "/slow" {
			if err := c.Response.Flush(); err != nil {
				return err
			}
			<-release
		}
		return hello(c)
	})
	idle, busy := ts.dial(t), ts.dial(t)
	if _, err := idle.Do([]byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), false); err != nil {
		t.Fatal(err)
	}
	if err := busy.Send([]byte("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the slow request", func() bool { return ts.count() == 2 })
	waitFor(t, "the idle state", func() bool {
		ts.Server.mu.Lock()
		defer ts.Server.mu.Unlock()
		for c := range ts.conns {
			if c.idle.Load() {
				return true
			}
		}
		return false
	})
	ts.CloseIdle()
	expectEnd(t, idle)
	close(release)
	if r, err := busy.Read(false); err != nil || string(r.Body) != "GET /slow" {
		t.Fatalf("the busy connection got %+v %v", r, err)
	}
	expectEnd(t, busy)
}

func TestHeadAndBodylessStatus(t *testing.T) {
	ts := start(t, Options{Keepalive: keep}, func(c *Call) error {
		if c.Request.Target == "/204" {
			c.Response.Status = 204
			return nil
		}
		return hello(c)
	})
	r := ts.do(t, "HEAD /x HTTP/1.1\r\nHost: a\r\n\r\n")
	if r.Status != 200 || r.Get("content-length") != "7" || r.Close {
		t.Errorf("HEAD: %+v", r)
	}
	c := ts.dial(t)
	for range 2 {
		r, err := c.Do([]byte("GET /204 HTTP/1.1\r\nHost: a\r\n\r\n"), false)
		if err != nil || r.Status != 204 || r.Get("content-length") != "" || r.Get("transfer-encoding") != "" || r.Close {
			t.Errorf("204: %+v %v", r, err)
		}
	}
}

func TestEcho(t *testing.T) {
	body := strings.Repeat("0123456789abcdef", 1<<16) // 1 MiB
	ts := start(t, Options{Keepalive: keep}, echo)
	for name, raw := range map[string]string{
		"small":   "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
		"length":  "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1048576\r\n\r\n" + body,
		"chunked": "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(body, 10000) + "\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			want := body
			if name == "small" {
				want = "hello"
			}
			r := ts.do(t, raw)
			if r.Status != 200 || string(r.Body) != want {
				t.Errorf("status %d, %d bytes", r.Status, len(r.Body))
			}
			if name == "small" && r.Close {
				t.Error("a request with a small body ends its connection")
			}
			if name != "small" && !r.Close {
				t.Error("the head went out before the body was read, and promises another request")
			}
		})
	}
}

func TestTrailers(t *testing.T) {
	ts := start(t, Options{Keepalive: keep}, func(c *Call) error {
		if err := echo(c); err != nil {
			return err
		}
		if err := c.Response.Flush(); err != nil {
			return err
		}
		c.Response.Trailers = append(c.Response.Trailers, c.Request.Trailers...)
		return nil
	})
	raw := "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n" + chunked("data", 4) +
		"X-Sum: 42\r\nX_Sum: 43\r\n\r\n"
	r := ts.do(t, raw)
	if string(r.Body) != "data" || len(r.Trailer) != 1 || r.Trailer[0] != [2]string{"x-sum", "42"} {
		t.Errorf("body %q, trailers %v", r.Body, r.Trailer)
	}
}

func TestAbortLeavesABrokenResponse(t *testing.T) {
	tests := []struct {
		name, proto string
		length      bool
	}{{"chunked", "HTTP/1.1", false}, {"length", "HTTP/1.1", true}, {"close-delimited", "HTTP/1.0", false}}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ts := start(t, Options{Keepalive: keep}, func(c *Call) error {
				if tt.length {
					c.Response.Fields.Add("Content-Length", "100000")
				}
				if _, err := io.WriteString(&c.Response, "part"); err != nil {
					return err
				}
				if err := c.Response.Flush(); err != nil {
					return err
				}
				return errors.New("the guest failed")
			})
			r, err := ts.dial(t).Do([]byte("GET / "+tt.proto+"\r\nHost: a\r\n\r\n"), false)
			if err == nil {
				t.Errorf("the client takes a part for the whole: %+v", r)
			}
		})
	}
}

func TestClientCutsItsBodyShort(t *testing.T) {
	for name, raw := range map[string]string{
		"small": "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc",
		"large": "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nabc",
		"chunk": "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
	} {
		t.Run(name, func(t *testing.T) {
			seen := make(chan error, 1)
			ts := start(t, Options{Keepalive: keep}, func(c *Call) error {
				_, err := io.Copy(io.Discard, c.Request.Body)
				seen <- err
				if c.BodyErr() == nil {
					t.Error("BodyErr is nil")
				}
				c.Response.Replace(exchange.AsFailure(err).Status, "text/plain", "")
				return nil
			})
			c := ts.dial(t)
			if err := c.Send([]byte(raw)); err != nil {
				t.Fatal(err)
			}
			if err := c.Conn.(*net.TCPConn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			r, err := c.Read(false)
			if err != nil || r.Status != 400 {
				t.Fatalf("got %+v %v", r, err)
			}
			if name == "small" {
				if n := len(ts.take()); n != 0 {
					t.Errorf("the handler saw %d requests with half a body", n)
				}
				return
			}
			if err := <-seen; !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("the handler saw %v", err)
			}
		})
	}
}

func TestStalledBody(t *testing.T) {
	for name, length := range map[string]string{"small": "10", "large": "1000000"} {
		t.Run(name, func(t *testing.T) {
			ts := start(t, Options{Keepalive: keep, StallTimeout: 50 * time.Millisecond}, func(c *Call) error {
				_, err := io.Copy(io.Discard, c.Request.Body)
				c.Response.Replace(exchange.AsFailure(err).Status, "text/plain", "")
				return nil
			})
			r := ts.do(t, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: "+length+"\r\n\r\nabc")
			if r.Status != 408 || !r.Close {
				t.Errorf("got %+v", r)
			}
		})
	}
}

func TestDeadlineBoundsReading(t *testing.T) {
	ts := start(t, Options{Keepalive: keep}, func(c *Call) error {
		c.SetDeadline(time.Now().Add(50 * time.Millisecond))
		_, err := io.Copy(io.Discard, c.Request.Body)
		c.SetDeadline(time.Time{})
		c.Response.Replace(exchange.AsFailure(err).Status, "text/plain", "")
		return nil
	})
	r := ts.do(t, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nabc")
	if r.Status != 408 {
		t.Errorf("got %+v", r)
	}
}

func TestStalledReader(t *testing.T) {
	failed := make(chan error, 1)
	ts := start(t, Options{Keepalive: keep, StallTimeout: 50 * time.Millisecond}, func(c *Call) error {
		block := make([]byte, 64<<10)
		for {
			if _, err := c.Response.Write(block); err != nil {
				failed <- err
				return err
			}
		}
	})
	c := ts.dial(t)
	if err := c.Send([]byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-failed:
		if f := exchange.AsFailure(err); f.Status != httprules.StatusClientGone || f.Reason != exchange.Canceled {
			t.Errorf("failed with %+v", f)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("a client that does not read holds the handler")
	}
}

func TestHalfCloseDoesNotEndTheRequest(t *testing.T) {
	ts := start(t, Options{Keepalive: keep}, hello)
	c := ts.dial(t)
	if err := c.Send([]byte("GET /half HTTP/1.1\r\nHost: a\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	if err := c.Conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if r, err := c.Read(false); err != nil || string(r.Body) != "GET /half" {
		t.Errorf("got %+v %v", r, err)
	}
}

func TestExpectContinue(t *testing.T) {
	ts := start(t, Options{Keepalive: keep}, echo)
	c := ts.dial(t)
	if err := c.Send([]byte("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	interim := make([]byte, len("HTTP/1.1 100 Continue\r\n\r\n"))
	if _, err := io.ReadFull(c.Conn, interim); err != nil || !strings.HasPrefix(string(interim), "HTTP/1.1 100 ") {
		t.Fatalf("interim response %q %v", interim, err)
	}
	if r, err := c.Do([]byte("hello"), false); err != nil || string(r.Body) != "hello" {
		t.Errorf("got %+v %v", r, err)
	}
}

// The client sends a body that nobody reads and reads the response only then: closing must not reset it away.
func TestUnreadBodyDoesNotCostTheResponse(t *testing.T) {
	ts := start(t, Options{Keepalive: keep}, hello)
	for range 20 {
		c := ts.dial(t)
		head := "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n"
		if err := c.Send([]byte(head + strings.Repeat("x", 50000))); err != nil {
			t.Fatal(err)
		}
		waitFor(t, "the handler", func() bool { return ts.count() > 0 })
		_ = c.Send([]byte(strings.Repeat("x", 10000))) // may hit a closed connection
		r, err := c.Read(false)
		if err != nil || r.Status != 200 || !r.Close {
			t.Fatalf("got %+v %v", r, err)
		}
	}
}
