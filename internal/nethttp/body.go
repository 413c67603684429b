package nethttp

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
	conn     *conn
	req      *http.Request
	trailers *exchange.Fields
	limit    int64  // 0 means none
	n        int64  // bytes read from the client
	err      error  // what reading ended with, io.EOF included
	buf      []byte // prefetched
	off      int    // how much of buf was read
}

func (b *body) reset(c *conn, r *http.Request, limit int64, trailers *exchange.Fields) {
	*b = body{conn: c, req: r, trailers: trailers, limit: limit, buf: b.buf[:0]}
	if r.Body == http.NoBody || r.ContentLength == 0 {
		b.err = io.EOF
	}
}

// release drops references, so that a pooled Call keeps no request alive.
func (b *body) release() { *b = body{buf: b.buf[:0]} }

// whole reports whether the body was read from the connection to its end.
func (b *body) whole() bool { return errors.Is(b.err, io.EOF) }

// failed returns the error reading ended with, unless that is the body's end.
func (b *body) failed() error {
	if b.whole() {
		return nil
	}
	return b.err
}

// prefetch reads a small body of known length. timeout bounds it; 0 does not.
func (b *body) prefetch(timeout time.Duration) *httprules.Refusal {
	if b.err != nil || b.req.ContentLength < 0 || b.req.ContentLength > prefetchSize {
		return nil
	}
	if timeout > 0 {
		b.conn.deadline.Store(time.Now().Add(timeout).UnixNano())
		defer b.conn.deadline.Store(0)
	}
	b.buf = slices.Grow(b.buf, int(b.req.ContentLength)+1)
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
	if err := b.conn.SetReadDeadline(b.conn.until()); err != nil {
		return 0, b.fail(err)
	}
	n, err := b.req.Body.Read(p)
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

// end takes the trailers over. net/http begins to watch the connection at the end of a body: the deadline of the
// last read must not hit that.
func (b *body) end() error {
	b.err = io.EOF
	_ = b.conn.SetReadDeadline(time.Time{}) // fails on a closed connection only
	for _, name := range sortedNames(b.req.Trailer) {
		for _, v := range b.req.Trailer[name] {
			b.trailers.Add(name, v)
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
