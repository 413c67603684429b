package httpwasm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/tetratelabs/wazero/api"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/host/engine"
	"github.com/appserver-go/appserver/host/guestfail"
)

// phase says which of the guest's functions is running, on which it depends what a host function may do.
type phase int

const (
	starting         phase = iota // _initialize or _start
	handlingRequest               // handle_request
	handlingResponse              // handle_response
)

// cleanupGrace is how long handle_response may run for a request that was cancelled meanwhile. Guests keep state for
// each request that handle_response ends; without it the instance could not be used again.
const cleanupGrace = time.Second

// instance is an instance of the guest and, while it serves one, the state of its request. One goroutine at a time
// uses it. Whatever a request needs that can be kept for the next one is kept, so simple requests allocate nothing.
type instance struct {
	guest    *Guest
	engine   *engine.Instance
	memory   api.Memory
	request  api.Function // handle_request
	response api.Function // handle_response
	reseedFn api.Function // nil when it is not to be called

	ctx            callContext
	stack          [2]uint64
	stdout, stderr *engine.LineWriter
	lastWords      string // the last line on stderr, for the error of a failed start
	startFeatures  uint32 // enabled during start, for all requests
	strings        interner
	unique         []int // scratch of getHeaderNames

	served  int  // requests
	busy    bool // serving a request
	spoiled bool // the guest was not told the end of a request

	phase    phase
	features uint32 // enabled for this request
	x        *exchange.Exchange
	message  message
	reqBody  requestBody
	respBody responseBody
}

func (g *Guest) newInstance(ctx context.Context) (*instance, error) {
	in := &instance{guest: g, phase: starting}
	in.ctx.in = in
	in.ctx.set(engine.Starting(ctx))
	in.stdout = engine.NewLineWriter(func(line string) { in.print(slog.LevelInfo, line) })
	in.stderr = engine.NewLineWriter(func(line string) {
		in.lastWords = line
		in.print(slog.LevelWarn, line)
	})
	inst, err := in.make(engine.Spec{
		Args: g.opts.Args, Env: g.opts.Env, Dirs: g.opts.Dirs,
		Stdout: in.stdout, Stderr: in.stderr, Start: g.start,
	})
	in.flushOutput()
	if err == nil && inst.Broken() {
		err = errors.Join(&engine.Trap{Kind: engine.KindExit, Err: errors.New("exit code 0")}, inst.Close())
	}
	if err != nil {
		return nil, guestfail.Start(g.start[0], in.lastWords, err)
	}
	in.engine, in.memory = inst, inst.Memory()
	in.request, in.response = inst.Function("handle_request"), inst.Function("handle_response")
	if g.image != nil {
		in.startFeatures = g.startFeatures
	}
	if g.opts.Isolation == IsolationReset {
		in.reseedFn = inst.Function(reseedExport)
	}
	in.ctx.set(context.Background())
	return in, nil
}

// make makes the engine's instance: from the image, once there is one.
func (in *instance) make(s engine.Spec) (*engine.Instance, error) {
	if img := in.guest.image; img != nil {
		return img.Adopt(&in.ctx, s)
	}
	return in.guest.module.Instantiate(&in.ctx, s)
}

func (in *instance) close() { _ = in.engine.Close() }

func (in *instance) print(level slog.Level, line string) {
	in.guest.opts.GuestLog(in.ctx.get(), level, line)
}

// flushOutput logs what the guest printed without ending the line.
func (in *instance) flushOutput() {
	in.stdout.Flush()
	in.stderr.Flush()
}

// serve takes a request through handle_request, the next handler and handle_response.
func (in *instance) serve(ctx context.Context, x *exchange.Exchange) error {
	in.begin(ctx, x)
	defer in.end()
	if err := in.reseed(); err != nil {
		return err
	}
	if err := in.engine.Call(&in.ctx, in.request, in.stack[:]); err != nil {
		return guestfail.Call("handle_request", err)
	}
	ctxNext := in.stack[0]
	if uint32(ctxNext) == 0 {
		return nil
	}
	return in.passOn(ctx, uint32(ctxNext>>32))
}

func (in *instance) begin(ctx context.Context, x *exchange.Exchange) {
	in.ctx.set(ctx)
	in.phase, in.features, in.x = handlingRequest, in.startFeatures, x
	in.message.begin(&x.Request)
	in.reqBody.begin(x.Request.Body)
	in.respBody.begin()
	if in.features&bufferRequest != 0 {
		in.reqBody.record(in.guest.opts.BodyLimit)
	}
}

func (in *instance) end() {
	in.flushOutput()
	in.message.restore(&in.x.Request)
	in.reqBody.end()
	in.respBody.end()
	in.x = nil
	in.ctx.set(context.Background())
}

