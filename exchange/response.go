package exchange

import (
	"errors"
	"slices"
	"strconv"
)

// BufferSize is how many body bytes a Response holds back before it commits. Responses that fit go out in one piece
// with their Content-Length, and can still be replaced by an error page when the guest fails.
const BufferSize = 32 << 10

// ErrCommitted is returned for changes that come after the head has been sent.
var ErrCommitted = errors.New("exchange: response head already sent")

// Sink is the front end's side of a response: it puts it on the wire. A Response calls WriteHead once, then Write and
// Flush, then Close or Abort, all from the goroutine that serves the exchange.
type Sink interface {
	// WriteHead sends the head. Status and fields have been checked (CheckHead) and hold no framing fields;
	// length is the body's length in bytes, -1 when unknown. The sink adds framing, Date and Connection.
	WriteHead(status int, fields Fields, length int64) error
	// Write sends body bytes. It is not called for responses that have no body (HEAD, 204, 304).
	Write(p []byte) (int, error)
	// Flush puts what was written so far on the wire.
	Flush() error
	// Close ends a whole response; trailers may be empty.
	Close(trailers Fields) error
	// Abort breaks the connection or stream off so that the client sees that the response is not whole.
	Abort()
}

// Response is the answer under construction. The head is committed lazily: Status, Fields and Trailers may change
// until Flush or BufferSize bytes of body send it. The zero value is not usable; front ends call Reset.
type Response struct {
	// Status is the status code; 0 means 200.
	Status int
	// Fields are the header fields. Content-Length is taken as the guest's claim about its body and checked.
	Fields Fields
	// Trailers are sent after a body of unknown length where the protocol can carry them.
	Trailers Fields

	sink      Sink
	headOnly  bool  // the request was HEAD: count and drop the body
	committed bool  // the head is on its way
	finished  bool  // Finish or Abort was called
	declared  int64 // what the guest's Content-Length says, -1 without one; valid once committed
	size      int64 // body bytes taken from the guest
	sent      int64 // body bytes given to the sink
	buf       []byte
}

// Reset prepares r for a new exchange. The body buffer is kept from exchange to exchange. Method decides whether the
// response may have a body.
func (r *Response) Reset(sink Sink, method string) {
	*r = Response{
		Fields: r.Fields[:0], Trailers: r.Trailers[:0], buf: r.buf[:0],
		sink: sink, headOnly: method == "HEAD", declared: -1,
	}
}

// Committed reports whether the head has been sent, after which only body and trailers can follow.
func (r *Response) Committed() bool { return r.committed }

// Sent returns the number of body bytes handed to the front end so far.
func (r *Response) Sent() int64 { return r.sent }

// Buffered returns the body as far as it is held back; it is valid until the next call of a method.
func (r *Response) Buffered() []byte { return r.buf }

// ResetBody drops the buffered body. It fails with ErrCommitted once the head is sent.
func (r *Response) ResetBody() error {
	if r.committed {
		return ErrCommitted
	}
	r.buf, r.size = r.buf[:0], 0
	return nil
}

// Write takes body bytes from the guest. It sends the head once more than BufferSize bytes have gathered. Errors are
// those of the sink, or a *Failure when the response breaks a rule.
func (r *Response) Write(p []byte) (int, error) {
	if !r.committed {
		if len(r.buf)+len(p) <= BufferSize {
			r.buf = append(r.buf, p...)
			r.size += int64(len(p))
			return len(p), nil
		}
		if err := r.commit(-1); err != nil {
			return 0, err
		}
	}
	return r.write(p)
}

// write passes p on to the sink, within the length the guest declared.
func (r *Response) write(p []byte) (int, error) {
	r.size += int64(len(p))
	if r.declared >= 0 && r.size > r.declared {
		return 0, Fail(502, BadResponse, "the guest wrote more than its Content-Length of %d", r.declared)
	}
	if r.bodyless() {
		return len(p), nil
	}
	n, err := r.sink.Write(p)
	r.sent += int64(n)
	return n, err
}

// Flush sends the head and what was written so far.
func (r *Response) Flush() error {
	if !r.committed {
		if err := r.commit(-1); err != nil {
			return err
		}
	}
	return r.sink.Flush()
}

// Finish completes the response: it sends what is still held back, with its exact length if nothing went out before.
// A *Failure means that the guest's response breaks a rule; the caller then calls Replace or Abort.
func (r *Response) Finish() error {
	if r.finished {
		return nil
	}
	if !r.committed {
		if err := r.commit(r.size); err != nil {
			return err
		}
	}
	if r.declared >= 0 && r.size < r.declared && !r.bodyless() {
		return Fail(502, BadResponse, "the guest wrote %d bytes of a Content-Length of %d", r.size, r.declared)
	}
	if err := CheckTrailers(r.Trailers); err != nil {
		return err
	}
	r.finished = true
	return r.sink.Close(r.Trailers)
}

// Replace throws away what was not sent and makes the response a plain one of the server's own. It reports false,
// and changes nothing, when the head is already out.
func (r *Response) Replace(status int, contentType, body string) bool {
	if r.committed {
		return false
	}
	r.Status = status
	r.Fields, r.Trailers = r.Fields[:0], r.Trailers[:0]
	r.Fields.Add("Content-Type", contentType)
	r.buf = append(r.buf[:0], body...)
	r.size = int64(len(body))
	return true
}

// Abort breaks the response off. It is safe to call more than once and after Finish, where it does nothing.
func (r *Response) Abort() {
	if !r.finished {
		r.finished = true
		r.sink.Abort()
	}
}

// bodyless reports whether this response must not carry a body (RFC 9110 §6.4.1).
func (r *Response) bodyless() bool {
	return r.headOnly || r.Status == 204 || r.Status == 304
}

// commit checks the head and sends it with what is buffered. total is the body's length, or -1 when more may follow.
func (r *Response) commit(total int64) error {
	if r.Status == 0 {
		r.Status = 200
	}
	r.Fields = slices.DeleteFunc(r.Fields, func(f Field) bool { return HopByHop(f.Name) })
	if err := CheckHead(r.Status, r.Fields); err != nil {
		return err
	}
	if err := r.takeDeclared(); err != nil {
		return err
	}
	if total >= 0 && r.declared >= 0 && r.declared != total && !r.bodyless() {
		return Fail(502, BadResponse, "the guest wrote %d bytes of a Content-Length of %d", total, r.declared)
	}
	if r.declared >= 0 && r.size > r.declared {
		return Fail(502, BadResponse, "the guest wrote more than its Content-Length of %d", r.declared)
	}
	length := total
	switch {
	case r.declared >= 0:
		length = r.declared
	case r.headOnly && r.size == 0:
		length = -1 // a guest that skips the body of HEAD has not said how long it would be
	}
	r.committed = true
	if err := r.sink.WriteHead(r.Status, r.Fields, length); err != nil {
		return err
	}
	if r.bodyless() || len(r.buf) == 0 {
		return nil
	}
	n, err := r.sink.Write(r.buf)
	r.sent += int64(n)
	return err
}

// takeDeclared moves the guest's Content-Length out of the fields.
func (r *Response) takeDeclared() error {
	for _, v := range r.Fields.Values("Content-Length") {
		n, err := strconv.ParseUint(v, 10, 63)
		if err != nil || r.declared >= 0 && r.declared != int64(n) || v[0] == '+' {
			return Fail(502, BadResponse, "the guest's Content-Length %q is not a number of bytes", v)
		}
		r.declared = int64(n)
	}
	r.Fields.Del("Content-Length")
	return nil
}
