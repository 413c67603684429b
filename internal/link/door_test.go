package link_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/appserver-go/appserver/internal/link"
	"github.com/appserver-go/appserver/internal/link/linktest"
)

// through has a door opened to a client that sends raw in pieces of the given size and ends, and returns the link and
// what is left to read of it.
func through(t testing.TB, d *link.Door, raw []byte, piece int) (*link.Link, []byte, error) {
	t.Helper()
	client, server := net.Pipe()
	defer server.Close()
	go func() {
		defer client.Close()
		for rest := raw; len(rest) > 0; {
			n := min(piece, len(rest))
			if _, err := client.Write(rest[:n]); err != nil {
				return
			}
			rest = rest[n:]
		}
	}()
	l, err := d.Open(server, time.Now().Add(20*time.Second))
	if err != nil {
		return nil, nil, err
	}
	rest, err := io.ReadAll(l.Stream)
	if err != nil && !errors.Is(err, io.ErrClosedPipe) {
		t.Fatal(err)
	}
	return l, append(bytes.Clone(l.Early), rest...), nil
}

const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

func TestCleartextHTTP2(t *testing.T) {
	d := &link.Door{HTTP2: true}
	for _, tt := range []struct {
		raw, rest string
		http2     bool
	}{
		{preface + "frames", "frames", true},
		{preface, "", true},
		{"GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\n\r\n", false},
		{"PRI * HTTP/2.0\r\n\r\nSX\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSX\r\n\r\n", false},
		{"PROPFIND / HTTP/1.1\r\n\r\n", "PROPFIND / HTTP/1.1\r\n\r\n", false},
		{"PRI", "PRI", false},
	} {
		for _, piece := range []int{1, 7, 1 << 20} {
			l, rest, err := through(t, d, []byte(tt.raw), piece)
			if err != nil || l.HTTP2 != tt.http2 || string(rest) != tt.rest {
				t.Errorf("%q: %+v, rest %q, %v", tt.raw, l, rest, err)
			}
		}
	}
	if _, _, err := through(t, d, nil, 1); err == nil {
		t.Error("nothing at all is a link")
	}
}

func TestTLSChoosesHTTP2(t *testing.T) {
	ca := linktest.NewAuthority(t)
	config := ca.Server(t, "h2", "http/1.1")
	d := &link.Door{TLS: func() *tls.Config { return config }}
	for offer, want := range map[string]bool{"h2,http/1.1": true, "http/1.1": false, "": false} {
		client, server := net.Pipe()
		go func() {
			defer client.Close()
			c := ca.Client(strings.Split(offer, ",")...)
			if offer == "" {
				c = ca.Client()
			}
			tc := tls.Client(client, c)
			tc.Write([]byte("hello"))
			tc.Close()
		}()
		l, err := d.Open(server, time.Time{})
		if err != nil || l.HTTP2 != want || l.Preface || l.Scheme != "https" {
			t.Errorf("%q: %+v %v", offer, l, err)
			continue
		}
		if got, err := io.ReadAll(l.Stream); string(got) != "hello" || err != nil {
			t.Errorf("%q: %q %v", offer, got, err)
		}
		server.Close()
	}
}

// A client that offers nothing of what is served is refused in the handshake.
func TestTLSWithoutCommonProtocol(t *testing.T) {
	ca := linktest.NewAuthority(t)
	config := ca.Server(t, "h2")
	d := &link.Door{TLS: func() *tls.Config { return config }}
	for _, c := range []*tls.Config{ca.Client("http/1.1"), ca.Client()} {
		client, server := net.Pipe()
		go tls.Client(client, c).Handshake()
		if _, err := d.Open(server, time.Time{}); err == nil {
			t.Errorf("%q was agreed on", c.NextProtos)
		}
		client.Close()
	}
}
