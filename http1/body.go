package http1

import (
	"errors"
	"io"
	"os"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/internal/httprules"
)

// prefetchSize is the size of the largest body that is read before the handler is called. It keeps clients that
// send slowly from holding a guest; larger and chunked bodies are read while the guest runs.
const prefetchSize = 64 << 10

// continueLine is the interim response that asks for a body (RFC 9110 §15.2.1).
const continueLine = "HTTP/1.1 100 Continue\r\n\r\n"

// body is a request's body. Every read from the connection has the time of a stall to make progress, within the
// request's deadline.
type body struct {
	call    *Call
	chunked bool
	expects bool  // the client waits for 100 Continue
	left    int64 // bytes of a body of known length
	n       int64 // bytes that were read
	chunks  chunks
	err     error // what reading ended with; io.EOF itself for a whole body
}

// begin prepares for the body that the call's head announces.
func (b *body) begin(call *Call) {
	h := &call.head
	*b = body{call: call, chunked: h.chunked, left: h.length}
	if !b.chunked && b.left == 0 {
		b.err = io.EOF
		return
	}
	b.expects = h.expects && h.minor == '1'
}

// whole reports whether the rest of the body, if any, has arrived and can be dropped without waiting.
func (b *body) whole() bool {
	if b.err != nil {
		return b.err == io.EOF
	}
	return !b.chunked && b.left <= int64(len(b.call.in.unread()))
}

// drop drops what is left of a whole body.
func (b *body) drop() {
	if b.err == nil {
		b.call.in.skip(int(b.left))
		b.err = io.EOF
	}
}

// failed returns the error reading ended with, unless that is the body's end.
func (b *body) failed() error {
	if b.err == io.EOF {
		return nil
	}
	return b.err
}

// prefetch reads a small body of known length into the input. A client that waits for 100 Continue gets it from the
// guest's first read, since the guest may answer without one.
func (b *body) prefetch() *httprules.Refusal {
	if b.err != nil || b.chunked || b.left > prefetchSize {
		return nil
	}
	in, s := &b.call.in, b.call.conn.s
	if b.expects && len(in.unread()) == 0 || b.whole() {
		return nil
	}
	in.reserve(int(b.left))
	b.call.deadline = after(s.now(), s.o.PrefetchTimeout)
	defer func() { b.call.deadline = 0 }()
	for !b.whole() {
		if err := b.fill(); err != nil {
			return &httprules.Refusal{Status: exchange.AsFailure(err).Status, Cause: err.Error()}
		}
	}
	return nil
}

// Read implements exchange.Request.Body.
func (b *body) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	if len(p) == 0 {
		return 0, nil
	}
	if b.chunked {
		return b.readChunked(p)
	}
	n, err := b.data(p, &b.left)
	b.n += int64(n)
	if err == nil && b.left == 0 {
		b.err = io.EOF
		err = io.EOF
	}
	return n, err
}

// data reads some of left bytes: those in the input, or else from the connection, straight into p if p is large.
func (b *body) data(p []byte, left *int64) (int, error) {
	in := &b.call.in
	if int64(len(p)) > *left {
		p = p[:*left]
	}
	for len(in.unread()) == 0 {
		if len(p) < minRoom {
			if err := b.fill(); err != nil {
				return 0, err
			}
			continue
		}
		n, err := b.fromConn(p)
		*left -= int64(n)
		return n, err
	}
	n := copy(p, in.unread())
	in.skip(n)
	*left -= int64(n)
	return n, nil
}

func (b *body) readChunked(p []byte) (int, error) {
	c := b.call
	for {
		ready, err := b.advance()
		switch {
		case err != nil:
			return 0, err
		case !ready:
			if err := b.fill(); err != nil {
				return 0, err
			}
		case b.err != nil:
			return 0, b.err
		default:
			if limit := c.conn.s.o.Limits.Body; limit > 0 && b.n+b.chunks.left > limit {
				b.err = exchange.Fail(413, exchange.BadRequest, "the request's body is larger than %d bytes", limit)
				return 0, b.err
			}
			n, err := b.data(p, &b.chunks.left)
			b.n += int64(n)
			if err == nil {
				_, err = b.advance() // finds the end if that is here already
			}
			if err == nil {
				err = b.err
			}
			return n, err
		}
	}
}

// advance consumes what is between chunks and sets err to io.EOF behind the last.
func (b *body) advance() (ready bool, err error) {
	c := b.call
	ready, err = b.chunks.advance(&c.in, &c.conn.s.o.Limits, &c.Request.Trailers)
	switch {
	case err != nil:
		return false, b.fail(err)
	case ready && b.chunks.state == atEnd:
		b.err = io.EOF
	}
	return ready, nil
}

// fill reads into the input.
func (b *body) fill() error {
	n, err := b.fromConn(b.call.in.room())
	b.call.in.filled(n)
	return err
}

// fromConn reads from the connection. The client's 100 Continue is sent if it still waits for one.
func (b *body) fromConn(p []byte) (int, error) {
	c := b.call.conn
	now := c.s.now()
	if b.expects {
		b.expects = false
		if err := c.writeInterim([]byte(continueLine), now); err != nil {
			return 0, b.fail(err)
		}
	}
	c.readBy.at(sooner(after(now, c.s.o.StallTimeout), b.call.deadline), c.s.epoch)
	n, err := c.read(p)
	if err != nil {
		err = b.fail(err)
	}
	return n, err
}

// fail classifies an error of reading. All of them are the client's.
func (b *body) fail(err error) error {
	f := &exchange.Failure{Status: 400, Reason: exchange.BadRequest, Err: err}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		f = exchange.Fail(408, exchange.BadRequest, "the client did not send its body in time: %w", err)
	case errors.Is(err, io.EOF):
		f.Err = io.ErrUnexpectedEOF
	}
	b.err = f
	return f
}
