// Package httpwasm runs guests of the http-wasm "http_handler" ABI (https://http-wasm.io/http-handler-abi/): it defines
// the functions such a guest imports, checks what it exports, keeps a pool of its instances and serves exchanges with
// them. It does not compile modules, which is host/engine's part, and knows no sockets: the workers call it through
// exchange.Handler.
//
// Where the specification leaves a choice, the comments of this package say what was chosen. Two choices matter to
// guests. Nothing is sent before the guest returns or has written more than exchange.BufferSize bytes of body, so
// status and header fields may be set in any order, even after the body. And what the guest changes of the request is
// seen by the next handler and by the guest itself, but not by the caller of Serve, whose access log tells what the
// client asked for.
package httpwasm

import (
	"context"
	"log/slog"
	"slices"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/host/engine"
	"github.com/appserver-go/appserver/host/guestfail"
)

// DefaultBodyLimit is the BodyLimit of Options that set none, in bytes.
const DefaultBodyLimit = 8 << 20

// argv0 is the guest's name in its own arguments. The ABI has no say in it.
const argv0 = "handler"

// Options configure a Guest.
type Options struct {
	// Env holds the guest's environment as "K=V".
	Env []string
	// Args are the guest's arguments after its name.
	Args []string
	// Dirs are the directories the guest sees.
	Dirs []engine.Dir
	// Config is what get_config returns.
	Config []byte
	// Instances is the most instances that exist at a time; fewer than 1 means 1. A request that finds none free
	// waits for one. An instance is taken for a whole request, the next handler's part included.
	Instances int
	// MaxRequests is after how many requests an instance is replaced; 0 means any number.
	MaxRequests int
	// Isolation says what a request may find of those before it in its instance; "" means IsolationShared. Guests that
	// cannot be reset get IsolationFresh in place of IsolationReset; Log says why.
	Isolation Isolation
	// Warmup are targets that the guest gets GET requests for before its image is made, so that what it does at its first
	// requests only is in the image. Their responses are thrown away; it is an error for one to fail. It is for
	// IsolationReset.
	Warmup []string
	// Next is what a guest passes requests on to; nil answers them with 404.
	Next exchange.Handler
	// BodyLimit is the most bytes of a body held in memory for a guest that enables buffer_request or
	// buffer_response or replaces the request's body; 0 means DefaultBodyLimit. Larger request bodies fail with 413,
	// larger responses with 502.
	BodyLimit int64
	// Log decides which levels log_enabled reports as enabled; nil discards what the guest logs.
	Log *slog.Logger
	// GuestLog takes each message of the guest's log function and each line it prints (stdout as Info, stderr as
	// Warn). The text is untrusted. ctx is the request's, or New's while the guest starts. nil writes to Log.
	GuestLog func(ctx context.Context, level slog.Level, line string)
}

// Guest is a loaded http-wasm guest. It is an exchange.Handler and safe for concurrent use.
type Guest struct {
	module *engine.Module
	opts   Options
	start  []string
	pool   *engine.Pool[*instance]

	isolation     Isolation
	image         *engine.Image // of an instance after its start, with IsolationReset
	startFeatures uint32        // that the instance had enabled then
}

// New loads a guest: it checks what the module exports, makes a first instance and runs its start function,
// within ctx. Errors are of type *fault.Error with code fault.LoadFailed and say what the guest died of. One call at a
// time may be made for an engine.
func New(ctx context.Context, eng *engine.Engine, mod *engine.Module, o Options) (*Guest, error) {
	if err := checkExports(mod); err != nil {
		return nil, err
	}
	if err := defineHost(ctx, eng); err != nil {
		return nil, err
	}
	g := &Guest{module: mod, opts: withDefaults(o), start: startFunctions(mod)}
	g.pool = engine.NewPool(max(1, o.Instances), g.newInstance, (*instance).close)
	if err := g.isolate(ctx); err != nil {
		g.pool.Close()
		return nil, err
	}
	return g, nil
}

// Close releases the idle instances; those at work follow when they are done. The module stays the caller's.
func (g *Guest) Close() error {
	g.pool.Close()
	if g.image != nil {
		return g.image.Close()
	}
	return nil
}

// Serve answers x with an instance of its own. Errors are of type *exchange.Failure, or those of the next handler.
func (g *Guest) Serve(ctx context.Context, x *exchange.Exchange) error {
	in, err := g.pool.Get(ctx)
	if err != nil {
		return guestfail.NoInstance(ctx, err)
	}
	in.busy = true
	in.served++
	defer g.release(in)
	err = in.serve(ctx, x)
	in.busy = false
	return err
}

func withDefaults(o Options) Options {
	if o.BodyLimit <= 0 {
		o.BodyLimit = DefaultBodyLimit
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.GuestLog == nil {
		log := o.Log
		o.GuestLog = func(ctx context.Context, level slog.Level, line string) {
			log.Log(ctx, level, "guest", "text", line)
		}
	}
	if o.Next == nil {
		o.Next = exchange.HandlerFunc(notFound)
	}
	o.Args = slices.Concat([]string{argv0}, o.Args)
	return o
}

func notFound(context.Context, *exchange.Exchange) error {
	return exchange.Fail(404, exchange.NotFound, "the guest passed the request on, and no next handler is configured")
}

// startFunctions returns what to call at start. Reactors, as Go and C compilers make them, have _initialize; TinyGo
// guests are commands that install their handlers in main, which _start runs. A module with both would run its
// initialisation twice.
func startFunctions(mod *engine.Module) []string {
	if _, ok := mod.Export("_initialize"); ok {
		return []string{"_initialize"}
	}
	return []string{"_start"}
}
