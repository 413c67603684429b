package boundary

import (
	"context"
	"errors"
	"io"
	"time"
)

// call is a request to another server. The guest's goroutine uses it; one of its own sends it.
type call struct {
	scope  *Scope
	ctx    context.Context
	cancel context.CancelCauseFunc
	target string

	body *io.PipeWriter // nil without a body, and after its end
	sent int64

	done     chan struct{} // closed when the client has answered
	result   *Response     // and err are set then
	err      error
	response *Response // the result, once the guest has asked for it
	got      int64
	ended    bool // its body was read to the end
}

// start sends a request.
func (s *Scope) start(h *head, body bool, timeout int64) *call {
	o := &s.boundary.opts
	c := &call{scope: s, target: h.target.Origin(), done: make(chan struct{})}
	c.ctx, c.cancel = context.WithCancelCause(s.ctx)
	release := func() {}
	if limit := shorter(o.Timeout, time.Duration(timeout)*time.Millisecond); limit > 0 {
		t := time.AfterFunc(limit, func() { c.cancel(errTimeout) })
		release = func() { t.Stop() }
	}
	context.AfterFunc(c.ctx, release)
	r := &Request{Method: h.method, Target: h.target, Private: o.Private, Fields: h.fields, Length: h.length}
	if body {
		in, out := io.Pipe()
		r.Body, c.body = in, out
		context.AfterFunc(c.ctx, func() { in.CloseWithError(context.Cause(c.ctx)) })
	} else {
		r.Length = 0
	}
	s.running.Go(func() {
		defer close(c.done)
		if c.result, c.err = o.Client.Do(c.ctx, r); c.err != nil && r.Body != nil {
			_ = r.Body.Close() // which lets a writer go
		}
	})
	return c
}

func shorter(a, b time.Duration) time.Duration {
	if a <= 0 || b > 0 && b < a {
		return b
	}
	return a
}

// fail makes an Error of one of the client's, and logs it where the client has denied something.
func (c *call) fail(err error) error {
	e := asError(c.ctx, err)
	if e.Code == Denied {
		return c.scope.boundary.deny(c.target, e)
	}
	return e
}

// write hands a piece of the body over. The client reads from a goroutine of its own, which may outlast the wait for it:
// it gets a copy, and not the guest's memory.
func (c *call) write(p []byte) error {
	if c.body == nil {
		return Failf(BadHandle, "the call has no body, or its body has ended")
	}
	if c.sent += int64(len(p)); c.scope.boundary.opts.MaxBody > 0 && c.sent > c.scope.boundary.opts.MaxBody {
		err := Failf(Limit, "the body is longer than guest.outbound_body, %d bytes", c.scope.boundary.opts.MaxBody)
		c.cancel(err)
		return err
	}
	const piece = 64 << 10
	buf := make([]byte, min(len(p), piece))
	for len(p) > 0 {
		n := copy(buf, p)
		p = p[n:]
		if _, err := c.body.Write(buf[:n]); err != nil {
			return c.writeFailure(err)
		}
	}
	return nil
}

func (c *call) writeFailure(err error) error {
	if errors.Is(err, io.ErrClosedPipe) && c.ctx.Err() == nil {
		return Failf(Unwanted, "the other side takes no more of the body")
	}
	return c.fail(err)
}

// finish waits for the response.
func (c *call) finish() (status int, err error) {
	if c.response != nil {
		return c.response.Status, nil
	}
	if c.body != nil {
		_ = c.body.Close() // never fails
		c.body = nil
	}
	select {
	case <-c.done:
	case <-c.ctx.Done():
		return 0, c.fail(context.Cause(c.ctx))
	}
	if c.err != nil {
		return 0, c.fail(c.err)
	}
	c.response = c.result
	return c.response.Status, nil
}

// read reads from the response's body.
func (c *call) read(p []byte) (int, error) {
	if c.response == nil {
		return 0, Failf(BadHandle, "the call has no response yet")
	}
	for !c.ended {
		n, err := c.response.Body.Read(p)
		c.got += int64(n)
		if limit := c.scope.boundary.opts.MaxBody; limit > 0 && c.got > limit {
			err := Failf(Limit, "the response is longer than guest.outbound_body, %d bytes", limit)
			c.cancel(err)
			return 0, err
		}
		switch {
		case n > 0:
			return n, nil // an error comes again
		case err == io.EOF:
			c.ended = true
		case err != nil:
			return 0, c.fail(err)
		}
	}
	return 0, nil
}

// close ends the call. The client's goroutine closes what it gets too late.
func (c *call) close() {
	c.cancel(errOver)
	c.scope.running.Go(func() {
		<-c.done
		if c.result != nil {
			_ = c.result.Body.Close() // of a response that nobody needs any more
		}
	})
}
