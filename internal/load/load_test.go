package load

import (
	"bufio"
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"
)

// A client that judges must see every kind of loss: each response here is one, or is none.
func TestReadResponseIsStrict(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	tests := map[string]struct {
		raw  string
		body string
		good bool
	}{
		"length":              {ok + "Content-Length: 2\r\n\r\nhi", "hi", true},
		"chunked":             {ok + "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-T: 1\r\n\r\n", "hi", true},
		"to the end":          {ok + "\r\nhi", "hi", true},
		"informational first": {"HTTP/1.1 100 Continue\r\n\r\n" + ok + "Content-Length: 0\r\n\r\n", "", true},
		"no body":             {"HTTP/1.1 204 No Content\r\n\r\n", "", true},
		"nothing":             {"", "", false},
		"cut head":            {"HTTP/1.1 200", "", false},
		"cut body":            {ok + "Content-Length: 5\r\n\r\nhi", "", false},
		"cut chunk":           {ok + "Transfer-Encoding: chunked\r\n\r\n5\r\nhi", "", false},
		"no last chunk":       {ok + "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n", "", false},
		"bare LF":             {"HTTP/1.1 200 OK\nContent-Length: 0\n\n", "", false},
		"two framings":        {ok + "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "", false},
		"bad length":          {ok + "Content-Length: x\r\n\r\n", "", false},
		"bad status":          {"HTTP/1.1 2000 OK\r\n\r\n", "", false},
		"space in name":       {ok + "Content-Length : 0\r\n\r\n", "", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			resp, err := readResponse(bufio.NewReader(strings.NewReader(tt.raw)), false)
			if (err == nil) != tt.good {
				t.Fatalf("error %v, want good %v", err, tt.good)
			}
			if tt.good && string(resp.Body) != tt.body {
				t.Errorf("body %q, want %q", resp.Body, tt.body)
			}
		})
	}
}

// Losses are counted, each once, and nothing is tried again.
func TestRunCountsLosses(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for n := 0; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			bufio.NewReader(c).ReadString('\n')
			if n%2 == 0 {
				c.Write([]byte("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"))
			}
			c.Close()
		}
	}()
	plan := Plan{Addr: l.Addr().String(), Clients: 1, Requests: 10, Raw: "GET / HTTP/1.1\r\n", Check: Status(200)}
	r := Run(t.Context(), plan)
	if r.Done != 5 || r.Lost != 5 || r.Dials != 10 || r.Bad != 0 {
		t.Errorf("%s", r)
	}
	plan.Check = Status(404)
	if r := Run(t.Context(), plan); r.Bad != 5 || r.Lost != 5 {
		t.Errorf("bad answers: %s", r)
	}
	l.Close()
	if r := Run(t.Context(), plan); r.Refused != 10 || r.Lost != 0 {
		t.Errorf("refused: %s", r)
	}
}

func TestGetReportsSilence(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := Get(ctx, l.Addr().String(), "/"); err == nil || errors.Is(err, ErrNoResponse) {
		t.Errorf("silence gives %v, want a deadline", err)
	}
}