// passOn gives the request to the next handler and its response to handle_response. The instance stays with the
// request: the guest may keep state under reqCtx.
func (in *instance) passOn(ctx context.Context, reqCtx uint32) error {
	r := &in.x.Response
	if err := r.ResetBody(); err != nil {
		return exchange.Fail(500, exchange.BadResponse,
			"the guest sent a response of its own and then passed the request on")
	}
	r.Status = 0 // the next handler's to set; header fields are kept, to add to its response
	in.respBody.begin()
	in.handOver(&in.x.Request)
	if in.features&bufferResponse != 0 {
		before := r.Hold(in.guest.opts.BodyLimit)
		defer r.Hold(before)
	}
	nextErr := in.guest.opts.Next.Serve(ctx, in.x)
	if nextErr != nil && !r.Committed() {
		r.Status = exchange.AsFailure(nextErr).Status // for the guest to see
		_ = r.ResetBody()
	}
	err := in.handleResponse(ctx, reqCtx, nextErr != nil)
	switch {
	case nextErr == nil:
		return err
	case err == nil:
		return nextErr
	}
	return errors.Join(nextErr, err)
}

// handOver gives the next handler the body that the guest leaves it, with a Content-Length that is true.
func (in *instance) handOver(r *exchange.Request) {
	if !in.reqBody.handOver(r) {
		return
	}
	fields := in.message.changeFields(r)
	if r.ContentLength < 0 {
		fields.Del("Content-Length")
		return
	}
	fields.Set("Content-Length", strconv.FormatInt(r.ContentLength, 10))
}

func (in *instance) handleResponse(ctx context.Context, reqCtx uint32, isError bool) error {
	if err := ctx.Err(); err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			in.spoiled = true
			return exchange.Fail(504, exchange.TimedOut, "handle_response was not called: %w", err)
		}
		deadline := time.Now().Add(cleanupGrace)
		if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
			deadline = d
		}
		grace, cancel := context.WithDeadline(context.WithoutCancel(ctx), deadline)
		defer cancel()
		in.ctx.set(grace)
	}
	in.phase = handlingResponse
	in.stack[0], in.stack[1] = uint64(reqCtx), 0
	if isError {
		in.stack[1] = 1
	}
	if err := in.engine.Call(&in.ctx, in.response, in.stack[:]); err != nil {
		return guestfail.Call("handle_response", err)
	}
	return nil
}

// mustServe panics while the guest starts, when there is no request.
func (in *instance) mustServe() {
	if in.phase == starting {
		panic(errors.New("the guest used a request or response before there was one"))
	}
}

// mustChangeRequest panics unless the request may be changed, which is before it is passed on.
func (in *instance) mustChangeRequest(what string) {
	in.mustServe()
	if in.phase != handlingRequest {
		panic(fmt.Errorf("the guest changed the request's %s in handle_response", what))
	}
}

// mustChangeResponse panics unless the response is the guest's: its own, or the next handler's and buffered.
func (in *instance) mustChangeResponse(what string) {
	in.mustServe()
	if in.phase == handlingResponse && in.features&bufferResponse == 0 {
		panic(fmt.Errorf("the guest used the response's %s in handle_response without the feature buffer_response", what))
	}
}

// mustNotBeSent panics when the response's head is on its way.
func (in *instance) mustNotBeSent(what string) {
	if in.x.Response.Committed() {
		panic(fmt.Errorf("the guest set the response's %s after %d bytes of body: %w", what, exchange.BufferSize, exchange.ErrCommitted))
	}
}

// view returns n bytes of the guest's memory, not a copy of them. It panics when they are out of range.
func (in *instance) view(what string, offset, n uint32) []byte {
	if n == 0 {
		return nil
	}
	b, ok := in.memory.Read(offset, n)
	if !ok {
		panic(fmt.Errorf("the %s of %d bytes at %d is outside of the guest's memory", what, n, offset))
	}
	return b
}

// put writes s to the guest's memory if it fits limit, and returns its length either way.
func (in *instance) put(what, s string, buf, limit uint32) uint64 {
	if n := len(s); uint64(n) <= uint64(limit) && n > 0 {
		copy(in.view(what, buf, uint32(n)), s)
	}
	return uint64(len(s))
}

// callContext is the context of an instance's calls: that of the request it serves, and the way by which host
// functions find the instance. One for all calls saves an allocation for each. The lock is for wazero, whose watcher
// of a call's context may be scheduled when the call is over and the next one begins; it then notices that its call
// has ended, whatever it saw of the context.
type callContext struct {
	in *instance

	mu  sync.Mutex
	ctx context.Context
}

type instanceKey struct{}

func (c *callContext) set(ctx context.Context) {
	c.mu.Lock()
	c.ctx = ctx
	c.mu.Unlock()
}

func (c *callContext) get() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ctx
}

// Deadline implements context.Context.
func (c *callContext) Deadline() (time.Time, bool) { return c.get().Deadline() }

// Done implements context.Context.
func (c *callContext) Done() <-chan struct{} { return c.get().Done() }

// Err implements context.Context.
func (c *callContext) Err() error { return c.get().Err() }

// Value implements context.Context.
func (c *callContext) Value(key any) any {
	if key == (instanceKey{}) {
		return c.in
	}
	return c.get().Value(key)
}

// current returns the instance whose call ctx belongs to.
func current(ctx context.Context) *instance {
	if c, ok := ctx.(*callContext); ok {
		return c.in
	}
	return ctx.Value(instanceKey{}).(*instance)
}
