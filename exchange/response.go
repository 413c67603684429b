package exchange

import (
	"errors"
	"slices"
	"strconv"
	"strings"
)

// BufferSize is how many body bytes a Response holds back before it commits. Responses that fit go out in one piece
// with their Content-Length, and can still be replaced by an error page when the guest fails.
const BufferSize = 32 << 10

// ErrCommitted is returned for changes that come after the head has been sent.
var ErrCommitted = errors.New("exchange: response head already sent")

// ErrFinished is returned for body bytes that come after Finish or Abort.
var ErrFinished = errors.New("exchange: response already finished")

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
	hold      int64 // see Hold; 0 when off
	informs   int   // interim responses sent
	hijacked  bool  // the connection was taken over
	own       Field // see SetOwn; no name when there is none
	buf       []byte
}

// Reset prepares r for a new exchange. The body buffer is kept from exchange to exchange unless Hold let it grow.
// Method decides whether the response may have a body.
func (r *Response) Reset(sink Sink, method string) {
	if cap(r.buf) > 2*BufferSize {
		r.buf = nil
	}
	*r = Response{
		Fields: r.Fields[:0], Trailers: r.Trailers[:0], buf: r.buf[:0],
		sink: sink, headOnly: method == "HEAD", declared: -1,
	}
}

// SetOwn gives the response a field of the server's own, such as its request id. It is sent with whatever head is committed,
// a page of Replace included, in place of fields of that name.
func (r *Response) SetOwn(name, value string) { r.own = Field{name, value} }

// Committed reports whether the head has been sent, after which only body and trailers can follow.
func (r *Response) Committed() bool { return r.committed }

// Sent returns the number of body bytes handed to the front end so far.
func (r *Response) Sent() int64 { return r.sent }

// Buffered returns the body as far as it is held back; it is valid until the next call of a method.
func (r *Response) Buffered() []byte { return r.buf }

// Hold makes r hold back up to limit bytes of body and ignore Flush, so that a middleware can look at the whole
// response and change it; a larger body fails with a *Failure. 0 ends that. It returns the limit in force before, to
// be set again by a middleware inside another. It has no effect on a response whose head is sent.
func (r *Response) Hold(limit int64) (before int64) {
	before, r.hold = r.hold, limit
	return before
}

// ResetBody drops the buffered body. It fails with ErrCommitted once the head is sent.
func (r *Response) ResetBody() error {
	if r.committed {
		return ErrCommitted
	}
	r.buf, r.size = r.buf[:0], 0
	return nil
}

// Write takes body bytes from the guest. It sends the head once more than BufferSize bytes have gathered. Errors are
// those of the sink, ErrFinished, or a *Failure when the response breaks a rule.
func (r *Response) Write(p []byte) (int, error) {
	switch {
	case r.finished:
		return 0, ErrFinished
	case len(p) == 0:
		return 0, nil
	case r.committed:
		return r.write(p)
	}
	total := int64(len(r.buf)) + int64(len(p))
	if r.hold > 0 && total > r.hold {
		return 0, Fail(502, BadResponse, "the response is larger than the %d bytes that can be buffered", r.hold)
	}
	if r.hold > 0 || total <= BufferSize {
		r.buf = append(r.buf, p...)
		r.size += int64(len(p))
		return len(p), nil
	}
	if err := r.commit(-1, int64(len(p))); err != nil {
		return 0, err
	}
	return r.write(p)
}

// write passes p on to the sink, within the length the guest declared.
func (r *Response) write(p []byte) (int, error) {
	r.size += int64(len(p))
	if r.declared >= 0 && r.size > r.declared {
		return 0, tooLong(r.declared)
	}
	if r.bodyless() {
		return len(p), nil
	}
	n, err := r.sink.Write(p)
	r.sent += int64(n)
	return n, err
}

// Flush sends the head and what was written so far. While Hold is on and after the end it does nothing.
func (r *Response) Flush() error {
	if r.finished || r.hold > 0 && !r.committed {
		return nil
	}
	if !r.committed {
		if err := r.commit(-1, 0); err != nil {
			return err
		}
	}
	return r.sink.Flush()
}

// Finish completes the response: it sends what is still held back, with its exact length if nothing went out before
// and there are no trailers. A *Failure means that the guest's response breaks a rule; the caller then calls Replace
// or Abort.
func (r *Response) Finish() error {
	if r.finished {
		return nil
	}
	if err := CheckTrailers(r.Trailers); err != nil {
		return err
	}
	if !r.committed {
		if err := r.commit(r.size, 0); err != nil {
			return err
		}
	}
	if r.declared >= 0 && r.size < r.declared && !r.bodyless() {
		return tooShort(r.size, r.declared)
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

// commit checks the head and sends it with what is buffered. total is the body's length, or -1 when more may follow,
// of which ahead bytes are known to come.
func (r *Response) commit(total, ahead int64) error {
	if r.Status == 0 {
		r.Status = 200
	}
	r.Fields = slices.DeleteFunc(r.Fields, func(f Field) bool { return HopByHop(f.Name) })
	if err := CheckHead(r.Status, r.Fields); err != nil {
		return err
	}
	declared, err := declaredLength(r.Fields)
	if err != nil {
		return err
	}
	if declared >= 0 && r.size+ahead > declared {
		return tooLong(declared)
	}
	if declared >= 0 && total >= 0 && declared != total && !r.bodyless() {
		return tooShort(total, declared)
	}
	r.declared = declared
	r.Fields.Del("Content-Length")
	if r.own.Name != "" {
		r.Fields.Set(r.own.Name, r.own.Value)
	}
	r.committed = true
	if err := r.sink.WriteHead(r.Status, r.Fields, r.headLength(total)); err != nil {
		return err
	}
	buf := r.buf
	r.buf = r.buf[:0]
	if r.bodyless() || len(buf) == 0 {
		return nil
	}
	n, err := r.sink.Write(buf)
	r.sent += int64(n)
	return err
}

// headLength returns the length to announce for a body of total bytes, -1 for none.
func (r *Response) headLength(total int64) int64 {
	switch {
	case r.Status == 204:
		return -1 // must not have a Content-Length (RFC 9110 §8.6)
	case r.declared >= 0:
		return r.declared
	case r.Status == 304, r.headOnly && r.size == 0:
		// The length would have to be that of the GET's body, and a guest that writes none has not said it.
		return -1
	case len(r.Trailers) > 0 && !r.headOnly:
		return -1 // a body of known length leaves HTTP/1.1 no place for trailers
	}
	return total
}

// declaredLength returns what the Content-Length among the fields says, -1 without one.
func declaredLength(fields Fields) (int64, error) {
	declared := int64(-1)
	for _, f := range fields {
		if !strings.EqualFold(f.Name, "Content-Length") {
			continue
		}
		n, err := strconv.ParseUint(f.Value, 10, 63)
		if err != nil || declared >= 0 && declared != int64(n) {
			return -1, Fail(502, BadResponse, "the guest's Content-Length %q is not a number of bytes", clip(f.Value))
		}
		declared = int64(n)
	}
	return declared, nil
}

func tooLong(declared int64) error {
	return Fail(502, BadResponse, "the guest wrote more than its Content-Length of %d", declared)
}

func tooShort(size, declared int64) error {
	return Fail(502, BadResponse, "the guest wrote %d bytes of a Content-Length of %d", size, declared)
}
