package engine

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
	"github.com/tetratelabs/wazero/sys"
)

// maxDepth is how many calls into an instance may be nested through host functions. Each takes its part of the
// goroutine's stack, whose end at 1 GB is the end of the process.
const maxDepth = 16

// Call runs fn with its parameters on the stack, which takes the results too (api.Function.CallWithStack). Every error
// is a *Trap. Check Broken afterwards whatever the result: a guest that finished while its context ended was closed
// by wazero all the same. A host function may call the same instance again, to a depth of 16.
func (i *Instance) Call(ctx context.Context, fn api.Function, stack []uint64) error {
	if err := i.enter(ctx); err != nil {
		return err
	}
	outer := i.ctx
	i.ctx = ctx
	callCtx := ctx
	if i.run != nil {
		i.run.passed, callCtx = false, experimental.WithSnapshotter(ctx)
	}
	err := i.guard(ctx, func() error { return fn.CallWithStack(callCtx, stack) })
	i.ctx = outer
	i.leave(ctx)
	return err
}

// enter reports why no call can be made, if so, and counts the call otherwise.
func (i *Instance) enter(ctx context.Context) error {
	switch {
	case i.Broken():
		return &Trap{Kind: KindHost, Err: errBroken}
	case ctx.Err() != nil: // nothing has run, so the instance stays good
		t := &Trap{}
		t.interrupted(ctx)
		return t
	case i.depth == maxDepth:
		return &Trap{Kind: KindHost, Err: errDepth}
	}
	i.depth++
	return nil
}

var (
	errBroken = fmt.Errorf("the instance has failed before and cannot be called")
	errDepth  = fmt.Errorf("the guest and the host called each other %d deep", maxDepth)
)

// leave ends what enter began. With InterruptClose wazero closes the module from another goroutine as soon as the
// context is done; that may come after a guest's regular return, so such an instance is broken too.
func (i *Instance) leave(ctx context.Context) {
	i.depth--
	if i.engine.opts.Interrupt == InterruptClose && ctx.Err() != nil {
		i.broken, i.lost = true, true
	}
}

// guard runs f, which calls into the guest, and turns its error, or a panic that comes through, into a *Trap.
func (i *Instance) guard(ctx context.Context, f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			cause, ok := p.(error)
			if !ok {
				cause = fmt.Errorf("%v", p)
			}
			err = i.trapped(ctx, cause)
		}
	}()
	if err := f(); err != nil {
		return i.trapped(ctx, err)
	}
	return nil
}

// trapped notes that a call failed. After a stack overflow the instance is lost: wazero keeps the stack, up to 80 MB of
// it, with the function that was called.
func (i *Instance) trapped(ctx context.Context, err error) *Trap {
	t := newTrap(ctx, err, i.shift)
	t.Stack = i.lines.fill(t.Stack)
	i.broken = true
	i.lost = i.lost || t.Kind == KindStackOverflow || errors.As(err, new(*sys.ExitError))
	if t.Kind == KindStackOverflow {
		i.engine.reclaimSoon()
	}
	return t
}

// reclaimDelay is how long after a stack overflow its memory is given back: by then the instance is closed, and
// overflows that come together share one collection.
const reclaimDelay = time.Second

// reclaimSoon gives the stack of an overflow back to the system. Guests' stacks are on the Go heap, where no limit of
// ours counts them, and the collector alone would keep them for as long as the worker is idle.
func (e *Engine) reclaimSoon() {
	if e.reclaiming.Swap(true) {
		return
	}
	time.AfterFunc(reclaimDelay, func() {
		e.reclaiming.Store(false)
		debug.FreeOSMemory()
	})
}

// closing is wazero's notice that the module is being closed. When a context ends, the running guest code notices at
// the next loop and wazero closes the module from there, with the background context. A panic at that moment makes
// wazero unwind the guest's stack, which it does not do for a context otherwise, and so tells where the guest was.
// When wazero finds the context done before any guest code has run, it passes the call's context; and Instance.Close
// comes when no call runs. Neither must be disturbed.
func (i *Instance) closing(ctx context.Context, _ uint32) {
	if i.depth > 0 && ctx == context.Background() {
		i.lost = true
		why := context.Cause(i.ctx)
		if why == nil {
			why = errClosed
		}
		panic(&interruption{why})
	}
}

// Starting returns the context for an instance's start that a request has brought about: it ends with ctx, and has none of
// its values. What an instance does at its start is for all its requests, so it must not see one of them.
func Starting(ctx context.Context) context.Context { return starting{ctx} }

type starting struct{ context.Context }

// Value implements context.Context.
func (starting) Value(any) any { return nil }
