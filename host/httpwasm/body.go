package httpwasm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/appserver-go/appserver/exchange"
)

// keepBody is the size in bytes up to which an instance keeps a body's buffer for the next request.
const keepBody = 64 << 10

// requestBody is the request's body as the guest and the next handler see it. They read it independently of each other
// when it is recorded; else what the guest has read is gone. The guest reads what the client sent also after it began
// to replace it, so it can transform a body piece by piece.
type requestBody struct {
	src      io.Reader
	recorded bool
	rec      recording
	off      int  // the guest's place in rec
	consumed bool // the guest has taken bytes that the next handler will not see

	replaced bool
	written  []byte
	reader   bytes.Reader // of written
	replay   replay       // the next handler's view of rec
}

func (b *requestBody) begin(src io.Reader) {
	b.src, b.recorded, b.off, b.consumed, b.replaced = src, false, 0, false, false
}

func (b *requestBody) end() {
	b.src, b.rec.src, b.rec.err = nil, nil, nil
	b.reader.Reset(nil)
	b.rec.buf, b.written = reusable(b.rec.buf), reusable(b.written)
}

// reusable empties a buffer and drops a large one.
func reusable(b []byte) []byte {
	if cap(b) > keepBody {
		return nil
	}
	return b[:0]
}

// record begins to keep what is read, up to limit bytes.
func (b *requestBody) record(limit int64) {
	b.recorded = true
	b.rec = recording{src: b.src, buf: b.rec.buf[:0], limit: limit}
}

// Read is the guest's.
func (b *requestBody) Read(p []byte) (int, error) {
	if b.recorded {
		n, err := b.rec.readAt(p, b.off)
		b.off += n
		return n, err
	}
	n, err := b.src.Read(p)
	b.consumed = b.consumed || n > 0
	return n, err
}

// handOver puts the body into the request for the next handler. It reports whether the length is another one now.
func (b *requestBody) handOver(r *exchange.Request) (changed bool) {
	switch {
	case b.replaced:
		b.reader.Reset(b.written)
		r.Body, r.ContentLength = &b.reader, int64(len(b.written))
		return true
	case b.recorded:
		b.replay = replay{rec: &b.rec}
		r.Body = &b.replay
	}
	if b.consumed {
		r.ContentLength = -1
	}
	return b.consumed
}

// recording is a stream that keeps what was read of it, so that it can be read again.
type recording struct {
	src   io.Reader
	buf   []byte
	limit int64 // of buf, in bytes
	err   error // what the stream ended with
}

// readAt reads from what is recorded, and from the stream behind its end.
func (r *recording) readAt(p []byte, off int) (int, error) {
	if off < len(r.buf) {
		return copy(p, r.buf[off:]), nil
	}
	if r.err != nil || len(p) == 0 {
		return 0, r.err
	}
	n, err := r.src.Read(p)
	if int64(len(r.buf))+int64(n) > r.limit {
		r.err = exchange.Fail(413, exchange.BadRequest, "the request's body is larger than the %d bytes that can be buffered", r.limit)
		return 0, r.err
	}
	r.buf, r.err = append(r.buf, p[:n]...), err
	return n, err
}

// replay reads a recording from its beginning.
type replay struct {
	rec *recording
	off int
}

func (r *replay) Read(p []byte) (int, error) {
	n, err := r.rec.readAt(p, r.off)
	r.off += n
	return n, err
}

// responseBody is the state of the guest's reading and writing of the response's body.
type responseBody struct {
	off      int  // the guest's place in the body it reads
	replaced bool // the guest has written in this phase, which dropped what was there
	detached bool // orig holds the next handler's body, which the response holds no more
	orig     []byte
}

func (b *responseBody) begin() { b.off, b.replaced, b.detached = 0, false, false }

func (b *responseBody) end() { b.orig = reusable(b.orig) }

