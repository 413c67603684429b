package load

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// Conn is one connection of a strict client: every failure of a dial, a write or a read is the caller's to count.
type Conn struct {
	net.Conn
	r *bufio.Reader
	// Timeout bounds each exchange; 0 means ten seconds.
	Timeout time.Duration
}

// Dial connects to an address: "host:port", or "unix:path".
func Dial(ctx context.Context, addr string) (*Conn, error) { return DialTLS(ctx, addr, nil) }

// DialTLS is Dial with a handshake, which counts as a part of dialing. No config means no TLS.
func DialTLS(ctx context.Context, addr string, config *tls.Config) (*Conn, error) {
	return DialThrough(ctx, addr, "", config)
}

// DialThrough is DialTLS with some text ahead of everything, as a proxy sends it.
func DialThrough(ctx context.Context, addr, ahead string, config *tls.Config) (*Conn, error) {
	network := "tcp"
	if path, ok := strings.CutPrefix(addr, "unix:"); ok {
		network, addr = "unix", path
	}
	d := net.Dialer{Timeout: 10 * time.Second}
	c, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	if _, err := io.WriteString(c, ahead); err != nil {
		c.Close()
		return nil, fmt.Errorf("load: write: %w", err)
	}
	if config != nil {
		if c, err = handshake(c, config); err != nil {
			return nil, err
		}
	}
	return &Conn{Conn: c, r: bufio.NewReaderSize(c, 16<<10)}, nil
}

func handshake(c net.Conn, config *tls.Config) (net.Conn, error) {
	tc := tls.Client(c, config)
	err := c.SetDeadline(time.Now().Add(10 * time.Second))
	if err == nil {
		err = tc.Handshake()
	}
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("load: TLS handshake: %w", err)
	}
	return tc, nil
}

// Do sends a raw request and reads its response. Head says that the response has no body.
func (c *Conn) Do(raw []byte, head bool) (*Response, error) {
	if err := c.Send(raw); err != nil {
		return nil, err
	}
	return c.Read(head)
}

// Send writes raw bytes.
func (c *Conn) Send(raw []byte) error {
	if err := c.extend(); err != nil {
		return err
	}
	if _, err := c.Write(raw); err != nil {
		return fmt.Errorf("load: write request: %w", err)
	}
	return nil
}

// Read reads the next response.
func (c *Conn) Read(head bool) (*Response, error) {
	if err := c.extend(); err != nil {
		return nil, err
	}
	return readResponse(c.r, head)
}

func (c *Conn) extend() error {
	timeout := c.Timeout
	if timeout == 0 {
		timeout = 10 * time.Second
	}
	return c.SetDeadline(time.Now().Add(timeout))
}

// Get sends a GET for path on a connection of its own and returns the response.
func Get(ctx context.Context, addr, path string) (*Response, error) {
	return Do(ctx, addr, "GET "+path+" HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
}

// Do sends one raw request on a connection of its own and returns the response.
func Do(ctx context.Context, addr, raw string) (*Response, error) {
	c, err := Dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if d, ok := ctx.Deadline(); ok {
		c.Timeout = time.Until(d)
	}
	return c.Do([]byte(raw), strings.HasPrefix(raw, "HEAD "))
}
