package cgi

import (
	"errors"
	"time"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/host/engine"
)

// maxHold is how long body bytes may be held back while the guest goes on printing.
const maxHold = 50 * time.Millisecond

// output is the guest's stdout: it gathers the head, then passes the body on as it comes.
//
// When to send what a guest has printed? At once would cost each line that a C program prints a packet, and each small
// response its Content-Length and the chance to be replaced by an error page. So the Response holds bytes back, until
// they are many, until the guest sleeps (which is when servers of events and progress bars pause), or until they are
// old at the guest's next write. A guest that computes for long between two writes is seen late by so much.
type output struct {
	response *exchange.Response
	stop     func(error)   // ends the guest, whose output has become useless
	hold     time.Duration // how old held back bytes may get

	buf  []byte    // the head so far
	head *head     // once it is complete
	held time.Time // when the oldest byte came that is held back
	err  error
}

// Write takes what the guest prints. It runs on the guest's goroutine.
func (o *output) Write(p []byte) (int, error) {
	if o.err != nil {
		return 0, o.err
	}
	body := p
	if o.head == nil {
		if body = o.gather(p); o.err != nil {
			return 0, o.err
		}
	}
	if o.head != nil && o.head.location == "" && len(body) > 0 {
		o.write(body)
	}
	return len(p), o.err
}

// gather adds p to the head and returns what is behind it.
func (o *output) gather(p []byte) (rest []byte) {
	had := len(o.buf)
	o.buf = append(o.buf, p[:min(len(p), maxHead+1-had)]...)
	end := headEnd(o.buf, had)
	if end == 0 {
		if len(o.buf) > maxHead {
			o.fail(exchange.Fail(502, exchange.BadResponse, "the guest's head is longer than %d bytes", maxHead))
		}
		return nil
	}
	h, err := parseHead(o.buf[:end])
	if err != nil {
		o.fail(err)
		return nil
	}
	o.head, o.buf = h, nil
	if h.location == "" {
		o.response.Status = h.status
		o.response.Fields = append(o.response.Fields, h.fields...)
		o.held = time.Now()
	}
	return p[end-had:]
}

// write passes body bytes on.
func (o *output) write(p []byte) {
	if _, err := o.response.Write(p); err != nil {
		o.fail(err)
		return
	}
	now := time.Now()
	switch {
	case o.held.IsZero():
		o.held = now
	case now.Sub(o.held) >= o.hold:
		o.flush()
	}
}

// flush sends what is held back.
func (o *output) flush() {
	if o.err != nil || o.held.IsZero() {
		return
	}
	o.held = time.Time{}
	if err := o.response.Flush(); err != nil {
		o.fail(err)
	}
}

// fail ends the guest.
func (o *output) fail(err error) {
	o.err = err
	o.stop(err)
}

// finish judges the run when the guest has ended: bodyErr is why its stdin failed and callErr why _start did. It
// returns the target of a local redirect. Errors are a *Failure.
func (o *output) finish(bodyErr, callErr error) (location string, err error) {
	var trap *engine.Trap
	switch {
	case o.err != nil:
		return "", exchange.SendFailure(o.err)
	case bodyErr != nil:
		return "", inputFailure(bodyErr, callErr)
	case errors.As(callErr, &trap) && trap.Kind == engine.KindExit && trap.Code == 0:
	case callErr != nil:
		return "", callFailure(callErr)
	}
	switch {
	case o.head != nil:
		return o.head.location, nil
	case len(o.buf) == 0:
		return "", exchange.Fail(502, exchange.BadResponse, "the guest ended without printing a response")
	}
	return "", exchange.Fail(502, exchange.BadResponse, "the guest ended before the empty line behind its head; it printed %q", clip(string(o.buf)))
}
