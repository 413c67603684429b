package main

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// Floods of HTTP/2 cost a worker little memory, end with their connection, and leave the service to others. What each is
// made of, and how it ends, package http2 tests.
func TestFloodsCostLittleMemory(t *testing.T) {
	s := start(t, wasm("hello"), "-w", "1", "-k", "threaded", "--threads", "4", "--http2-cleartext", "prior-knowledge")
	url, bystander := "http://"+s.addr+"/", h2Client(t, nil)
	for range 100 {
		if _, err := fetch(bystander, url); err != nil {
			t.Fatal(err)
		}
	}
	pid := s.workers()[0]
	before := peakRSS(t, pid)
	head := []string{":method", "GET", ":scheme", "http", ":authority", "a", ":path", "/"}
	big := strings.Repeat("x", 4000)
	bomb := bytes.Repeat([]byte{0x80 | 62}, 16_000) // each byte stands for the newest field of the table
	for name, flood := range map[string]func(f *flooder, n uint32) error{
		"rapid reset": func(f *flooder, n uint32) error {
			return errors.Join(f.head(1+2*n, nil, head...), f.WriteRSTStream(1+2*n, http2.ErrCodeCancel))
		},
		"continuation": func(f *flooder, n uint32) error {
			if n == 0 {
				return f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: f.block(head...)})
			}
			return f.WriteContinuation(1, false, f.block("a", big))
		},
		"bomb": func(f *flooder, n uint32) error { return f.head(1+2*n, bomb, append(head, "bomb", big)...) },
	} {
		attackers := make([]*flooder, 4)
		for i := range attackers {
			attackers[i] = floodConn(t, s.addr, flood)
		}
		for _, f := range attackers {
			for over := false; !over; {
				select {
				case <-f.ended:
					over = true
				default:
					if _, err := fetch(bystander, url); err != nil {
						t.Fatalf("%s: another client: %v", name, err)
					}
				}
			}
			if f.err == nil || time.Since(f.began) > patience {
				t.Errorf("%s: the connection is not ended", name)
			}
		}
	}
	after := peakRSS(t, pid)
	t.Logf("the worker had %d MiB and has had %d at most", before>>20, after>>20)
	if grown := after - before; grown > 64<<20 {
		t.Errorf("the worker grew by %d MiB", grown>>20)
	}
	if len(s.workers()) != 1 || s.workers()[0] != pid {
		t.Error("the worker was replaced")
	}
	s.stop()
}

// flooder is a connection that is flooded until it is closed.
type flooder struct {
	*http2.Framer
	enc   *hpack.Encoder
	buf   bytes.Buffer
	began time.Time
	ended chan struct{}
	err   error
}

func floodConn(t *testing.T, addr string, flood func(*flooder, uint32) error) *flooder {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	if err := nc.SetDeadline(time.Now().Add(2 * patience)); err != nil {
		t.Fatal(err)
	}
	f := &flooder{Framer: http2.NewFramer(nc, nil), began: time.Now(), ended: make(chan struct{})}
	f.enc = hpack.NewEncoder(&f.buf)
	go io.Copy(io.Discard, nc) // a client that reads nothing would be cut off for that
	go func() {
		defer close(f.ended)
		if _, f.err = io.WriteString(nc, http2.ClientPreface); f.err == nil {
			f.err = f.WriteSettings()
		}
		for n := uint32(0); f.err == nil; n++ {
			f.err = flood(f, n)
		}
	}()
	return f
}

// block encodes names and values.
func (f *flooder) block(pairs ...string) []byte {
	f.buf.Reset()
	for i := 0; i < len(pairs); i += 2 {
		_ = f.enc.WriteField(hpack.HeaderField{Name: pairs[i], Value: pairs[i+1]}) // a buffer takes everything
	}
	return f.buf.Bytes()
}

// head sends a request without a body; more is put behind its encoded fields.
func (f *flooder) head(stream uint32, more []byte, pairs ...string) error {
	block := append(bytes.Clone(f.block(pairs...)), more...)
	return f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block, EndHeaders: true, EndStream: true})
}
