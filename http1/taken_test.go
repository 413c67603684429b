package http1

import (
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/appserver-go/appserver/exchange"
)

const offer = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"

// takeOver starts a server that gives each connection to a goroutine, which echoes until the end.
func takeOver(t *testing.T, o Options) (*testServer, *atomic.Int64) {
	t.Helper()
	var open atomic.Int64
	o.Upgraded = func(d int) { open.Add(int64(d)) }
	return start(t, o, func(c *Call) error {
		conn, err := c.Response.Hijack()
		if err != nil {
			return err
		}
		if _, err := c.Response.Hijack(); !errors.Is(err, exchange.ErrCommitted) {
			t.Errorf("hijacked again: %v", err)
		}
		if n, err := c.Response.Write([]byte("x")); err == nil {
			t.Errorf("wrote %d bytes after the hijack", n)
		}
		go func() {
			defer conn.Close()
			_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\n\r\n")
			_, _ = io.Copy(conn, conn)
			conn.Close()
		}()
		return nil
	}), &open
}

func TestHijack(t *testing.T) {
	ts, open := takeOver(t, Options{Keepalive: keep})
	// What follows the head is the new protocol's, also when it looks like a request.
	sent := "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n" + strings.Repeat("x", 100_000)
	for _, dial := range []func() net.Conn{
		func() net.Conn { return ts.dial(t).Conn },
		func() net.Conn { client, server := net.Pipe(); ts.pipe <- server; return client },
	} {
		client := dial()
		go func() { _, _ = io.WriteString(client, offer+sent) }()
		want := "HTTP/1.1 101 Switching Protocols\r\n\r\n" + sent
		got := make([]byte, len(want))
		if _, err := io.ReadFull(client, got); err != nil || string(got) != want {
			t.Errorf("%v, %d bytes", err, len(got))
		}
		if n := open.Load(); n != 1 {
			t.Errorf("%d connections are taken over", n)
		}
		client.Close()
		waitFor(t, "the end", func() bool { return open.Load() == 0 })
	}
	if n := len(ts.take()); n != 2 {
		t.Errorf("the handler saw %d requests", n)
	}
}

// Connections that were taken over have no deadline of HTTP's, but end with the server.
func TestHijackedConnectionsEndWithTheServer(t *testing.T) {
	ts, open := takeOver(t, Options{Keepalive: time.Millisecond, HeaderTimeout: 50 * time.Millisecond, StallTimeout: 50 * time.Millisecond})
	if err := ts.dial(t).Send([]byte(offer)); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the hand-over", func() bool { return open.Load() == 1 })
	time.Sleep(150 * time.Millisecond) // longer than any of the timeouts
	if open.Load() != 1 {
		t.Error("a deadline of HTTP's closed the connection")
	}
	ts.CloseIdle()
	ts.Close()
	waitFor(t, "the end", func() bool { return open.Load() == 0 })
}

func TestOffers(t *testing.T) {
	ts := start(t, Options{Keepalive: keep}, func(c *Call) error {
		_, err := io.WriteString(&c.Response, "["+c.Request.Upgrade+"]")
		return err
	})
	for raw, want := range map[string]string{
		offer: "[x]",
		"GET / HTTP/1.1\r\nHost: a\r\nConnection: a, UPGRADE , b\r\nuPGRADE: h2c, websocket/13\r\n\r\n":                  "[h2c, websocket/13]",
		"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\n\r\n":                                                                "[]",
		"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n\r\n":                                                       "[]",
		"GET / HTTP/1.0\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n":                                         "[]",
		"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\nUpgrade: y\r\n\r\n":                           "[]",
		"POST / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\nContent-Length: 1\r\n\r\na":                  "[]",
		"POST / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n": "[]",
	} {
		if r := ts.do(t, raw); r.Status != 200 || string(r.Body) != want {
			t.Errorf("%q: %d %s, want %s", raw, r.Status, r.Body, want)
		}
	}
}

func TestInterimResponses(t *testing.T) {
	ts := start(t, Options{}, func(c *Call) error {
		fields := exchange.Fields{{Name: "Link", Value: "</a>"}, {Name: "Content-Length", Value: "9"}, {Name: "Connection", Value: "x"}}
		err := c.Response.Inform(103, fields)
		if c.Request.Proto == "HTTP/1.0" {
			if !errors.Is(err, exchange.ErrNotSupported) {
				t.Errorf("HTTP/1.0: %v", err)
			}
			err = nil
		}
		for _, bad := range []int{99, 101, 200} {
			if c.Response.Inform(bad, nil) == nil {
				t.Errorf("%d is no interim response for guests", bad)
			}
		}
		if c.Response.Inform(103, exchange.Fields{{Name: "A", Value: "b\r\nc"}}) == nil {
			t.Error("a response was split")
		}
		if err != nil {
			return err
		}
		if err := c.Response.Flush(); err != nil {
			return err
		}
		if err := c.Response.Inform(103, nil); !errors.Is(err, exchange.ErrCommitted) {
			t.Errorf("after the head: %v", err)
		}
		return nil
	})
	for proto, want := range map[string]string{"1.1": "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n", "1.0": "HTTP/1.1 200 OK\r\n"} {
		c := ts.dial(t)
		if err := c.Send([]byte("GET / HTTP/" + proto + "\r\nHost: a\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(c.Conn); err != nil || !strings.HasPrefix(string(got), want) {
			t.Errorf("HTTP/%s: %q, %v", proto, got, err)
		}
	}
}

// A guest cannot keep a client busy with interim responses for ever.
func TestInterimResponsesAreCounted(t *testing.T) {
	n := 0
	ts := start(t, Options{}, func(c *Call) (err error) {
		for err == nil {
			n++
			err = c.Response.Inform(103, nil)
		}
		return nil
	})
	if r := ts.do(t, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"); r.Status != 200 || n != 17 {
		t.Errorf("%d after %d interim responses", r.Status, n)
	}
}
