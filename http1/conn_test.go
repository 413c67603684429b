package http1

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/appserver-go/appserver/exchange"
)

const getRoot = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

func TestKeepaliveRequests(t *testing.T) {
	ts := start(t, Options{Keepalive: keep, KeepaliveRequests: 3}, hello)
	c := ts.dial(t)
	for i := range 3 {
		r, err := c.Do([]byte(getRoot), false)
		if err != nil || r.Status != 200 || r.Close != (i == 2) {
			t.Fatalf("request %d: %+v %v", i, r, err)
		}
	}
	expectEnd(t, c)
}

func TestOldClientsCanKeepTheirConnection(t *testing.T) {
	ts := start(t, Options{Keepalive: keep}, hello)
	c := ts.dial(t)
	for range 2 {
		r, err := c.Do([]byte("GET /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"), false)
		if err != nil || string(r.Body) != "GET /x" || r.Close || r.Get("connection") != "keep-alive" {
			t.Fatalf("got %+v %v", r, err)
		}
	}
	r, err := c.Do([]byte("GET /x HTTP/1.0\r\n\r\n"), false)
	if err != nil || !r.Close {
		t.Fatalf("got %+v %v", r, err)
	}
	expectEnd(t, c)
}

// Many requests that arrive at once are answered in order, although they do not fit the buffer.
func TestDeepPipeline(t *testing.T) {
	const n = 2000
	ts := start(t, Options{Keepalive: keep}, echo)
	var raw strings.Builder
	for range n {
		raw.WriteString("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
		raw.WriteString("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nde\r\n0\r\nX: y\r\n\r\n")
	}
	raw.WriteString("GET /end HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
	for _, byByte := range []bool{false, true} {
		answers := ts.talk(t, raw.String(), byByte)
		if len(answers) != 2*n+1 {
			t.Fatalf("%d answers", len(answers))
		}
		for i, a := range answers[:2*n] {
			if want := [...]string{"abc", "de"}[i%2]; a.status != 200 || a.body != want {
				t.Fatalf("answer %d: %+v", i, a)
			}
		}
	}
}

// A response in the way of the client's reading does not make the server take in more requests.
func TestPipelineIsNotBufferedWithoutBound(t *testing.T) {
	release := make(chan struct{})
	ts := start(t, Options{Keepalive: keep}, func(c *Call) error { <-release; return hello(c) })
	c := ts.dial(t)
	if err := c.Conn.(*net.TCPConn).SetWriteBuffer(16 << 10); err != nil {
		t.Fatal(err)
	}
	if err := c.SetWriteDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	block := []byte(strings.Repeat(getRoot, 4000))
	var err error
	for range 1000 { // 100 MB
		if _, err = c.Conn.Write(block); err != nil {
			break
		}
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the server took everything: %v", err)
	}
	close(release)
}

func TestExpectContinueWaitsForTheGuest(t *testing.T) {
	ts := start(t, Options{Keepalive: keep}, hello)
	c := ts.dial(t)
	r, err := c.Do([]byte("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"), false)
	if err != nil || r.Status != 200 || !r.Close {
		t.Errorf("a guest that does not read: %+v %v", r, err) // without an interim response, or Read would have skipped one
	}
	// A client that does not wait gets no interim response.
	got := ts.talk(t, "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello", false)
	if len(got) != 1 || got[0].status != 200 {
		t.Errorf("got %+v", got)
	}
}

func TestHeadTimeouts(t *testing.T) {
	ts := start(t, Options{Keepalive: keep, HeaderTimeout: 50 * time.Millisecond}, hello)
	silent := ts.dial(t)
	expectEnd(t, silent)
	slow := ts.dial(t)
	if r, err := slow.Do([]byte("GET / HTTP/1.1\r\nHos"), false); err != nil || r.Status != 408 || !r.Close {
		t.Errorf("a new connection's half head: %+v %v", r, err)
	}
	used := ts.dial(t)
	if _, err := used.Do([]byte(getRoot), false); err != nil {
		t.Fatal(err)
	}
	time.Sleep(100 * time.Millisecond) // idle for longer than a head may take
	if r, err := used.Do([]byte("GET"), false); err != nil || r.Status != 408 {
		t.Errorf("a used connection's half head: %+v %v", r, err)
	}
}

func TestIdleConnectionsEnd(t *testing.T) {
	ts := start(t, Options{Keepalive: 50 * time.Millisecond, HeaderTimeout: patience}, hello)
	c := ts.dial(t)
	if r, err := c.Do([]byte(getRoot), false); err != nil || r.Close {
		t.Fatalf("got %+v %v", r, err)
	}
	expectEnd(t, c)
}

func TestShortHeadIsRefused(t *testing.T) {
	ts := start(t, Options{Keepalive: keep, HeaderTimeout: patience}, hello)
	c := ts.dial(t)
	if err := c.Send([]byte("GET / HTTP/1.1\r\nHost: a\r\n")); err != nil {
		t.Fatal(err)
	}
	if err := c.Conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if r, err := c.Read(false); err != nil || r.Status != 400 || !r.Close {
		t.Errorf("got %+v %v", r, err)
	}
	if ts.count() != 0 {
		t.Error("half a head is a request")
	}
}

func TestRefusedIsTold(t *testing.T) {
	type refusal struct {
		target string
		status int
		cause  string
	}
	told := make(chan refusal, 1)
	ts := start(t, Options{Keepalive: keep, Limits: tableLimits, Refused: func(x *exchange.Exchange, status int, cause string) {
		told <- refusal{strings.Clone(x.Request.Target), status, cause}
	}}, hello)
	ts.do(t, "GET /x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
	if got := <-told; got != (refusal{"/x", 400, "more than one Host"}) {
		t.Errorf("told %+v", got)
	}
}

func TestPanicEndsItsConnectionOnly(t *testing.T) {
	ts := start(t, Options{Keepalive: keep}, func(c *Call) error {
		if c.Request.Target == "/panic" {
			panic("a bug")
		}
		return hello(c)
	})
	if r, err := ts.dial(t).Do([]byte("GET /panic HTTP/1.1\r\nHost: a\r\n\r\n"), false); err == nil {
		t.Errorf("got %+v", r)
	}
	if r := ts.do(t, getRoot); r.Status != 200 {
		t.Errorf("afterwards: %+v", r)
	}
}

// The guest's Date, Server, framing and connection fields are the front end's business.
func TestResponseHead(t *testing.T) {
	ts := start(t, Options{Keepalive: keep}, func(c *Call) error {
		c.Response.Status = 299
		c.Response.Fields = exchange.Fields{{Name: "date", Value: "x"}, {Name: "SERVER", Value: "x"}, {Name: "X-a", Value: "1"}, {Name: "x-A", Value: ""}, {Name: "Connection", Value: "close"}}
		return nil
	})
	r := ts.do(t, getRoot)
	date, err := time.Parse(dateLayout, r.Get("date"))
	if err != nil || time.Since(date).Abs() > patience {
		t.Errorf("date %q: %v", r.Get("date"), err)
	}
	if r.Status != 299 || r.Close || r.Get("server") != "appserver" || r.Get("content-length") != "0" || len(r.Header) != 5 {
		t.Errorf("got %+v", r)
	}
}

// Large and slowly written responses arrive whole whatever their framing.
func TestResponsesOfAllSizes(t *testing.T) {
	for _, size := range []int{0, 1, exchange.BufferSize - 1, exchange.BufferSize, exchange.BufferSize + 1, outSize, 100_000, 5_000_000} {
		for _, piece := range []int{1000, exchange.BufferSize, 10_000_000} {
			t.Run(fmt.Sprint(size, " in ", piece), func(t *testing.T) { testResponse(t, size, piece) })
		}
	}
}

func testResponse(t *testing.T, size, piece int) {
	ts := start(t, Options{Keepalive: keep}, func(c *Call) error {
		block := []byte(strings.Repeat("x", min(piece, max(size, 1))))
		for left := size; left > 0; {
			n, err := c.Response.Write(block[:min(left, len(block))])
			if err != nil {
				return err
			}
			left -= n
		}
		return nil
	})
	for _, proto := range []string{"HTTP/1.0", "HTTP/1.1"} {
		r := ts.do(t, "GET / "+proto+"\r\nHost: a\r\n\r\n")
		if r.Status != 200 || len(r.Body) != size || strings.Trim(string(r.Body), "x") != "" {
			t.Errorf("%s: got %d bytes", proto, len(r.Body))
		}
	}
}

// A deadline that is armed too early on purpose neither cuts short nor lets wait too long.
func TestLazyDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		defer client.Close()
		s := New(Options{})
		c := newConn(server, s)
		armed := 0
		c.readBy.set = func(t time.Time) error { armed++; return server.SetReadDeadline(t) }
		buf := make([]byte, 1)
		for range 100 { // a request every 100 ms, idle for 5 s at most
			go client.Write([]byte("x"))
			c.readBy.at(after(s.now(), 5*time.Second), s.epoch)
			if _, err := c.read(buf); err != nil {
				t.Fatal(err)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if armed > 4 {
			t.Errorf("the deadline was armed %d times in 10 s", armed)
		}
		for _, d := range []time.Duration{5 * time.Second, 30 * time.Second, time.Second, 10 * time.Second} {
			begin := time.Now()
			c.readBy.at(after(s.now(), d), s.epoch)
			if _, err := c.read(buf); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatal(err)
			}
			if took := time.Since(begin); took != d {
				t.Errorf("a deadline of %v took %v", d, took)
			}
		}
		c.readBy.at(0, s.epoch)
		go func() { time.Sleep(time.Hour); client.Close() }()
		if _, err := c.read(buf); !errors.Is(err, io.EOF) {
			t.Errorf("without a deadline: %v", err)
		}
	})
}

// A request through parser, exchange and response allocates nothing once the connection has warmed up.
func TestSteadyStateAllocatesNothing(t *testing.T) {
	for name, raw := range map[string]string{
		"GET":  "GET /a?b=c HTTP/1.1\r\nHost: a\r\nUser-Agent: x\r\nAccept: */*\r\nCookie: a=b\r\nConnection: keep-alive\r\n\r\n",
		"POST": "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: a/b\r\nContent-Length: 10\r\n\r\n0123456789",
	} {
		t.Run(name, func(t *testing.T) {
			client, server := net.Pipe()
			defer client.Close()
			body := []byte("hello, world\n")
			read := make([]byte, 64)
			c := newConn(server, New(Options{
				Keepalive: keep, HeaderTimeout: keep, StallTimeout: keep, PrefetchTimeout: keep, Limits: Limits{RequestLine: 8190, Fields: 100, FieldSize: 8190, Body: 1 << 20},
				Handler: func(c *Call) {
					for {
						if _, err := c.Request.Body.Read(read); err != nil {
							break
						}
					}
					c.Response.Fields.Add("Content-Type", "text/plain")
					_, err := c.Response.Write(body)
					if err == nil {
						err = c.Response.Finish()
					}
					if err != nil {
						t.Error(err)
					}
				},
			}))
			request, response := []byte(raw), make([]byte, 1000)
			turn, done := make(chan struct{}), make(chan struct{})
			go func() {
				for range turn {
					client.Write(request)
					client.Read(response)
					done <- struct{}{}
				}
			}()
			defer close(turn)
			n := testing.AllocsPerRun(200, func() {
				turn <- struct{}{}
				if again, _ := c.next(); !again {
					t.Error("the connection ends")
				}
				<-done
			})
			if n != 0 && !raceEnabled {
				t.Errorf("%v allocations per request", n)
			}
			if !strings.HasPrefix(string(response), "HTTP/1.1 200 OK\r\n") || !strings.Contains(string(response), "\r\n\r\nhello, world\n") {
				t.Errorf("response %q", response)
			}
		})
	}
}