// readBody fills the guest's buffer unless the body ends before.
func (in *instance) readBody(s []uint64) {
	in.mustServe()
	kind, limit := uint32(s[0]), uint32(s[2])
	if kind != requestBodyKind && kind != responseBodyKind {
		panic(badBodyKind(kind))
	}
	if limit == 0 {
		panic(errors.New("the guest read a body into a buffer of 0 bytes"))
	}
	view := in.view("body buffer", uint32(s[1]), limit)
	if kind == responseBodyKind {
		in.mustChangeResponse("body")
		s[0] = in.readResponse(view)
		return
	}
	if in.phase == handlingResponse && in.features&bufferRequest == 0 {
		panic(errors.New("the guest read the request's body in handle_response without the feature buffer_request"))
	}
	n, err := fill(&in.reqBody, view)
	s[0] = uint64(n)
	if err == io.EOF {
		s[0] |= 1 << 32
	} else if err != nil {
		panic(requestFailure(in.ctx.get(), err))
	}
}

func badBodyKind(kind uint32) error {
	return fmt.Errorf("the guest named the body kind %d, which does not exist", kind)
}

// fill reads until p is full or the stream fails or ends.
func fill(r io.Reader, p []byte) (n int, err error) {
	for idle := 0; n < len(p) && err == nil; idle++ {
		var k int
		if k, err = r.Read(p[n:]); k > 0 {
			n, idle = n+k, 0
		}
		if idle == 100 && err == nil {
			err = io.ErrNoProgress
		}
	}
	return n, err
}

// requestFailure blames the right one for a request body that cannot be read, which is never the guest.
func requestFailure(ctx context.Context, err error) error {
	var f *exchange.Failure
	switch {
	case errors.As(err, &f):
		return err
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return exchange.Fail(504, exchange.TimedOut, "read the request's body: %w", err)
	case ctx.Err() != nil:
		return exchange.Fail(503, exchange.Canceled, "read the request's body: %w", err)
	}
	return exchange.Fail(400, exchange.BadRequest, "read the request's body: %w", err)
}

// readResponse reads the next handler's body in handle_response, and what the guest itself wrote in handle_request.
func (in *instance) readResponse(p []byte) uint64 {
	body := in.x.Response.Buffered()
	if in.respBody.detached {
		body = in.respBody.orig
	}
	body = body[min(in.respBody.off, len(body)):]
	n := copy(p, body)
	in.respBody.off += n
	if n == len(body) {
		return 1<<32 | uint64(n)
	}
	return uint64(n)
}

// writeBody replaces a body with its first call, and appends to it with those that follow.
func (in *instance) writeBody(s []uint64) {
	in.mustServe()
	kind, offset, n := uint32(s[0]), uint32(s[1]), uint32(s[2])
	switch kind {
	case requestBodyKind:
		in.mustChangeRequest("body")
		in.writeRequest(in.view("body", offset, n))
	case responseBodyKind:
		in.mustChangeResponse("body")
		in.writeResponse(in.view("body", offset, n))
	default:
		panic(badBodyKind(kind))
	}
}

func (in *instance) writeRequest(p []byte) {
	b := &in.reqBody
	if !b.replaced {
		b.replaced, b.written = true, b.written[:0]
	}
	if limit := in.guest.opts.BodyLimit; int64(len(b.written))+int64(len(p)) > limit {
		panic(exchange.Fail(500, exchange.Trapped, "the guest replaced the request's body by more than %d bytes", limit))
	}
	b.written = append(b.written, p...)
}

func (in *instance) writeResponse(p []byte) {
	r, b := &in.x.Response, &in.respBody
	if !b.replaced {
		b.replaced = true
		if in.phase == handlingResponse {
			b.orig, b.detached = append(b.orig[:0], r.Buffered()...), true
			r.Fields.Del("Content-Length") // of a body that is no more
		}
		if err := r.ResetBody(); err != nil {
			panic(fmt.Errorf("the guest replaced the response's body: %w", err))
		}
	}
	if _, err := r.Write(p); err != nil {
		panic(exchange.SendFailure(err))
	}
}
