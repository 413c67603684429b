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

// discard reads the rest of a body.
func discard(c *abi.Call, body io.Reader) error {
	buf := make([]byte, 4096)
	for {
		if err := c.Context().Err(); err != nil {
			panic(err)
		}
		_, err := body.Read(buf)
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

// Bounds of a body that is written before there is somewhere to send it, in bytes.
const (
	maxEarly = 1 << 20
	permit   = 64 << 10
)

// outlet is where a body goes.
type outlet interface {
	// write passes bytes on, or ends the guest's call where nobody wants them.
	write(p []byte) error
	flush()
	// end completes the body; wrong says that it is not what the guest announced, as *exchange.Failure.
	end(trailers exchange.Fields, wrong error)
}

// outgoingBody is a wasi:http/types.outgoing-body: that of a response, or of a request of the guest's.
type outgoingBody struct {
	taken    bool   // the stream was
	writing  bool   // it is held
	finished bool   // finish was called
	declared int64  // what Content-Length says, -1 without one
	size     int64  // bytes written
	early    []byte // what was written before there was somewhere to send it
	outlet   outlet // nil until then
	trailers exchange.Fields
	wrong    error
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
	case b.outlet == nil:
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
	if b.outlet != nil {
		return b.outlet.write(p)
	}
	if len(b.early)+len(p) > maxEarly {
		panic(fmt.Errorf("the guest wrote more than %d bytes of a body before there was somewhere to send it", maxEarly))
	}
	b.early = append(b.early, p...)
	return nil
}

// Flush implements wasi.Sink.
func (b *outgoingBody) Flush(*abi.Call) error {
	if b.outlet != nil {
		b.outlet.flush()
	}
	return nil
}

// attach gives the body somewhere to go.
func (b *outgoingBody) attach(o outlet) {
	b.outlet = o
	if len(b.early) > 0 {
		_ = o.write(b.early)
		b.early = nil
	}
	if b.finished {
		o.end(b.trailers, b.wrong)
	}
}

// Drop implements abi.Dropper: a body that is dropped before it is finished is broken off.
func (b *outgoingBody) Drop() {
	if b.finished {
		return
	}
	b.finished, b.wrong = true, errUnfinished
	if b.outlet != nil {
		b.outlet.end(nil, b.wrong)
	}
}

var errUnfinished = exchange.Fail(502, exchange.BadResponse, "the guest did not finish the body that it sends")

// finish is the function outgoing-body.finish.
func (b *outgoingBody) finish(trailers any) any {
	if b.writing {
		panic(errors.New("the guest finished a body whose stream it still holds"))
	}
	b.finished = true
	if b.declared >= 0 && b.size != b.declared {
		b.wrong = exchange.Fail(502, exchange.BadResponse, "the guest wrote %d bytes of a Content-Length of %d", b.size, b.declared)
	}
	if t := trailers.(abi.Variant); t.Case == 1 {
		b.trailers = t.Value.(*fields).list
	}
	if b.outlet != nil {
		b.outlet.end(b.trailers, b.wrong)
	}
	if b.wrong != nil {
		return abi.Err(abi.Variant{Case: codeResponseBodySize, Value: abi.Some(uint64(b.size))})
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
