package main

import (
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/appserver-go/appserver/internal/load"
)

// A guest that waits for the host, which waits for a client, has its request's time and not a client's: whichever way
// guests are interrupted, and even if they are not. The instance and its worker serve on.
func TestWaitsForClientsEndWithTheRequest(t *testing.T) {
	for abi, guest := range map[string][]string{
		"http-wasm": {wasm("echo")},
		"cgi":       {wasm("cgiecho")},
		"stdio":     {wasm("stdioecho"), "--guest-protocol", "stdio", "--guest-isolation", "shared"},
	} {
		for _, way := range []string{"fuel", "close", "off"} {
			t.Run(abi+"/"+way, func(t *testing.T) {
				t.Parallel()
				s := start(t, append(slices.Clone(guest), "--limit-request-body", "0", "-w", "1", "-k", "threaded", "--threads", "2", "--timeout", "1", "--abort-grace", "20",
					"--guest-interrupt", way)...)
				before := s.workers()
				var both sync.WaitGroup
				both.Go(func() { trickleBody(t, s) })
				both.Go(func() { takeNothing(t, s) })
				both.Wait()
				for range 4 { // both threads, and both of them again
					resp, err := load.Do(t.Context(), s.addr, "POST /echo HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: 6\r\n\r\nhello.")
					if err != nil || resp.Status != 200 || !strings.HasSuffix(string(resp.Body), "hello.") {
						t.Errorf("afterwards: %v, %v", resp, err)
					}
				}
				if after := s.workers(); !sameInts(before, after) {
					t.Errorf("workers were %v and are %v", before, after)
				}
				s.stop()
			})
		}
	}
}

// dialEcho begins a request with a body that will not be complete.
func dialEcho(t *testing.T, s *appserver, length int) net.Conn {
	c, err := net.Dial("tcp", s.addr)
	if err == nil {
		_, err = fmt.Fprintf(c, "POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: %d\r\n\r\n", length)
	}
	if err != nil {
		t.Error(err)
	}
	return c
}

// endedInTime fails unless a request of one second has ended about when it had to.
func endedInTime(t *testing.T, what string, begin time.Time) {
	t.Helper()
	if took := time.Since(begin); took < 900*time.Millisecond || took > 8*time.Second { // stall_timeout and abort_grace are far
		t.Errorf("%s ended after %v, want 1 s", what, took)
	}
}

// trickleBody sends a byte of a body now and then, and waits for the end.
func trickleBody(t *testing.T, s *appserver) {
	begin := time.Now()
	c := dialEcho(t, s, 1000)
	defer c.Close()
	go func() {
		for range 100 {
			if _, err := c.Write([]byte("x")); err != nil {
				return
			}
			time.Sleep(50 * time.Millisecond) // far less than any timeout
		}
	}()
	_ = c.SetReadDeadline(begin.Add(patience))
	answer, err := io.ReadAll(c)
	if isTimeout(err) {
		t.Error("the server waits for a slow body")
	}
	endedInTime(t, "a slow body", begin)
	// A guest that has begun to answer cannot be undone; others get the client told.
	if status, _, _ := strings.Cut(string(answer), "\r\n"); status != "" && !strings.Contains(status, " 408 ") && !strings.Contains(status, " 504 ") && !strings.Contains(status, " 200 ") {
		t.Errorf("a slow body: %q", status)
	}
}

// takeNothing sends a long body and reads nothing of the response.
func takeNothing(t *testing.T, s *appserver) {
	begin := time.Now()
	const length = 256 << 20 // more than buffers hold
	c := dialEcho(t, s, length)
	defer c.Close()
	_ = c.SetWriteDeadline(begin.Add(patience))
	piece := make([]byte, 64<<10)
	for n := 0; n < length; n += len(piece) {
		if _, err := c.Write(piece); err != nil {
			if isTimeout(err) {
				t.Error("the server waits for a client that takes nothing")
			}
			break
		}
	}
	endedInTime(t, "a response that nobody takes", begin)
}

// isTimeout reports whether a deadline of the test's own connection has passed.
func isTimeout(err error) bool {
	e, ok := err.(net.Error)
	return ok && e.Timeout()
}
