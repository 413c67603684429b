package cgi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/tetratelabs/wazero/api"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/host/engine"
)

const (
	// maxRuns is how many requests an instance serves from its checkpoint. With each the copy of its stack that wazero
	// makes is a little longer.
	maxRuns = 1000
	// suspendTimeout bounds the way to the checkpoint of a guest that does not say that it has one: it may loop for ever,
	// which is a matter for its requests.
	suspendTimeout = time.Second
)

// runner is an instance that serves one request after the other, and is reset in between. What it reads and where it
// prints changes from request to request.
type runner struct {
	instance *engine.Instance
	image    *engine.Image // of its own, when it goes on from a checkpoint
	start    api.Function  // when it begins anew each time
	runs     int

	in          input
	out, stderr printer
	sleep       func()
}

// input is the standard input of a runner.
type input struct{ io.Reader }

func (i *input) Read(p []byte) (int, error) {
	if i.Reader == nil {
		return 0, io.EOF
	}
	return i.Reader.Read(p)
}

// printer is a stream that a runner prints to.
type printer struct{ io.Writer }

func (p *printer) Write(b []byte) (int, error) {
	if p.Writer == nil {
		return len(b), nil
	}
	return p.Writer.Write(b)
}

// spec is what the instance of the runner gets to see.
func (r *runner) spec(g *Guest) engine.Spec {
	return engine.Spec{
		Dirs: g.opts.Dirs, Stdin: &r.in, Stdout: &r.out, Stderr: &r.stderr,
		OnSleep: func() {
			if r.sleep != nil {
				r.sleep()
			}
		},
	}
}

// newRunner makes a runner in the way that was found to work.
func (g *Guest) newRunner(ctx context.Context) (*runner, error) {
	if g.image == nil {
		return g.suspended(ctx)
	}
	r := &runner{}
	var err error
	if r.instance, err = g.image.Adopt(ctx, r.spec(g)); err != nil {
		return nil, err
	}
	r.start = r.instance.Function(entry)
	return r, nil
}

// suspended makes a runner that goes on from the guest's checkpoint.
func (g *Guest) suspended(ctx context.Context) (*runner, error) {
	ctx = engine.Starting(ctx)
	r := &runner{}
	stderr := engine.NewLineWriter(func(line string) { g.opts.Stderr(ctx, line) })
	printed := false
	r.stderr.Writer = stderr
	r.out.Writer = writerFunc(func([]byte) { printed = true })
	var err error
	if r.instance, err = g.module.Instantiate(ctx, r.spec(g)); err != nil {
		return nil, err
	}
	if err = r.instance.Rename([]string{"guest"}, g.opts.Env); err == nil {
		r.image, err = r.instance.Suspend(ctx, g.module)
	}
	stderr.Flush()
	if err == nil && printed {
		err = fmt.Errorf("%w: it prints before", engine.ErrNoCheckpoint)
	}
	if err != nil {
		return nil, errors.Join(err, r.close())
	}
	return r, nil
}

// writerFunc is told what is written.
type writerFunc func([]byte)

func (f writerFunc) Write(b []byte) (int, error) { f(b); return len(b), nil }

func (r *runner) close() error {
	err := r.instance.Close()
	if r.image != nil {
		err = errors.Join(err, r.image.Close())
	}
	return err
}

// pooling finds out how instances can be used again: from a checkpoint, or from before the start.
func (g *Guest) pooling(ctx context.Context) error {
	if why := g.module.Lasting(); why != "" {
		g.opts.Log.Warn("Every request gets a fresh instance, which is slow", "reason", why)
		return nil
	}
	_, declared := g.module.Export(engine.CheckpointExport)
	first, err := g.firstSuspended(ctx, declared)
	if err != nil {
		if declared {
			g.opts.Log.Warn("CGI guest begins anew for each request, its checkpoint cannot be used", "reason", err)
		} else {
			g.opts.Log.Debug("CGI guest begins anew for each request", "reason", err)
		}
		if first, err = g.captureStart(ctx); err != nil {
			return err
		}
	}
	g.pool = engine.NewPool(max(1, g.opts.Instances), g.newRunner, g.drop)
	g.pool.Add(first)
	return nil
}

func (g *Guest) firstSuspended(ctx context.Context, declared bool) (*runner, error) {
	if !declared {
		var cancel func()
		ctx, cancel = context.WithTimeout(ctx, suspendTimeout)
		defer cancel()
	}
	return g.suspended(ctx)
}

// captureStart makes the image of an instance that has not begun, and a runner of it.
func (g *Guest) captureStart(ctx context.Context) (*runner, error) {
	r := &runner{}
	var err error
	if r.instance, err = g.module.Instantiate(ctx, r.spec(g)); err != nil {
		return nil, loadFault(err)
	}
	if g.image, err = r.instance.Capture(g.module, 0); err != nil {
		return nil, errors.Join(loadFault(err), r.close())
	}
	r.start = r.instance.Function(entry)
	return r, nil
}

func (g *Guest) drop(r *runner) {
	if err := r.close(); err != nil {
		g.opts.Log.Error("Guest instance not closed", "error", err)
	}
}

// release gives a runner back to the pool if it can be reset, which guests prevent by leaving files open, by closing
// standard streams or by running out of stack.
func (g *Guest) release(r *runner) {
	r.in.Reader, r.out.Writer, r.stderr.Writer, r.sleep = nil, nil, nil, nil
	r.runs++
	worn := r.image != nil && r.runs >= maxRuns || g.opts.MaxRequests > 0 && r.runs >= g.opts.MaxRequests
	if worn {
		g.pool.Discard(r)
		return
	}
	if err := r.instance.Reset(); err != nil {
		g.opts.Log.Debug("Guest instance not reset", "error", err)
		g.pool.Discard(r)
		return
	}
	g.pool.Put(r)
}

// callPooled has an instance of the pool do what a fresh one with the spec would do.
func (g *Guest) callPooled(ctx context.Context, s engine.Spec) error {
	r, err := g.pool.Get(ctx)
	if err != nil {
		return noRunner(ctx, err)
	}
	defer g.release(r)
	if err := r.instance.Rename(s.Args, s.Env); err != nil {
		return err
	}
	r.in.Reader, r.out.Writer, r.stderr.Writer, r.sleep = s.Stdin, s.Stdout, s.Stderr, s.OnSleep
	if r.start != nil {
		return r.instance.Call(ctx, r.start, nil)
	}
	return r.instance.Resume(ctx)
}

// noRunner says why a request got no instance.
func noRunner(ctx context.Context, err error) error {
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return &exchange.Failure{Status: 504, Reason: exchange.TimedOut, Err: fmt.Errorf("wait for an instance of the guest: %w", err)}
	case ctx.Err() != nil, errors.Is(err, engine.ErrPoolClosed):
		return &exchange.Failure{Status: 503, Reason: exchange.Canceled, Err: fmt.Errorf("wait for an instance of the guest: %w", err)}
	}
	return err
}
