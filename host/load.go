// Package host loads a guest: it finds out what a file is, compiles it, starts it and hands out a handler that serves
// exchanges with it. How a guest is spoken to is the business of the packages below it, one for each protocol; how it
// is run is that of host/engine. The package is called by host/chain, from a worker's boot sequence, and knows
// neither configuration files nor sockets.
package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path"
	"slices"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/host/boundary"
	"github.com/appserver-go/appserver/host/cgi"
	"github.com/appserver-go/appserver/host/component"
	"github.com/appserver-go/appserver/host/engine"
	"github.com/appserver-go/appserver/host/hostcall"
	"github.com/appserver-go/appserver/host/httpwasm"
	"github.com/appserver-go/appserver/host/stdio"
	"github.com/appserver-go/appserver/host/wws"
	"github.com/appserver-go/appserver/internal/fault"
)

// Options say what to load and how.
type Options struct {
	// Path names the guest in messages. It is not opened.
	Path string
	// Wasm is the guest's file: a WebAssembly module, or a Go plugin. It must not change afterwards.
	Wasm []byte
	// Protocol is one of the Protocol constants; "" means ProtocolAuto.
	Protocol string

	// MemoryLimit, MemoryBudget, TableLimit, Interrupt and CacheDir are those of engine.Options.
	MemoryLimit, MemoryBudget int64
	TableLimit                int
	Interrupt                 engine.Interrupt
	// Isolation says what a request may find of those before it; see httpwasm.Isolation. CGI guests are fresh with all but
	// IsolationReset, and with it as if they were; stdio guests are shared or fresh.
	Isolation httpwasm.Isolation
	// Warmup are targets of requests that an http-wasm guest gets before its image is made.
	Warmup   []string
	CacheDir string
	// MaxRequests is after how many requests an instance is replaced; 0 means any number.
	MaxRequests int
	// ShareCode and Siblings are those of engine.Options.
	ShareCode bool
	Siblings  engine.Siblings

	// Env is the guest's whole environment, as "NAME=value".
	Env []string
	// Args are the guest's arguments after its name; see cgi.Options for what CGI makes of them.
	Args []string
	// Dirs are the directories the guest sees, in the form of ParseDir.
	Dirs []string
	// Config is what an http-wasm guest gets from get_config.
	Config []byte
	// PluginConfig is what a Go plugin's NewHandler gets.
	PluginConfig map[string]string
	// Instances is how many requests can be served at a time: the most instances of an http-wasm guest.
	Instances int
	// BufferLimit is the most bytes of a body that are held in memory; 0 means the protocol's default.
	BufferLimit int64
	// Boundary is what the guest may reach beyond its sandbox; nil is nothing.
	Boundary *boundary.Boundary
	// Next gets the requests that an http-wasm guest passes on; nil answers them with 404.
	Next exchange.Handler

	// Log receives what concerns the server; nil discards it.
	Log *slog.Logger
	// GuestLog takes each line that the guest prints or logs, with the ID of the request it served, "" at start. It
	// is called from the goroutines that serve requests. The text is untrusted. nil discards it.
	GuestLog func(requestID string, level slog.Level, line string)
	// Stage is told what Load is busy with: "compiling", then "starting"; for a Go plugin "checking", "opening", then
	// "starting". nil is fine.
	Stage func(stage string)
}

// handler is a guest of one protocol.
type handler interface {
	exchange.Handler
	Close() error
}

// Guest is a loaded guest. It is an exchange.Handler and safe for concurrent use.
type Guest struct {
	handler   handler
	engine    *engine.Engine // the platform's; nil for a Go plugin
	own       *Platform      // closed together with the guest; nil when others use it
	module    *engine.Module // nil for a Go plugin and for a component
	component *component.Component
	facts     []Fact // of a Go plugin
	protocol  string
	instances int
	boundary  *boundary.Boundary // nil for a guest that does not import its functions
}

func (o *Options) setDefaults() {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.GuestLog == nil {
		o.GuestLog = func(string, slog.Level, string) {}
	}
	if o.Stage == nil {
		o.Stage = func(string) {}
	}
	o.Instances = max(o.Instances, 1)
}

// salt returns what the state of the guest after its start depends on, beside the module.
func (o *Options) salt() []byte {
	b, err := json.Marshal([]any{o.Protocol, o.Isolation, o.Warmup, o.Env, o.Args, o.Dirs, o.Config, o.BufferLimit})
	if err != nil {
		panic(err) // of plain data, which it is
	}
	return b
}

// resettable reports whether instances are to be captured: to be reset, or, of components, to make others from.
func (o *Options) resettable() bool {
	return o.Isolation == engine.IsolationReset || o.Isolation == engine.IsolationFresh && component.Is(o.Wasm)
}

// fault names the guest in an error.
func (o *Options) fault(err error) error {
	return &fault.Error{Err: fmt.Errorf("load %s: %w", o.Path, err), Hint: fault.Hint(err), Code: fault.LoadFailed}
}

