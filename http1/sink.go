package http1

import (
	"strconv"
	"strings"
	"time"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/internal/httprules"
)

const (
	// outSize is how much of a response is gathered before it is written. Whatever exchange.Response holds back fits, so
	// small responses are one write.
	outSize = exchange.BufferSize + 8<<10
	// keepOut is the size of the largest buffer kept for the next response.
	keepOut = 2 * outSize
)

// sink puts a response on the wire.
type sink struct {
	call    *Call
	out     []byte // written and not sent
	close   bool   // the connection ends with this response
	aborted bool
	chunked bool
	toEOF   bool // only the connection's end marks the end of the body
	writes  int  // of body bytes, or flushes: after more than one, the head may have been written long ago
}

func (s *sink) begin(c *Call, last bool) { *s = sink{call: c, out: s.out[:0], close: last} }

// release drops references; a large buffer is not kept.
func (s *sink) release() {
	if cap(s.out) > keepOut {
		s.out = nil
	}
	*s = sink{out: s.out[:0]}
}

// WriteHead implements exchange.Sink.
func (s *sink) WriteHead(status int, fields exchange.Fields, length int64) error {
	c := s.call
	now := time.Now()
	c.conn.now = now.Sub(c.conn.s.epoch)
	s.frame(status, length)
	s.out = append(s.out, statusLine(status)...)
	for i := range fields {
		f := &fields[i]
		if len(f.Name) == 4 && strings.EqualFold(f.Name, "Date") || len(f.Name) == 6 && strings.EqualFold(f.Name, "Server") {
			continue
		}
		s.field(f)
	}
	s.out = append(s.out, "Server: "+httprules.ServerName+"\r\n"...)
	s.out = append(s.out, c.conn.s.date.at(now)...)
	switch {
	case length >= 0:
		s.out = append(s.out, "Content-Length: "...)
		s.out = strconv.AppendInt(s.out, length, 10)
		s.out = append(s.out, "\r\n"...)
	case s.chunked:
		s.out = append(s.out, "Transfer-Encoding: chunked\r\n"...)
	}
	switch {
	case s.close:
		s.out = append(s.out, "Connection: close\r\n"...)
	case c.head.minor == '0':
		s.out = append(s.out, "Connection: keep-alive\r\n"...)
	}
	s.out = append(s.out, "\r\n"...)
	return nil
}

// Inform implements exchange.Informer.
func (s *sink) Inform(status int, fields exchange.Fields) error {
	c := s.call
	if c.head.minor != '1' {
		return exchange.ErrNotSupported
	}
	s.out = append(s.out[:0], makeStatusLine(status)...)
	for i := range fields {
		s.field(&fields[i])
	}
	s.out = append(s.out, "\r\n"...)
	c.conn.now = c.conn.s.now()
	err := c.conn.writeInterim(s.out, c.conn.now)
	s.out = s.out[:0]
	if err != nil {
		return clientGone(err)
	}
	return nil
}

// frame decides how the body's end will be told (RFC 9112 §6.3), and whether the connection goes on.
func (s *sink) frame(status int, length int64) {
	c := s.call
	if length < 0 && c.head.method != "HEAD" && status != 204 && status != 304 {
		s.chunked = c.head.minor == '1'
		s.toEOF = !s.chunked
	}
	// A request body that is not read to its end by now may never be, and the next request is behind it.
	s.close = s.close || s.toEOF || c.conn.s.closing.Load() || !c.body.whole()
}

func (s *sink) field(f *exchange.Field) {
	s.out = append(s.out, f.Name...)
	s.out = append(s.out, ": "...)
	s.out = append(s.out, f.Value...)
	s.out = append(s.out, "\r\n"...)
}

// Write implements exchange.Sink.
func (s *sink) Write(p []byte) (int, error) {
	s.writes++
	if s.chunked {
		s.out = strconv.AppendUint(s.out, uint64(len(p)), 16)
		s.out = append(s.out, "\r\n"...)
	}
	if len(p) > exchange.BufferSize {
		if err := s.Flush(); err != nil {
			return 0, err
		}
		s.call.conn.now = s.call.conn.s.now()
		if err := s.send(p); err != nil {
			return 0, err
		}
	} else {
		s.out = append(s.out, p...)
	}
	if s.chunked {
		s.out = append(s.out, "\r\n"...)
	}
	if len(s.out) > outSize {
		return len(p), s.Flush()
	}
	return len(p), nil
}

// Flush implements exchange.Sink.
func (s *sink) Flush() error {
	s.writes++
	if len(s.out) == 0 {
		return nil
	}
	s.call.conn.now = s.call.conn.s.now()
	err := s.send(s.out)
	s.out = s.out[:0]
	return err
}

// Close implements exchange.Sink. Where the body is not chunked there is no place for trailers.
func (s *sink) Close(trailers exchange.Fields) error {
	if s.chunked {
		s.out = append(s.out, "0\r\n"...)
		for i := range trailers {
			s.field(&trailers[i])
		}
		s.out = append(s.out, "\r\n"...)
	}
	if s.writes > 1 {
		return s.Flush()
	}
	err := s.send(s.out) // head, body and end in one write
	s.out = s.out[:0]
	return err
}

// Abort implements exchange.Sink. The connection is closed when the handler has returned: a chunked body then lacks its
// end, one with a Content-Length its rest. Where the end of the connection is the end of the body, a reset tells.
func (s *sink) Abort() {
	s.aborted = true
	s.out = s.out[:0]
	if s.toEOF {
		s.call.conn.reset = true
	}
}

// send writes to the connection. Errors come from there, so they are the client's doing.
func (s *sink) send(p []byte) error {
	if err := s.call.conn.write(p, s.call.conn.now); err != nil {
		return clientGone(err)
	}
	return nil
}

// clientGone makes a failure of an error of writing.
func clientGone(err error) error {
	return exchange.Fail(httprules.StatusClientGone, exchange.Canceled, "write response: %w", err)
}

const firstStatus, lastStatus = 200, 599

// statusLine returns the status line of a final status. The version is always 1.1, the server's own (RFC 9110 §6.2).
func statusLine(status int) string {
	if status < firstStatus || status > lastStatus {
		return makeStatusLine(status)
	}
	return statusLines[status-firstStatus]
}

func makeStatusLine(status int) string {
	return "HTTP/1.1 " + strconv.Itoa(status) + " " + httprules.StatusText(status) + "\r\n"
}

var statusLines = func() (lines [lastStatus - firstStatus + 1]string) {
	for i := range lines {
		lines[i] = makeStatusLine(firstStatus + i)
	}
	return lines
}()
