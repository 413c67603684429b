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
	charged int           // bytes of header fields that the guest made
	set     bool          // the outparam was
	body    *outgoingBody // of the response, nil for none
	flush   bool          // the guest asked for one
	failure error         // what is wrong with the response, once it is set
}

// Begin makes h serve x.
func (h *Exchange) Begin(x *exchange.Exchange) { *h = Exchange{x: x} }

// Request returns an incoming-request for the guest.
func (h *Exchange) Request() any { return &incomingRequest{exchange: h} }

// Outparam returns a response-outparam for the guest.
func (h *Exchange) Outparam() any { return &outparam{exchange: h} }

// Wait passes on what the guest wrote if it asked for that. It is called before the guest waits.
func (h *Exchange) Wait() {
	if h.flush && h.set {
		h.flush = false
		if err := h.x.Response.Flush(); err != nil {
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
	case h.body != nil && !h.body.finished:
		return exchange.Fail(502, exchange.BadResponse, "the guest did not finish the response's body")
	}
	return nil
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
