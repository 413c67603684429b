package httpwasm

import (
	"context"
	"errors"
	"fmt"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/host/engine"
	"github.com/appserver-go/appserver/host/guestfail"
)

// Isolation is engine.Isolation.
type Isolation = engine.Isolation

// The isolations.
const (
	IsolationReset  = engine.IsolationReset
	IsolationShared = engine.IsolationShared
	IsolationFresh  = engine.IsolationFresh
)

// reseedExport is a function ()->() that a guest may export. It is called before each request that is served from an
// image, for the guest to renew what must not be the same in all of them: seeds of random numbers, above all, and times
// it has looked at.
const reseedExport = "appserver_reseed"

// warmupExport is a function ()->() that a guest may export. It is called once, before the image is made, for the guest
// to do what it would else do again at each request because the image does not have it.
const warmupExport = "appserver_warmup"

// isolate makes the first instance, whose start shows whether the guest runs at all, and the image of it.
func (g *Guest) isolate(ctx context.Context) error {
	if g.isolation = g.opts.Isolation; g.isolation == "" {
		g.isolation = IsolationShared
	}
	if g.isolation == IsolationReset && g.inherit(ctx) {
		return nil
	}
	in, err := g.pool.Get(ctx)
	if err != nil {
		return err
	}
	if g.isolation != IsolationReset {
		g.release(in)
		return nil
	}
	if err := g.warmUp(ctx, in); err != nil {
		g.pool.Discard(in)
		return err
	}
	g.image, err = in.engine.Capture(g.module, uint64(in.startFeatures))
	switch {
	case errors.Is(err, engine.ErrLasting):
		g.isolation = IsolationFresh
		g.opts.Log.Warn("Every request gets a fresh instance, which is slow", "reason", err,
			"hint", "set guest.isolation to shared if requests may see what earlier ones left in the guest's memory")
	case err != nil:
		g.pool.Discard(in)
		return fmt.Errorf("capture the guest's start: %w", err)
	}
	g.startFeatures = in.startFeatures
	if g.image != nil {
		g.image.Offer()
	}
	g.release(in)
	return nil
}

// inherit goes on with the image of another worker, if there is one: then the guest need not be started here. It reports
// false when that is to be done after all.
func (g *Guest) inherit(ctx context.Context) bool {
	img, err := g.module.InheritImage()
	if img == nil && err == nil {
		return false
	}
	if err == nil {
		g.image, g.startFeatures = img, uint32(img.Note())
		var in *instance
		if in, err = g.pool.Get(ctx); err == nil {
			g.release(in)
			g.opts.Log.Debug("Guest goes on from another worker's start", "bytes", img.Size())
			return true
		}
		g.image, g.startFeatures = nil, 0
		err = errors.Join(err, img.Close())
	}
	g.opts.Log.Warn("Another worker's image of the guest is not used, the guest starts anew", "reason", err)
	return false
}

// warmUp calls the guest's hook and serves requests that nobody made.
func (g *Guest) warmUp(ctx context.Context, in *instance) error {
	if fn := in.engine.Function(warmupExport); fn != nil {
		in.ctx.set(ctx)
		err := in.engine.Call(&in.ctx, fn, nil)
		in.flushOutput()
		if err != nil {
			return guestfail.Start(warmupExport, in.lastWords, err)
		}
	}
	for _, target := range g.opts.Warmup {
		if err := exchange.WarmUp(ctx, exchange.HandlerFunc(in.serve), target); err != nil {
			return guestfail.WarmUp(target, err)
		}
	}
	return nil
}

// Isolation returns what requests get: what the options asked for, or IsolationFresh where that cannot be had.
func (g *Guest) Isolation() Isolation { return g.isolation }

// release gives an instance back to the pool if it is sound, or can be made so. An instance that is still busy is here
// because the next handler panicked, and its guest waits for a handle_response that will never come.
func (g *Guest) release(in *instance) {
	keep := !in.busy && (g.opts.MaxRequests <= 0 || in.served < g.opts.MaxRequests)
	switch g.isolation {
	case IsolationReset:
		keep = keep && in.reset()
	case IsolationFresh:
		keep = false
	default:
		keep = keep && !in.spoiled && !in.engine.Broken()
	}
	if keep {
		g.pool.Put(in)
	} else {
		g.pool.Discard(in)
	}
}

// reset undoes what a request did to the instance. It reports false when that cannot be done, which guests bring about
// by leaving files open or by running out of stack.
func (in *instance) reset() bool {
	if err := in.engine.Reset(); err != nil {
		in.guest.opts.Log.Debug("Guest instance not reset", "error", err)
		return false
	}
	in.spoiled = false
	return true
}

// reseed calls the guest's hook, if it has one, as a part of the request.
func (in *instance) reseed() error {
	if in.reseedFn == nil {
		return nil
	}
	if err := in.engine.Call(&in.ctx, in.reseedFn, nil); err != nil {
		return guestfail.Call(reseedExport, err)
	}
	return nil
}

// checkHooks reports hooks of the wrong type.
func checkHooks(mod *engine.Module) (wrong []string) {
	for _, name := range []string{reseedExport, warmupExport} {
		if e, ok := mod.Export(name); ok && (e.Kind != engine.KindFunc || len(e.Params)+len(e.Results) > 0) {
			wrong = append(wrong, fmt.Sprintf("its %s %s is %s and not ()->()", e.Kind, name, engine.Signature(e.Params, e.Results)))
		}
	}
	return wrong
}
