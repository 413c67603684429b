package cgi

import (
	"bytes"
	"testing"

	"github.com/appserver-go/appserver/exchange"
)

// FuzzHead checks that the end of a head is found the same way in one piece and byte by byte, and that what is
// accepted may be sent.
func FuzzHead(f *testing.F) {
	for _, s := range []string{
		"", "\n", "\r\n", "Status: 200\n\n", "Status: 404 Not Found\r\nX-A: b\r\n\r\nbody", "Location: /a?b#c\n\n",
		"Location: //a\n\n", "Content-Type: a/b\n\r\n", "A: b\n\n\n", "A\n\n", "A: \r\r\n\r\n", "Status: 101\n\n", " a: b\n\n", "a : b\n\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		end := headEnd(b, 0)
		for n := 1; n <= len(b); n++ {
			if got := headEnd(b[:n], n-1); got != 0 {
				if got != end {
					t.Fatalf("byte by byte the head ends at %d, else at %d", got, end)
				}
				break
			} else if n == len(b) && end != 0 {
				t.Fatalf("byte by byte the head has no end, else it ends at %d", end)
			}
		}
		if end == 0 {
			return
		}
		if c := b[end-1]; c != '\n' || bytes.Contains(b[:end-1], []byte("\n\n")) {
			t.Fatalf("the head %q ends at the wrong place", b[:end])
		}
		h, err := parseHead(b[:end])
		if err != nil {
			if exchange.AsFailure(err).Status != 502 {
				t.Fatal(err)
			}
			return
		}
		if h.location != "" {
			if h.location[0] != '/' || len(h.fields) != 1 || h.status != 0 {
				t.Fatalf("it is a local redirect: %+v", h)
			}
			return
		}
		if err := exchange.CheckHead(h.status, h.fields); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzUnescape checks the decoding of paths.
func FuzzUnescape(f *testing.F) {
	for _, s := range []string{"/", "/a%20b", "/%", "/%4", "/%zz", "/%00", "/%c3%A9"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := unescape(s)
		if err != nil {
			return
		}
		if len(got) > len(s) || bytes.IndexByte([]byte(got), 0) >= 0 && bytes.IndexByte([]byte(s), 0) < 0 {
			t.Fatalf("%q became %q", s, got)
		}
	})
}
