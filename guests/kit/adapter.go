package kit

import (
	"context"
	"net/http"
)

// adapter answers the calls of the http-wasm ABI with a handler. A host calls one function of an instance at a time,
// but may begin a second request while the first is with the next handler.
type adapter struct {
	host    host
	handler http.Handler
	exit    func(code int)
	pending map[uint32]*passing // requests that are with the next handler, by the context the host was given
	last    uint32
}

// newAdapter makes an adapter for the handler m makes. Exit ends the program.
func newAdapter(h host, m Middleware, exit func(code int)) *adapter {
	a := &adapter{host: h, exit: exit, pending: map[uint32]*passing{}}
	a.handler = m(http.HandlerFunc(a.next))
	return a
}

// handleRequest is called for each request. The lower half of its result is 1 if the host shall call the next handler
// and then handleResponse with the upper half, and 0 if the request has been answered.
//
// The handler runs in a goroutine of its own so that it can wait for the next handler while this function returns: in
// Go, goroutines stand still between the calls of a module's functions and go on in the next.
func (a *adapter) handleRequest() uint64 {
	// Trailers must be enabled before anything else; a host without them says so by not returning the bit.
	a.host.enableFeatures(trailers)
	p := newPassing(newResponse(a.host))
	r, err := newRequest(context.WithValue(context.Background(), passingKey{}, p), a.host)
	if err != nil {
		http.Error(p.response, "400 Bad Request: malformed request target", http.StatusBadRequest)
		p.response.finish()
		return 0
	}
	p.original = snapshot(r)
	go a.run(p, r)
	select {
	case <-p.done:
		return 0
	case <-p.passed:
		a.last++
		a.pending[a.last] = p
		return uint64(a.last)<<32 | 1
	}
}

// handleResponse is called when the next handler has answered, or has failed to.
func (a *adapter) handleResponse(id uint32, failed bool) {
	p, ok := a.pending[id]
	if !ok {
		return
	}
	delete(a.pending, id)
	p.result <- failed
	<-p.done
}

// run runs the handler. A panic of it is left to end the program, and with it the instance.
func (a *adapter) run(p *passing, r *http.Request) {
	defer close(p.done)
	defer func() {
		if e := recover(); e == http.ErrAbortHandler {
			a.exit(2)
		} else if e != nil {
			panic(e)
		}
	}()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	r = r.WithContext(ctx)
	a.handler.ServeHTTP(p.response, r)
	p.response.finish()
	if r.MultipartForm != nil {
		_ = r.MultipartForm.RemoveAll() // files in a sandbox that is about to forget the request
	}
}
