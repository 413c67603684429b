package http1

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/internal/link"
	"github.com/appserver-go/appserver/internal/link/linktest"
	"github.com/appserver-go/appserver/internal/load"
)

// startTLS is start behind TLS; it returns the client's settings, too.
func startTLS(t *testing.T, o Options, handle func(*Call) error) (*testServer, *tls.Config) {
	t.Helper()
	ca := linktest.NewAuthority(t)
	config := ca.Server(t, "http/1.1")
	door := &link.Door{TLS: func() *tls.Config { return config }}
	o.Open = func(nc net.Conn, until time.Time) *link.Link {
		l, err := door.Open(nc, until)
		if err != nil {
			return nil
		}
		return l
	}
	return start(t, o, handle), ca.Client("http/1.1")
}

func dialTLS(t *testing.T, ts *testServer, config *tls.Config) *load.Conn {
	t.Helper()
	c, err := load.DialTLS(t.Context(), ts.addr, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestTLSKeepAliveAndPipelining(t *testing.T) {
	ts, config := startTLS(t, Options{Keepalive: keep}, func(c *Call) error {
		_, err := io.WriteString(&c.Response, c.Request.Scheme+" "+c.Request.Target)
		return err
	})
	c := dialTLS(t, ts, config)
	raw := ""
	for _, target := range []string{"/1", "/2", "https://a/3"} {
		raw += "GET " + target + " HTTP/1.1\r\nHost: a\r\n\r\n"
	}
	for range 2 {
		if err := c.Send([]byte(raw)); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"https /1", "https /2", "https /3"} {
			if r, err := c.Read(false); err != nil || string(r.Body) != want || r.Close {
				t.Fatalf("got %+v %v, want %q", r, err, want)
			}
		}
	}
	if r, err := c.Do([]byte("GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n"), false); err != nil || r.Status != 421 {
		t.Errorf("a target with the scheme http: %+v %v", r, err)
	}
}

// A request byte by byte is one record for each byte; bodies larger than a record and all buffers go both ways.
func TestTLSRecords(t *testing.T) {
	ts, config := startTLS(t, Options{Keepalive: keep}, echo)
	c := dialTLS(t, ts, config)
	for _, b := range "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc" {
		if err := c.Send([]byte(string(b))); err != nil {
			t.Fatal(err)
		}
	}
	if r, err := c.Read(false); err != nil || string(r.Body) != "abc" {
		t.Fatalf("%+v %v", r, err)
	}
	body := strings.Repeat("0123456789abcdef", 20<<10)
	go c.Write([]byte("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(body, 10_000) + "\r\n"))
	if r, err := c.Read(false); err != nil || string(r.Body) != body {
		t.Fatalf("%d bytes, %v", len(r.Body), err)
	}
}

// The end of a response that is whole is told apart from one that is cut off.
func TestTLSEnds(t *testing.T) {
	ts, config := startTLS(t, Options{Keepalive: keep}, func(c *Call) error {
		if _, err := io.WriteString(&c.Response, "part"); err != nil {
			return err
		}
		if c.Request.Target == "/cut" {
			return errors.Join(c.Response.Flush(), exchange.Fail(500, exchange.Internal, "cut"))
		}
		return nil
	})
	for target, want := range map[string]error{"/whole": nil, "/cut": io.ErrUnexpectedEOF} {
		c := dialTLS(t, ts, config)
		if err := c.Send([]byte("GET " + target + " HTTP/1.0\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(c.Conn); want == nil && err != nil || want != nil && err == nil {
			t.Errorf("%s ends with %v", target, err)
		}
	}
}

// Deadlines that are armed lazily must not break a TLS connection that is within its times.
func TestTLSOutlivesEarlyDeadlines(t *testing.T) {
	const stall = 50 * time.Millisecond
	ts, config := startTLS(t, Options{Keepalive: keep, StallTimeout: stall}, func(c *Call) error {
		for range 6 {
			if _, err := c.Response.Write(make([]byte, exchange.BufferSize)); err != nil {
				return err
			}
			time.Sleep(stall / 2) // each write has a stall's time of its own, and all together take longer
		}
		return nil
	})
	c := dialTLS(t, ts, config)
	for range 2 {
		if r, err := c.Do([]byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), false); err != nil || len(r.Body) != 6*exchange.BufferSize {
			t.Fatalf("%v", err)
		}
	}
}

// A handshake that does not come to its end is cut off at the time of a head, and until then it is nobody's request.
func TestTLSHandshakeIsBounded(t *testing.T) {
	ts, _ := startTLS(t, Options{Keepalive: keep, HeaderTimeout: 100 * time.Millisecond}, hello)
	for _, part := range []string{"", "\x16\x03\x01"} {
		c := ts.dial(t)
		if _, err := c.Write([]byte(part)); err != nil {
			t.Fatal(err)
		}
		expectEnd(t, c)
	}
	if n := ts.count(); n > 0 {
		t.Errorf("%d requests", n)
	}
}

func TestPlainHTTPOnTLSPort(t *testing.T) {
	ts, _ := startTLS(t, Options{Keepalive: keep}, hello)
	if r := ts.do(t, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"); r.Status != 400 || !strings.Contains(string(r.Body), "https") {
		t.Errorf("%+v %s", r, r.Body)
	}
}

// What was read ahead of HTTP is read as HTTP, whatever its size.
func TestEarlyBytes(t *testing.T) {
	ts := start(t, Options{Keepalive: keep, Open: func(nc net.Conn, _ time.Time) *link.Link {
		l := link.Plain(nc)
		buf := make([]byte, 10_000)
		n, err := io.ReadFull(nc, buf)
		if err != nil {
			return nil
		}
		l.Early, l.Remote = buf[:n], "1.2.3.4:5"
		return l
	}}, func(c *Call) error {
		_, err := io.WriteString(&c.Response, c.Request.RemoteAddr+" "+c.Request.Target)
		return err
	})
	c := ts.dial(t)
	var raw strings.Builder
	n := 0
	for ; raw.Len() < 10_000; n++ {
		raw.WriteString("GET /" + strings.Repeat("x", 200) + " HTTP/1.1\r\nHost: a\r\n\r\n")
	}
	if err := c.Send([]byte(raw.String())); err != nil {
		t.Fatal(err)
	}
	for range n {
		if r, err := c.Read(false); err != nil || !strings.HasPrefix(string(r.Body), "1.2.3.4:5 /xx") {
			t.Fatalf("%+v %v", r, err)
		}
	}
}

// A guest that takes a connection over gets what is inside TLS, the bytes that came early as well.
func TestTLSConnectionIsTakenOver(t *testing.T) {
	ts, config := startTLS(t, Options{Keepalive: keep}, func(c *Call) error {
		nc, err := c.Response.Hijack()
		if err != nil {
			return err
		}
		defer nc.Close()
		if _, err := io.WriteString(nc, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"); err != nil {
			return err
		}
		_, err = io.CopyN(nc, nc, 10)
		return err
	})
	c := dialTLS(t, ts, config)
	if err := c.Send([]byte("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nearly")); err != nil {
		t.Fatal(err)
	}
	if err := c.Send([]byte("later")); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(c.Conn)
	if err != nil || !strings.HasPrefix(string(got), "HTTP/1.1 101 ") || !strings.HasSuffix(string(got), "\r\n\r\nearlylater") {
		t.Errorf("%q %v", got, err)
	}
}
