package wasihttp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/host/component/abi"
)

// Client makes the requests of guests. What they may ask for is its to decide.
type Client interface {
	// Do sends a request and returns when the response's head is there. It closes the request's body in any case. When ctx
	// is done, it returns, and the response's body fails. Errors are a *CodeError where a guest can be told more than that
	// it failed.
	Do(ctx context.Context, r *ClientRequest) (*ClientResponse, error)
}

// ClientRequest is a request of a guest.
type ClientRequest struct {
	// Method, Scheme ("http", "https" or another one), Authority and Path, with the query, are as the guest gave them, where
	// it gave any.
	Method, Scheme, Authority, Path string
	// Fields have no fields of the connection, and no Host.
	Fields exchange.Fields
	// Body is nil where there is none. Length is its length, -1 where that is not known.
	Body   io.ReadCloser
	Length int64
}

// ClientResponse is the answer to a ClientRequest.
type ClientResponse struct {
	Status int
	Fields exchange.Fields
	Body   io.ReadCloser
	// Trailers returns the trailer fields once Body was read to its end.
	Trailers func() exchange.Fields
}

// CodeError is an error that is told to the guest as one of wasi:http's error codes.
type CodeError struct {
	// Code is the name of a case of error-code that carries nothing, such as "HTTP-request-denied".
	Code string
	// Text is one line for people.
	Text string
}

func (e *CodeError) Error() string { return e.Text }

// maxCalls is how many requests of its own a guest may make for one that it serves. The Client may allow fewer.
const maxCalls = 1000

// calls are the requests that a guest has made for an exchange.
type calls struct {
	running sync.WaitGroup
	cancels []context.CancelFunc
}

// close ends the calls and waits for them.
func (s *calls) close() {
	for _, cancel := range s.cancels {
		cancel()
	}
	s.running.Wait()
	s.cancels = nil
}

// codeValue makes an error-code of an error.
func codeValue(err error) any {
	var e *CodeError
	if errors.As(err, &e) {
		if n := slices.Index(errorCodes, e.Code); n >= 0 {
			return abi.Enum(uint32(n))
		}
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return abi.Enum(uint32(slices.Index(errorCodes, "HTTP-response-timeout")))
	}
	return internalError(clip(err.Error()))
}

// futureResponse is a wasi:http/types.future-incoming-response.
type futureResponse struct {
	cancel context.CancelFunc
	done   chan struct{} // closed when the others are set
	resp   *ClientResponse
	err    error
	taken  bool
}

// Drop implements abi.Dropper: a response that nobody has taken is not wanted.
func (f *futureResponse) Drop() {
	if !f.taken {
		f.cancel()
	}
}

func (f *futureResponse) get() any {
	select {
	case <-f.done:
	default:
		return abi.None
	}
	switch {
	case f.taken:
		return abi.Some(abi.Err(nil))
	case f.err != nil:
		f.taken = true
		return abi.Some(abi.OK(abi.Err(codeValue(f.err))))
	}
	f.taken = true
	return abi.Some(abi.OK(abi.OK(&incomingResponse{ClientResponse: f.resp})))
}

// incomingResponse is a wasi:http/types.incoming-response.
type incomingResponse struct {
	*ClientResponse
	consumed bool
}

// Drop implements abi.Dropper. A body that was taken is its own owner.
func (r *incomingResponse) Drop() {
	if !r.consumed {
		_ = r.Body.Close()
	}
}

// send begins a request of the guest's.
func send(c *abi.Call, r *outgoingRequest, options requestOptions) any {
	h := http(c)
	if h.client == nil {
		return abi.Err(abi.Enum(codeRequestDenied))
	}
	if len(h.calls.cancels) >= maxCalls {
		return abi.Err(abi.Enum(uint32(slices.Index(errorCodes, "connection-limit-reached"))))
	}
	request := &ClientRequest{
		Method: methodName(r.method), Scheme: schemeName(r.scheme), Authority: text(r.authority), Path: text(r.path),
		Fields: r.fields.list,
	}
	r.fields.immutable = true
	ctx, cancel := context.WithCancel(c.Context())
	h.calls.cancels = append(h.calls.cancels, cancel)
	if r.body != nil {
		request.Length = r.body.declared
		read, write := io.Pipe()
		request.Body = read
		context.AfterFunc(ctx, func() { _ = read.CloseWithError(ctx.Err()) })
		defer r.body.attach(&upload{write}) // when somebody reads it
	}
	f := &futureResponse{cancel: cancel, done: make(chan struct{})}
	timeout := durationOf(options[firstByte])
	h.calls.running.Go(func() { f.run(ctx, h.client, request, timeout) })
	return abi.OK(f)
}

// run makes the call.
func (f *futureResponse) run(ctx context.Context, client Client, r *ClientRequest, timeout time.Duration) {
	late := make(chan struct{})
	if timeout > 0 {
		t := time.AfterFunc(timeout, func() {
			close(late)
			f.cancel()
		})
		defer t.Stop()
	}
	resp, err := client.Do(ctx, r)
	select {
	case <-late:
		if err != nil {
			err = fmt.Errorf("no response within %v: %w", timeout, context.DeadlineExceeded)
		}
	default:
	}
	f.resp, f.err = resp, err
	close(f.done)
}

// durationOf returns the nanoseconds in an option, 0 for none.
func durationOf(v any) time.Duration {
	o, ok := v.(abi.Variant)
	if !ok || o.Case == 0 {
		return 0
	}
	return time.Duration(min(o.Value.(uint64), 1<<62))
}

// methodName returns the method as HTTP has it.
func methodName(v any) string {
	if m := v.(abi.Variant); int(m.Case) < len(methods) {
		return methods[m.Case]
	}
	return text(v)
}

// schemeName returns the scheme, https where the guest left it open.
func schemeName(v any) string {
	o := v.(abi.Variant)
	if o.Case == 0 {
		return "https"
	}
	switch s := o.Value.(abi.Variant); s.Case {
	case 0:
		return "http"
	case 1:
		return "https"
	}
	return text(v)
}

// upload is the outlet of a request's body.
type upload struct{ *io.PipeWriter }

// write implements outlet.
func (u *upload) write(p []byte) error {
	_, err := u.Write(p)
	return err
}

// flush implements outlet.
func (*upload) flush() {}

// end implements outlet. Trailers of requests are not sent.
func (u *upload) end(_ exchange.Fields, wrong error) { _ = u.CloseWithError(wrong) }
