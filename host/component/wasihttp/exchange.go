package wasihttp

import (
	_ "embed" // for http.wit
	"errors"
	"fmt"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/host/component/abi"
)

// WIT are the interfaces of the package. They use those of package wasi.
//
//go:embed http.wit
var WIT string

// Env is what the functions ask of the Host of an abi.Instance.
type Env interface {
	// HTTP returns the exchange that the instance serves, nil when it serves none.
	HTTP() *Exchange
}

// Exchange is an exchange while a guest serves it.
type Exchange struct {
	x       *exchange.Exchange
	charged int   // bytes of header fields that the guest made
	set     bool  // the outparam was
	body    bool  // the response has one that has not ended
	wanted  bool  // the guest asked for a flush
	failure error // what is wrong with the response, once it is set

	client Client // for requests of the guest's own, nil to deny them
	calls  calls
	over   bool
}

// Begin makes an Exchange of x. The client is for requests of the guest's own; nil denies them. Close must be called when
// the guest has returned.
func Begin(x *exchange.Exchange, client Client) *Exchange { return &Exchange{x: x, client: client} }

// Close ends the requests of the guest's own and waits for them. Handles that the guest keeps are of no use from then on.
func (h *Exchange) Close() {
	h.calls.close()
	h.over = true
}

// live returns the exchange, or ends the guest's call if it is over: the connection serves another one by now.
func (h *Exchange) live() *exchange.Exchange {
	if h.over {
		panic(errors.New("the guest used a request or response that is over"))
	}
	return h.x
}

// requestBody is the body of the request.
type requestBody struct{ h *Exchange }

func (b requestBody) Read(p []byte) (int, error) { return b.h.live().Request.Body.Read(p) }

// Request returns an incoming-request for the guest.
func (h *Exchange) Request() any { return &incomingRequest{exchange: h} }

// Outparam returns a response-outparam for the guest.
func (h *Exchange) Outparam() any { return &outparam{exchange: h} }

// Wait passes on what the guest wrote if it asked for that. It is called before the guest waits.
func (h *Exchange) Wait() {
	if h.wanted && h.set {
		h.wanted = false
		if err := h.live().Response.Flush(); err != nil {
			panic(clientGone(err))
		}
	}
}

// End says how the exchange ended when the guest has returned: nil if the response is whole.
func (h *Exchange) End() error {
	switch {
	case h.failure != nil:
		return h.failure
	case !h.set:
		return exchange.Fail(500, exchange.BadResponse, "the guest returned without a response")
	case h.body:
		return errUnfinished
	}
	return nil
}

// write implements outlet. A client that is gone ends the guest's call: there is nobody to work for.
func (h *Exchange) write(p []byte) error {
	if _, err := h.live().Response.Write(p); err != nil {
		panic(clientGone(err))
	}
	return nil
}

// flush implements outlet. The response is flushed when the guest waits: small responses, which end right after their
// first flush, go out in one piece.
func (h *Exchange) flush() { h.wanted = true }

// end implements outlet. It sends the end of the response, while the guest may have more to do. Where somebody else may
// change the response later, it is left to the caller of the guest.
func (h *Exchange) end(trailers exchange.Fields, wrong error) {
	h.body = false
	if wrong != nil {
		h.failure = wrong
		return
	}
	r := &h.live().Response
	r.Trailers = append(r.Trailers[:0], trailers...)
	held := r.Hold(0)
	r.Hold(held)
	if held > 0 {
		return
	}
	if err := r.Finish(); err != nil {
		h.failure = clientGone(err)
	}
}

// clientGone makes an error of sending a response the failure of the exchange.
func clientGone(err error) error {
	var f *exchange.Failure
	if errors.As(err, &f) {
		return err
	}
	return exchange.Fail(503, exchange.Canceled, "send the response: %w", err)
}

// maxFieldBytes is how many bytes of header fields a guest may make while it serves one request. They are on our heap.
const maxFieldBytes = 8 << 20

// charge counts bytes of header fields.
func charge(c *abi.Call, n int) {
	h := http(c)
	if h.charged += n; h.charged > maxFieldBytes {
		panic(fmt.Errorf("the guest made more than %d bytes of header fields", maxFieldBytes))
	}
}

// http returns the exchange of the call.
func http(c *abi.Call) *Exchange {
	h := c.Host().(Env).HTTP()
	if h == nil {
		panic(errors.New("the guest used wasi:http before there was a request"))
	}
	return h
}

// Funcs returns the functions by interface and name, as "wasi:http/types#[constructor]fields".
func Funcs() map[string]abi.Func {
	all := map[string]abi.Func{}
	for _, funcs := range []map[string]abi.Func{fieldFuncs, requestFuncs, bodyFuncs, responseFuncs} {
		for name, f := range funcs {
			all["wasi:http/types#"+name] = f
		}
	}
	for name, f := range outgoingFuncs {
		all[name] = f
	}
	return all
}
