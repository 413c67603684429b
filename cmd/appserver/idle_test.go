package main

import (
	"fmt"
	"testing"

	"github.com/appserver-go/appserver/internal/load"
)

// Connections that are idle cost little more than what the kernel has of them.
func TestIdleConnectionsAreCheap(t *testing.T) {
	if raceFactor > 1 {
		t.Skip("the race detector needs memory of its own")
	}
	const n, most = 2000, 3 << 10
	s := start(t, wasm("hello"), "-w", "1", "-k", "threaded", "--worker-connections", fmt.Sprint(n+100), "--keepalive", "60s", "--graceful-timeout", "100ms")
	worker := s.workers()[0]
	open := func() {
		c, err := load.Dial(t.Context(), s.addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		if r, err := c.Do([]byte("GET / HTTP/1.1\r\nHost: test\r\n\r\n"), false); err != nil || r.Status != 200 || r.Close {
			t.Fatal(r, err)
		}
	}
	for range 50 {
		open()
	}
	before, err := statusValue(worker, "VmRSS")
	if err != nil {
		t.Fatal(err)
	}
	for range n {
		open()
	}
	var each int64
	eventually(t, patience, "little memory", func() bool {
		after, err := statusValue(worker, "VmRSS")
		each = (after - before) / n
		return err == nil && each < most
	})
	t.Logf("%d bytes for each connection", each)
}
