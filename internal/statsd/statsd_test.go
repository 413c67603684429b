package statsd

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// listen opens a statsd server of a network and returns how to read the lines of its next datagram.
func listen(t *testing.T, network, addr string) (net.PacketConn, func() []string) {
	t.Helper()
	pc, err := net.ListenPacket(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pc.Close() })
	return pc, func() []string {
		t.Helper()
		buf := make([]byte, 64<<10)
		pc.SetReadDeadline(time.Now().Add(20 * time.Second))
		n, _, err := pc.ReadFrom(buf)
		if err != nil {
			t.Fatal(err)
		}
		if n > packet {
			t.Errorf("a datagram of %d bytes", n)
		}
		return strings.Split(string(buf[:n]), "\n")
	}
}

// The lines are those of gunicorn/instrument/statsd.py.
func TestLinesAreGunicorns(t *testing.T) {
	for _, c := range []struct {
		prefix, tags string
		want         []string
	}{
		{"", "", []string{
			"gunicorn.request.duration:1.234|ms", "gunicorn.requests:1|c|@1.0", "gunicorn.request.status.200:1|c|@1.0",
			"gunicorn.request.duration:2000|ms", "gunicorn.requests:1|c|@1.0",
			"gunicorn.workers:3|g", "gunicorn.log.warning:1|c|@1.0", "gunicorn.backlog:7|h",
		}},
		{"web.eu..", "env:prod,team:x", []string{
			"web.eu.gunicorn.request.duration:1.234|ms|#env:prod,team:x", "web.eu.gunicorn.requests:1|c|@1.0|#env:prod,team:x",
			"web.eu.gunicorn.request.status.200:1|c|@1.0|#env:prod,team:x",
			"web.eu.gunicorn.request.duration:2000|ms|#env:prod,team:x", "web.eu.gunicorn.requests:1|c|@1.0|#env:prod,team:x",
			"web.eu.gunicorn.workers:3|g|#env:prod,team:x", "web.eu.gunicorn.log.warning:1|c|@1.0|#env:prod,team:x",
			"web.eu.gunicorn.backlog:7|h|#env:prod,team:x",
		}},
	} {
		path := filepath.Join(t.TempDir(), "s")
		_, fromUnix := listen(t, "unixgram", path)
		udp, fromUDP := listen(t, "udp", "127.0.0.1:0")
		for host, read := range map[string]func() []string{"unix://" + path: fromUnix, udp.LocalAddr().String(): fromUDP} {
			s := New(Options{Host: host, Prefix: c.prefix, Tags: c.tags})
			s.Request(200, 1234*time.Microsecond)
			s.Request(0, 2*time.Second)
			s.Workers(3)
			s.Log("warning")
			s.Backlog(7)
			s.Close()
			s.Close()
			var got []string
			for len(got) < len(c.want) {
				got = append(got, read()...)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("%s\ngot  %q\nwant %q", host, got, c.want)
			}
		}
	}
}

// A server that does not read costs its own lines and nobody's time, and all of those are counted.
func TestNothingWaitsForAServerThatHangs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	_, read := listen(t, "unixgram", path)
	s := New(Options{Host: "unix://" + path})
	const lines = 60000
	for range lines {
		s.Log("error")
	}
	s.Close()
	if s.Dropped() == 0 || s.Dropped() >= lines {
		t.Errorf("%d of %d lines were dropped", s.Dropped(), lines)
	}
	got := uint64(0)
	for got < lines-s.Dropped() {
		got += uint64(len(read()))
	}
	if got+s.Dropped() != lines {
		t.Errorf("%d lines arrived and %d were dropped, of %d", got, s.Dropped(), lines)
	}
}

// A server may come late, and go and come again.
func TestServerComesAndGoes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	s := New(Options{Host: "unix://" + path})
	defer s.Close()
	for round := range 2 {
		pc, err := net.ListenPacket("unixgram", path)
		if err != nil {
			t.Fatal(err)
		}
		got := make(chan string, 1)
		go func() {
			buf := make([]byte, packet)
			n, _, _ := pc.ReadFrom(buf)
			got <- string(buf[:n])
		}()
		end := time.After(20 * time.Second)
		for waiting := true; waiting; {
			s.Workers(round)
			select {
			case line := <-got:
				waiting = !strings.Contains(line, fmt.Sprintf("gunicorn.workers:%d|g", round))
			case <-end:
				t.Fatalf("round %d: nothing arrives", round)
			case <-time.After(10 * time.Millisecond): // the pace of sending
			}
		}
		pc.Close()
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

func TestANilClientIsSilent(t *testing.T) {
	var s *Client
	s.Request(200, time.Second)
	s.Workers(1)
	s.Log("error")
	s.Close()
	if s.Dropped() != 0 {
		t.Error("it drops")
	}
}

func BenchmarkRequest(b *testing.B) {
	s := New(Options{Host: "127.0.0.1:9"})
	defer s.Close()
	for b.Loop() {
		s.Request(200, 1234*time.Microsecond)
	}
}
