package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/appserver-go/appserver/scoreboard"
)

// webSocket is a client's WebSocket.
type webSocket struct {
	net.Conn
	r *bufio.Reader
}

// upgrade is a WebSocket's request, with the key of RFC 6455 §1.3.
const upgrade = "GET /socket HTTP/1.1\r\nHost: test\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

// openSocket opens a WebSocket and sends its first message in one piece with the request.
func (s *appserver) openSocket() *webSocket {
	s.t.Helper()
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		s.t.Fatal(err)
	}
	ws := &webSocket{c, bufio.NewReader(c)}
	if _, err := io.WriteString(c, upgrade+frame("early")); err != nil {
		s.t.Fatal(err)
	}
	head := ""
	for !strings.HasSuffix(head, "\r\n\r\n") {
		line, err := ws.r.ReadString('\n')
		if head += line; err != nil {
			s.t.Fatalf("%q, %v\n%s", head, err, s.log())
		}
	}
	if !strings.HasPrefix(head, "HTTP/1.1 101 ") || !strings.Contains(head, "\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n") {
		s.t.Fatalf("answered with %q", head)
	}
	if got, err := ws.read(); got != "early" || err != nil {
		s.t.Fatalf("the message sent ahead came back as %q, %v", got, err)
	}
	return ws
}

// frame returns a client's frame, masked with "mask".
func frame(message string) string {
	masked := []byte(message)
	for i := range masked {
		masked[i] ^= "mask"[i%4]
	}
	return string([]byte{0x81, byte(0x80 | len(message))}) + "mask" + string(masked)
}

func (ws *webSocket) read() (string, error) {
	head := make([]byte, 2)
	if _, err := io.ReadFull(ws.r, head); err != nil {
		return "", err
	}
	message := make([]byte, head[1])
	_, err := io.ReadFull(ws.r, message)
	return string(message), err
}

// echo sends a message and wants it back.
func (ws *webSocket) echo(t *testing.T, message string) {
	t.Helper()
	if _, err := io.WriteString(ws, frame(message)); err != nil {
		t.Fatal(err)
	}
	if got, err := ws.read(); got != message || err != nil {
		t.Fatalf("%q came back as %q, %v", message, got, err)
	}
}

// upgraded returns how many connections plugins have taken over.
func (s *appserver) upgraded() (n int64) {
	for _, snap := range s.snapshots() {
		n += snap.Counters[scoreboard.WebSockets]
	}
	return n
}

// A WebSocket holds no slot, outlives timeout, is shown on the scoreboard and ends with its client.
func TestWebSocket(t *testing.T) {
	for class, args := range classArgs {
		t.Run(class, func(t *testing.T) {
			s := start(t, append([]string{plugin(t, "app"), "--access-log", "-", "--timeout", "300ms", "--keepalive", "1s"}, args...)...)
			ws := s.openSocket()
			if n := s.upgraded(); n != 1 {
				t.Errorf("%d upgraded connections", n)
			}
			for end := time.Now().Add(1500 * time.Millisecond); time.Now().Before(end); {
				ws.echo(t, "hello")
				s.mustGet("/", 200)
			}
			ws.Close()
			eventually(t, patience, "the end of the WebSocket", func() bool { return s.upgraded() == 0 })
			s.mustGet("/socket", 426)
			s.stop()
			if n := strings.Count(s.out.String(), `"GET /socket HTTP/1.1" 101 - `); n != 1 {
				t.Errorf("%d lines for the WebSocket in the access log:\n%s", n, s.out.String())
			}
			if strings.Contains(s.log(), "written after the switch") {
				t.Error(s.log())
			}
		})
	}
}

func TestSilentWebSocketIsClosed(t *testing.T) {
	s := start(t, plugin(t, "app"), "-w", "1", "--websocket-timeout", "200ms")
	ws := s.openSocket()
	for end := time.Now().Add(600 * time.Millisecond); time.Now().Before(end); {
		ws.echo(t, "awake")
	}
	if got, err := ws.read(); !errors.Is(err, io.EOF) {
		t.Errorf("read %q, %v", got, err)
	}
	eventually(t, patience, "the end of the WebSocket", func() bool { return s.upgraded() == 0 })
}

// A draining worker keeps its WebSockets until the grace is over, and the next generation takes new ones.
func TestWebSocketsAndDrain(t *testing.T) {
	s := start(t, plugin(t, "app"), "-w", "1", "--graceful-timeout", "2s")
	old := s.workers()[0]
	ws := s.openSocket()
	s.signal(syscall.SIGHUP)
	eventually(t, patience, "the next worker", func() bool { w := s.workers(); return len(w) > 0 && w[len(w)-1] != old })
	s.mustGet("/", 200)
	ws.echo(t, "from the old worker")
	if got, err := ws.read(); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("after the grace: read %q, %v", got, err)
	}
	eventually(t, patience, "the end of the old worker", func() bool { return !alive(old) })
	s.openSocket()
	s.stop()
}

// Guests that cannot switch protocols ignore the offer.
func TestUpgradeIsIgnored(t *testing.T) {
	s := start(t, wasm("hello"), "-w", "1")
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, upgrade)
	if line, err := bufio.NewReader(c).ReadString('\n'); line != "HTTP/1.1 200 OK\r\n" || err != nil {
		t.Errorf("%q, %v", line, err)
	}
}

func TestEarlyHints(t *testing.T) {
	s := start(t, plugin(t, "app"), "-w", "1")
	for version, want := range map[string]string{
		"1.1": "HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\nHTTP/1.1 200 OK\r\n",
		"1.0": "HTTP/1.1 200 OK\r\n",
	} {
		c, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprintf(c, "GET /hints HTTP/%s\r\nHost: test\r\nConnection: close\r\n\r\n", version)
		all, err := io.ReadAll(c)
		if err != nil || !strings.HasPrefix(string(all), want) || !strings.Contains(string(all), "\r\nX-Late: 1\r\n") || !strings.HasSuffix(string(all), "\r\n\r\nhinted") {
			t.Errorf("HTTP/%s: %q, %v", version, all, err)
		}
	}
}
