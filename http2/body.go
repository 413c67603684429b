package http2

import (
	"errors"
	"io"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/internal/httprules"
)

// prefetchSize is the size of the largest body that is read before the handler is called. It keeps clients that
// send slowly from holding a guest; larger and chunked bodies are read while the guest runs.
const prefetchSize = 64 << 10

// body is a request's body. Every read has the time of a stall to make progress, within the request's deadline.
type body struct {
	call  *Call
	limit int64     // 0 means none
	n     int64     // bytes read from the client
	err   error     // what reading ended with, io.EOF included
	armed time.Time // the deadline of reading
	buf   []byte    // prefetched
	off   int       // how much of buf was read
}

func (b *body) reset(c *Call, r *http.Request, limit int64) {
	*b = body{call: c, limit: limit, buf: b.buf[:0]}
	if r.Body == http.NoBody || r.ContentLength == 0 {
		b.err = io.EOF
	}
}

// release drops references, so that a pooled Call keeps no request alive.
func (b *body) release() { *b = body{buf: b.buf[:0]} }

// failed returns the error reading ended with, unless that is the body's end.
func (b *body) failed() error {
	if errors.Is(b.err, io.EOF) {
		return nil
	}
	return b.err
}

// prefetch reads a small body of known length. timeout bounds it; 0 does not.
func (b *body) prefetch(timeout time.Duration) *httprules.Refusal {
	length := b.call.r.ContentLength
	if b.err != nil || length < 0 || length > prefetchSize {
		return nil
	}
	if timeout > 0 {
		b.call.deadline = time.Now().Add(timeout)
		defer func() { b.call.deadline = time.Time{} }()
	}
	b.buf = slices.Grow(b.buf, int(length)+1)
	for b.err == nil {
		n, _ := b.read(b.buf[len(b.buf):cap(b.buf)])
		b.buf = b.buf[:len(b.buf)+n]
	}
	if err := b.failed(); err != nil {
		return &httprules.Refusal{Status: exchange.AsFailure(err).Status, Cause: err.Error()}
	}
	return nil
}

// Read implements exchange.Request.Body.
func (b *body) Read(p []byte) (int, error) {
	if b.off < len(b.buf) {
		n := copy(p, b.buf[b.off:])
		b.off += n
		return n, nil
	}
	return b.read(p)
}

// read reads from the connection.
func (b *body) read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	b.arm()
	n, err := b.call.r.Body.Read(p)
	b.n += int64(n)
	switch {
	case b.limit > 0 && b.n > b.limit:
		b.err = exchange.Fail(http.StatusRequestEntityTooLarge, exchange.BadRequest, "the request's body is larger than %d bytes", b.limit)
		return 0, b.err
	case err == nil:
		return n, nil
	case errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
		return n, b.end()
	}
	return n, b.fail(err)
}

// arm gives the client the time of a stall to send more. As with writing, a deadline that has half of its time left stays.
func (b *body) arm() {
	until := b.call.until()
	if until.IsZero() || until.Sub(b.armed) < b.call.conn.s.o.StallTimeout/2 && !until.Before(b.armed) {
		return
	}
	b.armed = until
	_ = b.call.w.SetReadDeadline(until) // fails on a stream that has ended
}

// end takes the trailers over.
func (b *body) end() error {
	b.err = io.EOF
	for _, name := range sortedNames(b.call.r.Trailer) {
		for _, v := range b.call.r.Trailer[name] {
			b.call.Request.Trailers.Add(name, v)
		}
	}
	return b.err
}

// fail classifies an error of reading. All of them are the client's.
func (b *body) fail(err error) error {
	f := &exchange.Failure{Status: http.StatusBadRequest, Reason: exchange.BadRequest, Err: err}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		f = exchange.Fail(http.StatusRequestTimeout, exchange.BadRequest, "the client did not send its body in time: %w", err)
	case errors.Is(err, io.ErrUnexpectedEOF):
		f.Err = io.ErrUnexpectedEOF
	}
	b.err = f
	return f
}

// sortedNames returns the names of the trailers that guests may see.
func sortedNames(h http.Header) []string {
	var names []string
	for name := range h {
		if !httprules.Hidden(name) && exchange.MayTrail(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
