package main

import (
	"strings"
	"testing"

	"github.com/appserver-go/appserver/internal/load"
)

// A guest that spins for a client that has closed its connection is stopped, with its stack in the log, long before its
// timeout; the worker lives.
func TestSpinEndsWithItsClient(t *testing.T) {
	for class, args := range classArgs {
		t.Run(class, func(t *testing.T) {
			s := start(t, append([]string{wasm("hostile"), "--timeout", "60s", "--disconnect-grace", "10ms", "--access-log", "-"}, args...)...)
			before := s.workers()
			c, err := load.Dial(t.Context(), s.addr)
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Send([]byte("GET /spin HTTP/1.1\r\nHost: test\r\n\r\n")); err != nil {
				t.Fatal(err)
			}
			s.awaitBusy(1)
			c.Close()
			s.awaitRecord("the interruption with the guest's stack", func(r record) bool {
				return r.text("path") == "/spin" && r.text("status") == "499" && strings.Contains(r.text("stack"), "handle_request")
			})
			eventually(t, patience, "the access log", func() bool { return strings.Contains(s.out.String(), `"GET /spin HTTP/1.1" 499 `) })
			s.mustGet("/", 200)
			if after := s.workers(); !sameInts(before, after) {
				t.Errorf("workers were %v and are %v", before, after)
			}
		})
	}
}
