package wasihttp

import (
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/host/component/abi"
	"github.com/appserver-go/appserver/host/component/wasi"
)

// discard reads the rest of a request's body.
func discard(c *abi.Call, r *exchange.Request) error {
	buf := make([]byte, 4096)
	for {
		if err := c.Context().Err(); err != nil {
			panic(err)
		}
		_, err := r.Body.Read(buf)
		switch {
		case err == io.EOF:
			return nil
		case errors.As(err, new(*exchange.Failure)):
			panic(err)
		case err != nil:
			return err
		}
	}
}

// Bounds of a body that is written before the outparam is set, in bytes: until then there is nowhere to send it.
const (
	maxEarly = 1 << 20
	permit   = 64 << 10
)

// outgoingBody is a wasi:http/types.outgoing-body: that of a response, or of a request of the guest's.
type outgoingBody struct {
	taken    bool      // the stream was
	writing  bool      // it is held
	finished bool      // finish was called
	declared int64     // what Content-Length says, -1 without one
	size     int64     // bytes written
	early    []byte    // what was written before there was a response to send it with
	exchange *Exchange // once there is one
	trailers exchange.Fields
}

// newOutgoingBody makes a body that goes with header fields.
func newOutgoingBody(list exchange.Fields) *outgoingBody {
	b := &outgoingBody{declared: -1}
	if n, err := strconv.ParseInt(list.Get("Content-Length"), 10, 64); err == nil && n >= 0 {
		b.declared = n
	}
	return b
}

// Permit implements wasi.Sink.
func (b *outgoingBody) Permit(*abi.Call) (uint64, error) {
	switch {
	case b.finished:
		return 0, wasi.ErrClosed
	case b.exchange == nil:
		return uint64(min(permit, maxEarly-len(b.early))), nil
	}
	return permit, nil
}

// Write implements wasi.Sink.
func (b *outgoingBody) Write(_ *abi.Call, p []byte) error {
	if b.finished {
		return wasi.ErrClosed
	}
	b.size += int64(len(p))
	if b.declared >= 0 && b.size > b.declared {
		return fmt.Errorf("the body is longer than its Content-Length of %d", b.declared)
	}
	if b.exchange != nil {
		return b.send(p)
	}
	if len(b.early)+len(p) > maxEarly {
		panic(fmt.Errorf("the guest wrote more than %d bytes of a response's body before it set the response", maxEarly))
	}
	b.early = append(b.early, p...)
	return nil
}

// send passes bytes on. A client that is gone ends the guest's call: there is nobody to work for.
func (b *outgoingBody) send(p []byte) error {
	if _, err := b.exchange.x.Response.Write(p); err != nil {
		panic(clientGone(err))
	}
	return nil
}

// Flush implements wasi.Sink. The response is flushed when the guest waits: small responses, which end right after their
// first flush, go out in one piece.
func (b *outgoingBody) Flush(*abi.Call) error {
	if b.exchange != nil {
		b.exchange.flush = true
	}
	return nil
}

// attach gives the body the response to send it with.
func (b *outgoingBody) attach(h *Exchange) {
	b.exchange = h
	h.body = b
	_ = b.send(b.early)
	b.early = nil
	if b.finished {
		b.complete()
	}
}

// complete sends the end of the response, while the guest may have more to do. Where somebody else may change the
// response later, it is left to the caller of the guest.
func (b *outgoingBody) complete() {
	r := &b.exchange.x.Response
	r.Trailers = append(r.Trailers[:0], b.trailers...)
	held := r.Hold(0)
	r.Hold(held)
	if held > 0 {
		return
	}
	if err := r.Finish(); err != nil {
		b.exchange.failure = clientGone(err)
	}
}

// finish is the function outgoing-body.finish.
func (b *outgoingBody) finish(trailers any) any {
	if b.writing {
		panic(errors.New("the guest finished a body whose stream it still holds"))
	}
	b.finished = true
	if b.declared >= 0 && b.size != b.declared {
		if b.exchange != nil {
			b.exchange.failure = exchange.Fail(502, exchange.BadResponse,
				"the guest wrote %d bytes of a Content-Length of %d", b.size, b.declared)
		}
		return abi.Err(abi.Variant{Case: codeResponseBodySize, Value: abi.Some(uint64(b.size))})
	}
	if t := trailers.(abi.Variant); t.Case == 1 {
		b.trailers = t.Value.(*fields).list
	}
	if b.exchange != nil {
		b.complete()
	}
	return abi.OK(nil)
}

var bodyFuncs = map[string]abi.Func{
	"[method]outgoing-body.write": func(_ *abi.Call, args []any) any {
		b := args[0].(*outgoingBody)
		if b.taken {
			return abi.Err(nil)
		}
		b.taken, b.writing = true, true
		return abi.OK(&wasi.OutputStream{Sink: b, Release: func() { b.writing = false }})
	},
	"[static]outgoing-body.finish": func(_ *abi.Call, args []any) any { return args[0].(*outgoingBody).finish(args[1]) },
}
