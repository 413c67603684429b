package exchange

import (
	"errors"
	"net"
	"slices"
	"strings"
)

// ErrNotSupported is returned for what the protocol or the front end of an exchange cannot do.
var ErrNotSupported = errors.New("exchange: not supported by the client's connection")

// maxInforms bounds the interim responses of one exchange: clients must read them all.
const maxInforms = 16

// Informer is a Sink that can send interim responses.
type Informer interface {
	// Inform sends an interim response at once. Status and fields have been checked.
	Inform(status int, fields Fields) error
}

// Inform sends an interim response ahead of the head, such as 103 Early Hints (RFC 8297). Fields of framing and of the
// connection are left out. It fails with ErrNotSupported where the client's protocol has no interim responses, with
// ErrCommitted after the head, and with a *Failure when a rule is broken. A client that waits for 100 gets it
// from the front end when the body is read, whether or not a guest says it, too; Hijack is the way to 101.
func (r *Response) Inform(status int, fields Fields) error {
	informer, ok := r.sink.(Informer)
	switch {
	case !ok:
		return ErrNotSupported
	case r.committed || r.finished:
		return ErrCommitted
	case status < 100 || status == 101 || status > 199:
		return Fail(502, BadResponse, "the guest set the interim status %d; there are 100 and those from 102 to 199", status)
	case r.informs == maxInforms:
		return Fail(502, BadResponse, "the guest sent more than %d interim responses", maxInforms)
	}
	r.informs++
	fields = slices.DeleteFunc(slices.Clone(fields), func(f Field) bool { return HopByHop(f.Name) || strings.EqualFold(f.Name, "Content-Length") })
	if err := checkFields(fields); err != nil {
		return err
	}
	return informer.Inform(status, fields)
}

// Hijacker is a Sink that can give its connection away.
type Hijacker interface {
	// Hijack gives the connection away; nothing of the Sink is called any more.
	Hijack() (net.Conn, error)
}

// Hijack takes the client's connection over, for a guest that switches protocols (RFC 9110 §7.8). What was read ahead comes
// out of Read first, no deadline is set, and the taker must Close it, also when that is long after Serve has returned. The
// response is finished with it: the taker sends the 101 itself, and nobody checks what it sends. It fails with
// ErrNotSupported where the client has not offered to (Request.Upgrade) or the response is held back (Hold), and with
// ErrCommitted after the head.
func (r *Response) Hijack() (net.Conn, error) {
	hijacker, ok := r.sink.(Hijacker)
	switch {
	case !ok || r.hold > 0:
		return nil, ErrNotSupported
	case r.committed || r.finished:
		return nil, ErrCommitted
	}
	conn, err := hijacker.Hijack()
	if err == nil {
		r.Status, r.Fields, r.finished, r.hijacked = 101, r.Fields[:0], true, true
	}
	return conn, err
}

// Hijacked reports whether the connection was taken over.
func (r *Response) Hijacked() bool { return r.hijacked }
