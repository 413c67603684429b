package component

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/host/component/abi"
	"github.com/appserver-go/appserver/host/component/wasihttp"
	"github.com/appserver-go/appserver/host/engine"
	"github.com/appserver-go/appserver/host/guestfail"
)

// Options configure a Guest.
type Options struct {
	// Env holds the guest's environment as "K=V".
	Env []string
	// Args are the guest's arguments after its name.
	Args []string
	// Dirs are the directories the guest sees.
	Dirs []engine.Dir
	// Module are the options of the core modules; nil stands for those of the engine.
	Module *engine.ModuleOptions
	// Instances is the most instances that exist at a time; fewer than 1 means 1. A request that finds none free waits.
	Instances int
	// Isolation says what a request may find of those before it; "" means IsolationFresh. Guests that cannot be reset get
	// IsolationFresh in place of IsolationReset; Log says why.
	Isolation engine.Isolation
	// Client makes requests of the guest's own; nil denies them all.
	Client wasihttp.Client
	// MaxRequests is after how many requests an instance is replaced; 0 means any number.
	MaxRequests int
	// Warmup are targets that the guest gets GET requests for before its image is made; their responses are thrown away, and
	// it is an error for one to fail. It is for IsolationReset and IsolationFresh.
	Warmup []string
	// Log takes what concerns the server; nil discards it.
	Log *slog.Logger
	// GuestLog takes each line that the guest prints (stdout as Info, stderr as Warn). The text is untrusted. ctx is the
	// request's, or New's while the guest starts. nil discards it.
	GuestLog func(ctx context.Context, level slog.Level, line string)
}

// Guest is a loaded component. It is an exchange.Handler and safe for concurrent use.
type Guest struct {
	component *Component
	opts      Options
	pool      *engine.Pool[*instance]
	isolation engine.Isolation
	image     *abi.Image // of an instance after its start
}

// New makes a first instance of a component and runs its start functions, within ctx. Errors are of type *fault.Error
// with code fault.LoadFailed.
func New(ctx context.Context, c *Component, o Options) (*Guest, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.GuestLog == nil {
		o.GuestLog = func(context.Context, slog.Level, string) {}
	}
	if o.Isolation == "" {
		o.Isolation = engine.IsolationFresh
	}
	g := &Guest{component: c, opts: o, isolation: o.Isolation}
	g.pool = engine.NewPool(max(1, o.Instances), g.newInstance, (*instance).close)
	if err := g.isolate(ctx); err != nil {
		g.pool.Close()
		return nil, err
	}
	return g, nil
}

// isolate makes the first instance, whose start shows whether the guest runs at all, and the image of it.
func (g *Guest) isolate(ctx context.Context) error {
	in, err := g.pool.Get(ctx)
	if err != nil {
		return err
	}
	defer g.release(in)
	if g.isolation == engine.IsolationShared {
		return nil
	}
	for _, target := range g.opts.Warmup {
		if err := exchange.WarmUp(ctx, exchange.HandlerFunc(in.serve), target); err != nil {
			return guestfail.WarmUp(target, err)
		}
	}
	g.image, err = in.abi.Capture()
	switch {
	case err == nil:
	case !errors.Is(err, engine.ErrLasting):
		return fmt.Errorf("capture the guest's start: %w", err)
	case g.isolation == engine.IsolationReset:
		g.isolation = engine.IsolationFresh
		g.opts.Log.Warn("Every request gets a fresh instance, which is slow", "reason", err,
			"hint", "set guest.isolation to shared if requests may see what earlier ones left in the guest's memory")
	}
	return nil
}

// Isolation returns what requests get: what the options asked for, or IsolationFresh where that cannot be had.
func (g *Guest) Isolation() engine.Isolation { return g.isolation }

// Close releases the idle instances; those at work follow when they are done. The component stays the caller's.
func (g *Guest) Close() error {
	g.pool.Close()
	if g.image != nil {
		return g.image.Close()
	}
	return nil
}

