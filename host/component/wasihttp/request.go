package wasihttp

import (
	"errors"
	"io"
	"strings"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/host/component/abi"
	"github.com/appserver-go/appserver/host/component/wasi"
)

// incomingRequest is a wasi:http/types.incoming-request.
type incomingRequest struct {
	exchange *Exchange
	consumed bool
}

// methods are the cases of method that carry nothing.
var methods = []string{"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"}

func methodOf(name string) any {
	for i, m := range methods {
		if m == name {
			return abi.Enum(uint32(i))
		}
	}
	return abi.Variant{Case: uint32(len(methods)), Value: name}
}

func schemeOf(name string) any {
	switch strings.ToLower(name) {
	case "http":
		return abi.Enum(0)
	case "https":
		return abi.Enum(1)
	}
	return abi.Variant{Case: 2, Value: name}
}

// request returns the request of the guest's call.
func request(args []any) *exchange.Request {
	return &args[0].(*incomingRequest).exchange.live().Request
}

func optional(s string) any {
	if s == "" {
		return abi.None
	}
	return abi.Some(s)
}

// incomingFields returns header fields or trailers as a guest sees them: names in lower case, without those that are not
// for guests. A guest may put them into its response, which outlives the connection's buffer.
func incomingFields(c *abi.Call, list exchange.Fields) *fields {
	f := &fields{}
	for _, e := range list {
		if !notGuests(e.Name) {
			f.add(c, strings.Clone(strings.ToLower(e.Name)), strings.Clone(e.Value))
		}
	}
	f.immutable = true
	return f
}

var requestFuncs = map[string]abi.Func{
	"[method]incoming-request.method":          func(_ *abi.Call, args []any) any { return methodOf(request(args).Method) },
	"[method]incoming-request.path-with-query": func(_ *abi.Call, args []any) any { return optional(request(args).Target) },
	"[method]incoming-request.scheme":          func(_ *abi.Call, args []any) any { return abi.Some(schemeOf(request(args).Scheme)) },
	"[method]incoming-request.authority":       func(_ *abi.Call, args []any) any { return optional(request(args).Host) },
	"[method]incoming-request.headers":         func(c *abi.Call, args []any) any { return incomingFields(c, request(args).Fields) },
	"[method]incoming-request.consume": func(_ *abi.Call, args []any) any {
		r := args[0].(*incomingRequest)
		if r.consumed {
			return abi.Err(nil)
		}
		r.consumed = true
		h := r.exchange
		return abi.OK(&incomingBody{body: requestBody{h}, trailers: func() exchange.Fields { return h.live().Request.Trailers }})
	},
	"[method]incoming-body.stream": func(_ *abi.Call, args []any) any { return args[0].(*incomingBody).stream() },
	"[static]incoming-body.finish": func(_ *abi.Call, args []any) any {
		b := args[0].(*incomingBody)
		if b.reading {
			panic(errors.New("the guest finished a body whose stream it still holds"))
		}
		return &futureTrailers{body: b}
	},
	"[method]future-trailers.subscribe": func(*abi.Call, []any) any { return &wasi.Pollable{} },
	"[method]future-trailers.get":       func(c *abi.Call, args []any) any { return args[0].(*futureTrailers).get(c) },
}

// incomingBody is a wasi:http/types.incoming-body: that of the request, or of a response to one of the guest's own.
type incomingBody struct {
	body     io.Reader
	trailers func() exchange.Fields // once it was read to its end
	streamed bool                   // the stream was taken
	reading  bool                   // it is held
}

func (b *incomingBody) stream() any {
	if b.streamed {
		return abi.Err(nil)
	}
	b.streamed, b.reading = true, true
	return abi.OK(&wasi.InputStream{
		Reader: b.body, Waits: true,
		Fatal:   func(err error) bool { return errors.As(err, new(*exchange.Failure)) },
		Release: func() { b.reading = false },
	})
}

// Drop implements abi.Dropper.
func (b *incomingBody) Drop() {
	if c, ok := b.body.(io.Closer); ok {
		_ = c.Close()
	}
}

// futureTrailers is a wasi:http/types.future-trailers.
type futureTrailers struct {
	body  *incomingBody
	taken bool
}

// Drop implements abi.Dropper.
func (f *futureTrailers) Drop() { f.body.Drop() }

// get reads what is left of the body, since trailers come after it.
func (f *futureTrailers) get(c *abi.Call) any {
	if f.taken {
		return abi.Some(abi.Err(nil))
	}
	f.taken = true
	if err := discard(c, f.body.body); err != nil {
		return abi.Some(abi.OK(abi.Err(internalError(err.Error()))))
	}
	if t := f.body.trailers(); len(t) > 0 {
		return abi.Some(abi.OK(abi.OK(abi.Some(incomingFields(c, t)))))
	}
	return abi.Some(abi.OK(abi.OK(abi.None)))
}