// start compiles the guest and makes its handler.
func (g *Guest) start(ctx context.Context, o *Options, dirs []engine.Dir) (err error) {
	o.Stage("compiling")
	if component.Is(o.Wasm) {
		return g.startComponent(ctx, o, dirs)
	}
	if g.module, err = g.engine.CompileWith(ctx, o.Wasm, o.module()); err != nil {
		return err
	}
	if g.protocol, err = identify(g.module, o.Protocol); err != nil {
		return err
	}
	if err := g.defineCalls(ctx, o); err != nil {
		return err
	}
	o.Stage("starting")
	line := o.line()
	switch g.protocol {
	case ProtocolHTTPWasm:
		h, err := httpwasm.New(ctx, g.engine, g.module, httpwasm.Options{
			Env: o.Env, Args: o.Args, Dirs: dirs, Config: o.Config, Instances: o.Instances, Isolation: o.Isolation, Warmup: o.Warmup, Next: o.Next, MaxRequests: o.MaxRequests,
			BodyLimit: o.BufferLimit, Log: o.Log, GuestLog: line,
		})
		if err != nil {
			return err
		}
		g.handler = h
	case ProtocolCGI:
		h, err := cgi.New(ctx, g.module, cgi.Options{
			Env: o.Env, Args: o.Args, Dirs: dirs, BufferLimit: o.BufferLimit, Log: o.Log,
			Reset: o.Isolation == httpwasm.IsolationReset, Instances: o.Instances, MaxRequests: o.MaxRequests,
			Stderr: func(ctx context.Context, text string) { line(ctx, slog.LevelWarn, text) },
		})
		if err != nil {
			return err
		}
		g.handler = h
	case ProtocolWWS:
		h, err := wws.New(ctx, g.module, wws.Options{
			Name: path.Base(o.Path), Args: o.Args, Env: o.Env, Dirs: dirs, BodyLimit: o.BufferLimit, Keep: o.Isolation == httpwasm.IsolationShared, Log: o.Log,
			Stderr: func(ctx context.Context, text string) { line(ctx, slog.LevelWarn, text) },
		})
		if err != nil {
			return err
		}
		g.handler = h
	case ProtocolStdio:
		h, err := g.startStdio(ctx, o, dirs, line)
		if err != nil {
			return err
		}
		g.handler = h
	}
	return nil
}

// defineCalls gives a guest that imports them the functions that lead out of the sandbox. Whether they do is up to the
// options: without a Boundary they are there, and deny.
func (g *Guest) defineCalls(ctx context.Context, o *Options) error {
	if !slices.ContainsFunc(g.module.Imports(), func(i engine.Import) bool { return i.Module == hostcall.Module }) {
		return nil
	}
	if g.boundary = o.Boundary; g.boundary == nil {
		g.boundary = boundary.New(boundary.Options{Log: o.Log})
	}
	return hostcall.Define(ctx, g.engine)
}

// startStdio makes the handler of a stdio guest.
func (g *Guest) startStdio(ctx context.Context, o *Options, dirs []engine.Dir, line guestLog) (handler, error) {
	if o.Isolation == httpwasm.IsolationReset {
		o.Log.Warn("Every request gets a fresh instance, which is slow", "reason", "a stdio guest cannot be reset",
			"hint", `guest.isolation = "shared" keeps instances from request to request, "fresh" silences this`)
	}
	return stdio.New(ctx, g.module, stdio.Options{
		Name: path.Base(o.Path), Args: o.Args, Env: o.Env, Dirs: dirs, Instances: o.Instances,
		Fresh: o.Isolation != httpwasm.IsolationShared && o.Isolation != "", Log: o.Log,
		Stderr: func(ctx context.Context, text string) { line(ctx, slog.LevelWarn, text) },
	})
}

// guestLog takes a line of a guest.
type guestLog = func(ctx context.Context, level slog.Level, line string)

// line returns what logs a line of the guest's with the ID of the request that it serves.
func (o *Options) line() guestLog {
	guestLog := o.GuestLog // and not o, which would keep the guest's file in memory
	return func(ctx context.Context, level slog.Level, line string) { guestLog(requestID(ctx), level, line) }
}

// requestID returns the ID of the request that is served under ctx, or "".
func requestID(ctx context.Context) string {
	x, ok := ctx.Value(exchange.ContextKey{}).(*exchange.Exchange)
	if !ok {
		return ""
	}
	return x.Request.ID
}

// Serve answers x with the guest.
func (g *Guest) Serve(ctx context.Context, x *exchange.Exchange) error {
	if ctx.Value(exchange.ContextKey{}) != x {
		ctx = context.WithValue(ctx, exchange.ContextKey{}, x)
	}
	if g.boundary != nil {
		scoped, scope := g.boundary.Begin(ctx)
		defer scope.Close()
		ctx = scoped
	}
	return g.handler.Serve(ctx, x)
}

// Stats returns what the guest's instances use at this moment. A Go plugin has none.
func (g *Guest) Stats() engine.Stats {
	if g.engine == nil {
		return engine.Stats{}
	}
	return g.engine.Stats()
}

// Close releases the guest. No request may run.
func (g *Guest) Close() error {
	var errs []error
	if g.handler != nil {
		errs = append(errs, g.handler.Close())
	}
	if g.module != nil {
		errs = append(errs, g.module.Close(context.Background()))
	}
	if g.component != nil {
		errs = append(errs, g.component.Close(context.Background()))
	}
	if g.own != nil {
		errs = append(errs, g.own.Close())
	}
	return errors.Join(errs...)
}