// Serve answers x with an instance of its own. Errors are of type *exchange.Failure.
func (g *Guest) Serve(ctx context.Context, x *exchange.Exchange) error {
	in, err := g.pool.Get(ctx)
	if err != nil {
		return guestfail.NoInstance(ctx, err)
	}
	defer g.release(in)
	return in.serve(ctx, x)
}

// release gives an instance back to the pool if it is sound, or can be made so.
func (g *Guest) release(in *instance) {
	keep := false
	switch g.isolation {
	case engine.IsolationReset:
		err := in.abi.Reset()
		if keep = err == nil; !keep {
			g.opts.Log.Debug("Guest instance not reset", "error", err)
		}
	case engine.IsolationShared:
		keep = !in.abi.Broken()
	}
	if keep && (g.opts.MaxRequests <= 0 || in.served < g.opts.MaxRequests) {
		g.pool.Put(in)
	} else {
		g.pool.Discard(in)
	}
}

// instance is an instance of the guest and, while it serves one, its exchange.
type instance struct {
	guest          *Guest
	abi            *abi.Instance
	ctx            context.Context
	http           *wasihttp.Exchange // nil while it serves none
	dirs           []engine.Directory
	served         int // requests
	stdout, stderr *engine.LineWriter
	lastWords      string // the last line on stderr, for the error of a failed start
}

func (g *Guest) newInstance(ctx context.Context) (*instance, error) {
	in := &instance{guest: g, ctx: ctx}
	for _, d := range g.opts.Dirs {
		dir, err := engine.OpenDirectory(d)
		if err != nil {
			return nil, errors.Join(err, in.closeDirs())
		}
		in.dirs = append(in.dirs, dir)
	}
	in.stdout = engine.NewLineWriter(func(line string) { g.opts.GuestLog(in.ctx, slog.LevelInfo, line) })
	in.stderr = engine.NewLineWriter(func(line string) {
		in.lastWords = line
		g.opts.GuestLog(in.ctx, slog.LevelWarn, line)
	})
	var err error
	if g.image != nil {
		in.abi, err = g.image.Adopt(ctx, in)
	} else {
		in.abi, err = g.component.program.Instantiate(ctx, in)
	}
	in.flush()
	if err != nil {
		return nil, errors.Join(guestfail.Start("its start", in.lastWords, err), in.closeDirs())
	}
	return in, nil
}

func (in *instance) close() { _ = errors.Join(in.abi.Close(), in.closeDirs()) }

func (in *instance) closeDirs() (err error) {
	for _, d := range in.dirs {
		err = errors.Join(err, d.Close())
	}
	return err
}

// flush logs what the guest printed without ending the line.
func (in *instance) flush() {
	in.stdout.Flush()
	in.stderr.Flush()
}

// serve has the guest answer x.
func (in *instance) serve(ctx context.Context, x *exchange.Exchange) error {
	in.ctx = ctx
	in.served++
	in.http = wasihttp.Begin(x, in.guest.opts.Client)
	_, err := in.abi.Invoke(ctx, in.guest.component.handle, in.http.Request(), in.http.Outparam())
	in.http.Close()
	in.flush()
	if err != nil {
		err = guestfail.Call("handle", err)
	} else {
		err = in.http.End()
	}
	in.ctx, in.http = context.Background(), nil
	return err
}

// Stdout implements wasi.Env.
func (in *instance) Stdout() io.Writer { return in.stdout }

// Stderr implements wasi.Env.
func (in *instance) Stderr() io.Writer { return in.stderr }

// Dirs implements wasi.Env.
func (in *instance) Dirs() []engine.Directory { return in.dirs }

// Wait implements wasi.Env.
func (in *instance) Wait() {
	if in.http != nil {
		in.http.Wait()
	}
}

// HTTP implements wasihttp.Env.
func (in *instance) HTTP() *wasihttp.Exchange { return in.http }
