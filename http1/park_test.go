package http1

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/appserver-go/appserver/internal/load"
)

func (l *lot) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.conns)
}

// parked opens connections that have had a response and waits until they are parked.
func (ts *testServer) parked(t *testing.T, n int) []*load.Conn {
	t.Helper()
	var all []*load.Conn
	for range n {
		c := ts.dial(t)
		if r, err := c.Do([]byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), false); err != nil || r.Close {
			t.Fatal(r, err)
		}
		all = append(all, c)
	}
	waitFor(t, "connections to be parked", func() bool { return ts.lot.count() == n })
	noGoroutines(t)
	return all
}

// Parked connections have no goroutine, and go on as if nothing had been.
func TestParkedConnectionsServeOn(t *testing.T) {
	ts := start(t, Options{Keepalive: keep}, echo)
	all := ts.parked(t, 20)
	for i, c := range all {
		raw := "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
		if i%2 == 0 {
			raw += raw // two at once
		}
		if err := c.Send([]byte(raw[:10])); err != nil { // which wakes it
			t.Fatal(err)
		}
		if err := c.Send([]byte(raw[10:])); err != nil {
			t.Fatal(err)
		}
		for range 2 - i%2 {
			if r, err := c.Read(false); err != nil || string(r.Body) != "abc" || r.Close {
				t.Fatalf("%+v, %v", r, err)
			}
		}
	}
	waitFor(t, "all to be parked again", func() bool { return ts.lot.count() == len(all) })
	all[7].Close()
	all[0].Close()
	waitFor(t, "the closed ones to be gone", func() bool { return ts.lot.count() == len(all)-2 })
}

// A parked connection ends with keep-alive, not earlier and not much later.
func TestParkedConnectionsExpire(t *testing.T) {
	const keepalive = parkAfter + 500*time.Millisecond
	ts := start(t, Options{Keepalive: keepalive}, hello)
	begin := time.Now()
	for _, c := range ts.parked(t, 5) {
		if _, err := c.Conn.Read(make([]byte, 1)); err != io.EOF {
			t.Error(err)
		}
		if took := time.Since(begin); took < keepalive {
			t.Errorf("closed after %v", took)
		}
	}
}

// A draining server leaves parked connections alone until it is told to close idle ones, or all.
func TestParkedConnectionsAndDrain(t *testing.T) {
	for name, end := range map[string]func(*testServer){
		"CloseIdle": func(ts *testServer) { ts.CloseIdle() },
		"Close":     func(ts *testServer) { ts.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			ts := start(t, Options{Keepalive: keep}, hello)
			all := ts.parked(t, 3)
			ts.CloseConnections()
			r, err := all[0].Do([]byte("GET /last HTTP/1.1\r\nHost: a\r\n\r\n"), false)
			if err != nil || string(r.Body) != "GET /last" || !r.Close {
				t.Errorf("%+v, %v", r, err)
			}
			end(ts)
			for _, c := range all[1:] {
				expectEnd(t, c)
			}
			waitFor(t, "the lot to be empty", func() bool { return ts.lot.count() == 0 })
		})
	}
}

// Requests that arrive just when their connection is parked are not lost.
func TestRequestsThatMeetParking(t *testing.T) {
	ts := start(t, Options{Keepalive: keep}, hello)
	clients := make(chan error)
	for i := range 50 {
		go func() {
			clients <- func() error {
				nc, err := net.Dial("tcp", ts.addr)
				if err != nil {
					return err
				}
				c := load.Conn{Conn: nc}
				defer c.Close()
				one := make([]byte, 1000)
				for range 3 {
					if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
						return err
					}
					n, err := c.Conn.Read(one)
					if err != nil || !strings.HasPrefix(string(one[:n]), "HTTP/1.1 200 OK\r\n") {
						return err
					}
					time.Sleep(parkAfter - 2*time.Millisecond + time.Duration(i)*100*time.Microsecond)
				}
				return nil
			}()
		}()
	}
	for range 50 {
		if err := <-clients; err != nil {
			t.Error(err)
		}
	}
}
