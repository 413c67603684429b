package http1

import (
	"net"
	"testing"
	"time"
)

// endless is a connection on which the same request comes again and again, without a system call.
type endless struct {
	net.Conn
	request []byte
}

func (e *endless) Read(p []byte) (int, error)       { return copy(p, e.request), nil }
func (e *endless) Write(p []byte) (int, error)      { return len(p), nil }
func (e *endless) SetReadDeadline(time.Time) error  { return nil }
func (e *endless) SetWriteDeadline(time.Time) error { return nil }
func (e *endless) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (e *endless) LocalAddr() net.Addr              { return &net.TCPAddr{} }

// BenchmarkRequest is the front end's own part of a request: no sockets, no guest.
func BenchmarkRequest(b *testing.B) {
	for name, raw := range map[string]string{
		"small": getRoot,
		"browser": "GET /a/b?c=d HTTP/1.1\r\nHost: www.example.org\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n" +
			"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\nAccept-Language: en-US,en;q=0.5\r\n" +
			"Accept-Encoding: gzip, deflate, br, zstd\r\nConnection: keep-alive\r\nCookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\n" +
			"Sec-Fetch-Dest: document\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Site: none\r\nPriority: u=0, i\r\n\r\n",
	} {
		b.Run(name, func(b *testing.B) {
			body := []byte("hello, world\n")
			s := New(Options{
				Keepalive: keep, HeaderTimeout: keep, StallTimeout: keep, PrefetchTimeout: keep,
				Limits: Limits{RequestLine: 8190, Fields: 100, FieldSize: 8190, Body: 1 << 20},
				Handler: func(c *Call) {
					c.Response.Fields.Add("Content-Type", "text/plain")
					if _, err := c.Response.Write(body); err != nil {
						b.Error(err)
					}
					if err := c.Response.Finish(); err != nil {
						b.Error(err)
					}
				},
			})
			c := newConn(&endless{request: []byte(raw)}, s)
			b.ReportAllocs()
			for b.Loop() {
				if again, _ := c.next(); !again {
					b.Fatal("the connection ends")
				}
			}
		})
	}
}
