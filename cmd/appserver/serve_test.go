package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/appserver-go/appserver/internal/load"
)

// classArgs are the argument lists that select each worker class.
var classArgs = map[string][]string{
	"sync":     {"--worker-class", "sync", "--workers", "2"},
	"threaded": {"--worker-class", "threaded", "--workers", "2", "--threads", "4"},
}

// binds are the kinds of address a server can have.
func binds(t *testing.T) map[string]string {
	return map[string]string{
		"tcp":  "127.0.0.1:0",
		"tcp6": "[::1]:0",
		"unix": "unix:" + filepath.Join(t.TempDir(), "s"),
	}
}

func TestHelloInEveryClassOverEverySocket(t *testing.T) {
	for class, args := range classArgs {
		for kind, bind := range binds(t) {
			t.Run(class+"/"+kind, func(t *testing.T) {
				t.Parallel()
				s := start(t, append([]string{wasm("hello"), "--bind", bind}, args...)...)
				for range 20 {
					resp := s.mustGet("/", 200)
					if string(resp.Body) != "Hello from WebAssembly!\n" {
						t.Fatalf("body %q", resp.Body)
					}
					if resp.Get("content-length") != "24" || resp.Get("server") == "" || resp.Get("date") == "" {
						t.Fatalf("head %v", resp.Header)
					}
				}
				s.stop()
			})
		}
	}
}

func TestEchoBodies(t *testing.T) {
	big := make([]byte, 1<<20)
	rand.Read(big)
	bodies := map[string][]byte{"empty": nil, "one": {'x'}, "big": big}
	for class, args := range classArgs {
		t.Run(class, func(t *testing.T) {
			t.Parallel()
			s := start(t, append([]string{wasm("echo")}, args...)...)
			for name, body := range bodies {
				for _, chunked := range []bool{false, true} {
					checkEcho(t, s, name, body, chunked)
				}
			}
			s.stop()
		})
	}
}

func checkEcho(t *testing.T, s *appserver, name string, body []byte, chunked bool) {
	t.Helper()
	head := "POST /echo/" + name + "?q=1 HTTP/1.1\r\nHost: test\r\nConnection: close\r\n"
	raw := head + fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body)
	if chunked {
		raw = head + "Transfer-Encoding: chunked\r\n\r\n" + chunks(body)
	}
	resp, err := load.Do(context.Background(), s.addr, raw)
	if err != nil {
		t.Fatalf("%s (chunked %v): %v", name, chunked, err)
	}
	if resp.Status != 200 || string(resp.Body) != string(body) {
		t.Errorf("%s (chunked %v): status %d, %d bytes of %d come back", name, chunked, resp.Status, len(resp.Body), len(body))
	}
	if resp.Get("x-method") != "POST" || resp.Get("x-target") != "/echo/"+name+"?q=1" {
		t.Errorf("%s: method %q, target %q", name, resp.Get("x-method"), resp.Get("x-target"))
	}
}

// chunks encodes a body in chunks of odd sizes.
func chunks(body []byte) string {
	var b strings.Builder
	for size := 1; len(body) > 0; size = size*3 + 1 {
		n := min(size, len(body))
		fmt.Fprintf(&b, "%x\r\n%s\r\n", n, body[:n])
		body = body[n:]
	}
	b.WriteString("0\r\n\r\n")
	return b.String()
}

// A trapped instance must never be used again: after three traps a thousand requests in a row are good.
func TestGoodRequestsAfterTraps(t *testing.T) {
	for class, args := range classArgs {
		t.Run(class, func(t *testing.T) {
			t.Parallel()
			s := start(t, append([]string{wasm("hostile")}, args...)...)
			for range 3 {
				resp := s.mustGet("/trap", 500)
				if strings.Contains(string(resp.Body), "unreachable") {
					t.Errorf("the client sees the guest's trap: %q", resp.Body)
				}
			}
			report := load.Run(context.Background(), load.Plan{
				Addr: s.addr, Clients: 4, Requests: 250, KeepAlive: true,
				Raw:   "GET / HTTP/1.1\r\nHost: test\r\n\r\n",
				Check: load.Status(200),
			})
			if report.Done != 1000 || report.Bad != 0 || report.Lost != 0 {
				t.Errorf("after the traps: %s", report)
			}
			s.awaitRecord("the trap with its stack", func(r record) bool {
				return r.text("reason") == "trap" && strings.Contains(r.text("stack"), "handle_request") && r.text("request_id") != ""
			})
			s.stop()
		})
	}
}

func TestHostileResponsesBecome502(t *testing.T) {
	s := start(t, append([]string{wasm("hostile")}, classArgs["threaded"]...)...)
	for _, path := range []string{
		"/headers", "/headers?crlf", "/headers?nul", "/headers?many", "/headers?big",
		"/status?0", "/status?99", "/status?101", "/status?1000",
	} {
		resp := s.mustGet(path, 502)
		for _, f := range resp.Header {
			if strings.Contains(f[0], "x-injected") || strings.Contains(f[0], "evil") {
				t.Errorf("%s: field %q got through", path, f)
			}
		}
	}
	s.mustGet("/", 200)
	s.stop()
}

func TestBigResponseStreams(t *testing.T) {
	s := start(t, append([]string{wasm("hostile"), "--timeout", "60"}, classArgs["threaded"]...)...)
	c, err := load.Dial(t.Context(), s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Send([]byte("GET /big HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	got, peak := drainMeasuring(t, c, s)
	if got < 1<<30 {
		t.Errorf("%d bytes of 1 GiB arrived", got)
	}
	if peak > 200<<20 {
		t.Errorf("a worker held %d MiB while it streamed", peak>>20)
	}
	s.mustGet("/", 200)
	s.stop()
}
