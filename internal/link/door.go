package link

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"time"
)

// preface is what a client of HTTP/2 sends first (RFC 9113 §3.4).
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// The names of HTTP's versions in the handshake (ALPN).
const (
	alpnHTTP2 = "h2"
	alpnHTTP1 = "http/1.1"
)

// Door makes Links of new connections. It is not changed once it is in use.
type Door struct {
	// Proxy reads PROXY headers; nil expects none.
	Proxy *Proxy
	// TLS returns the settings of the next handshake, ALPN names included; nil means that no TLS is spoken.
	TLS func() *tls.Config
	// HTTP2 accepts HTTP/2 without TLS from clients that begin with its preface (RFC 9113 §3.3).
	HTTP2 bool
}

// ErrPlainHTTP means that a client spoke HTTP where TLS is spoken. It was told so.
var ErrPlainHTTP = errors.New("the client sent HTTP and not TLS")

// ErrNoProtocol means that a client does not speak a version of HTTP that is served.
var ErrNoProtocol = errors.New("the client does not speak HTTP/2, and HTTP/1 is not served")

// plainAnswer is what a client gets that speaks HTTP to a port for TLS.
const plainAnswer = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 49\r\n" +
	"Connection: close\r\n\r\n400 Bad Request\nthis port speaks https, not http\n"

// Open makes a Link of a connection. It waits for the client until the given time, the zero time meaning for ever, and for
// nobody else. An error means that the connection is to be closed.
func (d *Door) Open(nc net.Conn, until time.Time) (*Link, error) {
	l := Plain(nc)
	if err := nc.SetDeadline(until); err != nil {
		return nil, err
	}
	if d.Proxy != nil {
		if err := d.Proxy.read(l); err != nil {
			return nil, err
		}
	}
	switch {
	case d.TLS != nil:
		if err := l.handshake(d.TLS()); err != nil {
			return nil, err
		}
	case d.HTTP2:
		if err := l.lookForPreface(); err != nil {
			return nil, err
		}
	}
	_ = nc.SetDeadline(time.Time{}) // fails on a closed connection only, and so will reading
	return l, nil
}

// handshake puts TLS on the link.
func (l *Link) handshake(c *tls.Config) error {
	nc := l.Socket
	if len(l.Early) > 0 {
		nc = Rewound(l.Socket, l.Early)
		l.Early = nil
	}
	tc := tls.Server(nc, c)
	if err := tc.Handshake(); err != nil {
		var record tls.RecordHeaderError
		if errors.As(err, &record) && record.Conn != nil && looksLikeHTTP(record.RecordHeader) {
			_, _ = io.WriteString(l.Socket, plainAnswer) // whoever is gone by now need not be told
			return ErrPlainHTTP
		}
		return fmt.Errorf("TLS handshake: %w", err)
	}
	l.Stream, l.Scheme = tc, "https"
	l.HTTP2 = tc.ConnectionState().NegotiatedProtocol == alpnHTTP2
	if !l.HTTP2 && len(c.NextProtos) > 0 && !slices.Contains(c.NextProtos, alpnHTTP1) {
		return ErrNoProtocol // crypto/tls lets clients pass that speak HTTP/1 alone, or do not say
	}
	return nil
}

// looksLikeHTTP reports whether the first bytes of a connection are those of a method.
func looksLikeHTTP(b [5]byte) bool {
	for _, c := range b[:3] {
		if c < 'A' || c > 'Z' {
			return false
		}
	}
	return true
}

// lookForPreface reads until it is clear whether the client speaks HTTP/2.
func (l *Link) lookForPreface() error {
	buf := l.Early
	for {
		n := min(len(buf), len(preface))
		switch {
		case string(buf[:n]) != preface[:n]:
			l.Early = buf
			return nil
		case n == len(preface):
			l.HTTP2, l.Preface, l.Early = true, true, buf[n:]
			return nil
		}
		more, err := readSome(l.Socket)
		if len(more) == 0 && err != nil {
			if len(buf) > 0 && errors.Is(err, io.EOF) {
				l.Early = buf // whatever that was, the front end says what it thinks of it
				return nil
			}
			return err
		}
		buf = append(bytes.Clone(buf), more...)
	}
}

// earlySize bounds what is read from a connection before HTTP is.
const earlySize = 2 << 10

func readSome(nc net.Conn) ([]byte, error) {
	buf := make([]byte, earlySize)
	n, err := nc.Read(buf)
	return buf[:n], err
}

// Rewound returns a connection that reads early, which was read from nc already, and then what follows.
func Rewound(nc net.Conn, early []byte) net.Conn { return &rewound{Conn: nc, early: early} }

type rewound struct {
	net.Conn
	early []byte
}

// Read implements net.Conn.
func (r *rewound) Read(p []byte) (int, error) {
	if len(r.early) == 0 {
		return r.Conn.Read(p)
	}
	n := copy(p, r.early)
	r.early = r.early[n:]
	return n, nil
}
