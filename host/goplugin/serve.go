package goplugin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/appserver-go/appserver/exchange"
)

// obeyTime is how long a handler may take to return once its context has ended, before it counts as stuck.
const obeyTime = 100 * time.Millisecond

// errGoexit means that a handler ended its goroutine instead of returning.
var errGoexit = errors.New("the handler called runtime.Goexit")

// Serve answers x with the plugin's handler. The handler runs in a goroutine of its own, since nothing can stop it: when
// ctx ends, the handler is asked to stop by its request's context, what it writes from then on is dropped, and Serve
// fails with 504, or 503 where ctx was canceled. A handler that does not return then is left behind, with nothing of x in
// its hands, and the Failure's Running tells when it is done. A panic fails with 500; http.ErrAbortHandler breaks the
// response off, as in net/http. A handler that takes the connection over is left to go on with it.
func (h *Handler) Serve(ctx context.Context, x *exchange.Exchange) error {
	life := newLife(ctx)
	req, body, err := newRequest(life, &x.Request)
	if err != nil {
		return exchange.Fail(http.StatusBadRequest, exchange.BadRequest, "make the request for the plugin: %w", err)
	}
	w := newResponse(ctx, life, &x.Response, body)
	done := make(chan struct{})
	// The handler's failure, to be read once done is closed; the first value is for one that never returns to run.
	var failure error = &exchange.Failure{Status: http.StatusInternalServerError, Reason: exchange.Trapped, Err: errGoexit}
	h.running.Add(1)
	go func() { // ends with the handler; whoever serves x waits for it as long as Running says
		defer close(done)
		defer h.running.Add(-1)
		failure = run(h.bound.handler, w, req)
		life.end(context.Canceled)
		if w.taken() {
			h.closeAfter(w, failure)
		}
	}()
	select {
	case <-done:
	case <-w.gone:
	case <-ctx.Done():
		life.requestEnded()
	}
	if w.taken() {
		return nil
	}
	if w.late() {
		body.Close()
		return overdue(ctx, done, &failure)
	}
	<-done // if the context ended just now, the handler is only about to say so
	body.Close()
	switch {
	case errors.Is(failure, http.ErrAbortHandler):
		x.Response.Abort()
		return exchange.Fail(http.StatusInternalServerError, exchange.Canceled, "the plugin broke the response off: %w", failure)
	case failure != nil:
		return failure
	}
	return exchange.SendFailure(w.writer.Err())
}

// run calls the handler.
func run(handler http.Handler, w *response, req *http.Request) (err error) {
	defer func() {
		switch p := recover(); p {
		case nil:
		case http.ErrAbortHandler:
			err = http.ErrAbortHandler
		default:
			err = &exchange.Failure{
				Status: http.StatusInternalServerError, Reason: exchange.Trapped,
				Err: fmt.Errorf("the plugin panicked: %v", p), Stack: string(debug.Stack()),
			}
		}
	}()
	handler.ServeHTTP(w, req)
	w.finish()
	return nil
}

// overdue makes the failure of a request whose context ended while the handler ran. failure is the handler's own, to be
// read once done is closed.
func overdue(ctx context.Context, done <-chan struct{}, failure *error) error {
	f := &exchange.Failure{Status: http.StatusGatewayTimeout, Reason: exchange.TimedOut, Err: ctx.Err()}
	if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		f = &exchange.Failure{Status: http.StatusServiceUnavailable, Reason: exchange.Canceled, Err: context.Cause(ctx)}
	}
	patience := time.NewTimer(obeyTime)
	defer patience.Stop()
	select {
	case <-done:
		f.Err = fmt.Errorf("the plugin gave up at the end of its time: %w", f.Err)
		if *failure != nil {
			f.Err = fmt.Errorf("%w; %w", f.Err, *failure)
			f.Stack = exchange.AsFailure(*failure).Stack
		}
	case <-patience.C:
		f.Err = fmt.Errorf("the plugin does not stop: %w", f.Err)
		f.Running = done
		f.Stack = childStack()
	}
	return f
}

// maxStacks bounds what is read of all goroutines' stacks.
const maxStacks = 4 << 20

// childStack returns the stack of the goroutine that this one started and that still runs, "" if it cannot be found. It
// stops the world for a moment and is for requests that are stuck.
func childStack() string {
	self := make([]byte, 64)
	self = self[:runtime.Stack(self, false)]
	id, _, ok := strings.Cut(strings.TrimPrefix(string(self), "goroutine "), " ")
	if !ok {
		return ""
	}
	all := make([]byte, maxStacks)
	all = all[:runtime.Stack(all, true)]
	for stack := range strings.SplitSeq(string(all), "\n\n") {
		for line := range strings.Lines(stack) {
			if strings.HasPrefix(line, "created by ") && strings.HasSuffix(strings.TrimSpace(line), ".Serve in goroutine "+id) {
				return stack
			}
		}
	}
	return ""
}
