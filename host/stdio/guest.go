// Package stdio serves requests with a WASI command that speaks HTTP/1.1 with keep-alive over its stdin and stdout, as
// programs behind inetd do: a whole server, with streaming in both directions and trailers, that
// needs no other ABI than two file descriptors. An instance answers one request at a time, and is kept for the next.
//
// The package knows no sockets and no other guest ABI. Package host loads a Guest; the workers call it.
package stdio

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/host/engine"
	"github.com/appserver-go/appserver/internal/fault"
)

// entry is the function that a WASI command exports.
const entry = "_start"

// readBuffer is the size of the buffers between streams.
const readBuffer = 16 << 10

// patience is how long a guest that has answered may take to read the rest of a request.
const patience = time.Second

// Options configure a Guest.
type Options struct {
	// Name is argv[0]; Args follow it.
	Name string
	Args []string
	// Env is the guest's environment, as "NAME=value". APPSERVER_PROTOCOL=stdio is added to it.
	Env []string
	// Dirs are the directories the guest sees.
	Dirs []engine.Dir
	// Instances is how many requests can be served at a time; at least 1.
	Instances int
	// Fresh ends an instance with its request, so that no request finds anything of another.
	Fresh bool
	// Stderr takes what the guest prints to stderr, line by line, with the request's context; nil discards it.
	Stderr func(ctx context.Context, line string)
	// Log receives what concerns the server; nil discards it.
	Log *slog.Logger
}

// Guest is a WASI command that serves requests. It is safe for concurrent use.
type Guest struct {
	module *engine.Module
	opts   Options
	args   []string
	env    []string
	pool   *engine.Pool[*instance]
	ending sync.WaitGroup // instances that are given time to end, or have a connection
	taken  connections
}

// New starts the first instance of a module and waits until it reads its stdin; ctx bounds that. Errors are a
// *fault.Error with the code LoadFailed when the guest is at fault.
func New(ctx context.Context, module *engine.Module, o Options) (*Guest, error) {
	switch e, ok := module.Export(entry); {
	case !ok || e.Kind != engine.KindFunc:
		return nil, fault.WithCode(fault.LoadFailed, "build the guest as a command with a main function",
			"the module exports no function %s, which a stdio guest begins with", entry)
	case len(e.Params)+len(e.Results) > 0:
		return nil, fault.WithCode(fault.LoadFailed, "build the guest as a command for WASI preview 1",
			"the module exports %s as %s, must be ()->()", entry, engine.Signature(e.Params, e.Results))
	}
	if o.Stderr == nil {
		o.Stderr = func(context.Context, string) {}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	g := &Guest{module: module, opts: o, args: append([]string{o.Name}, o.Args...)}
	g.env = append(append(g.env, o.Env...), "APPSERVER_PROTOCOL=stdio")
	g.pool = engine.NewPool(max(o.Instances, 1), g.start, (*instance).end)
	if err := g.pool.Warm(ctx, 1); err != nil {
		return nil, loadFault(err)
	}
	return g, nil
}

// loadFault makes the error of a first instance a fault.
func loadFault(err error) error {
	if fault.Code(err) == fault.LoadFailed {
		return err
	}
	hint := fault.Hint(err)
	if hint == "" {
		hint = "a stdio guest reads HTTP requests from its stdin until it ends; what it printed to stderr is in the log"
	}
	return fault.WithCode(fault.LoadFailed, hint, "%s: %w", entry, err)
}

// Close ends all instances, and the connections they have taken over. No request may run.
func (g *Guest) Close() error {
	g.pool.Close()
	g.taken.close()
	g.ending.Wait()
	return nil
}

// Serve answers an exchange with an instance.
func (g *Guest) Serve(ctx context.Context, x *exchange.Exchange) error {
	i, err := g.take(ctx)
	if err != nil {
		return err
	}
	i.request.Store(&ctx)
	// When the request is over before its time nobody can be told but the guest, by its end.
	quit := context.AfterFunc(ctx, func() {
		i.interrupt(context.Cause(ctx))
		i.in.cut()
		i.out.cut()
	})
	s := send(x, i.in)
	reuse, conn, err := i.receive(x)
	whole := s.finish(patience)
	untouched := quit()
	i.request.Store(nil)
	switch {
	case conn != nil && untouched && whole:
		g.handOver(i, conn)
		return nil
	case untouched && whole && reuse && !g.opts.Fresh:
		g.pool.Put(i)
	case conn == nil && untouched && whole && err == nil: // it has nothing of the exchange in hand, which need not wait for its end
		g.ending.Go(func() { g.pool.Discard(i) })
	default:
		if conn != nil {
			_ = conn.Close() // who is to be told of it is on its other end
		}
		i.stop(errEnded)
		g.pool.Discard(i)
		<-s.done
	}
	return g.judge(ctx, i, s, err)
}

// take returns an instance that can take a request. One that has ended while it was idle, or has said something nobody
// asked for, is replaced.
func (g *Guest) take(ctx context.Context) (*instance, error) {
	for {
		i, err := g.pool.Get(ctx)
		switch {
		case errors.Is(err, engine.ErrPoolClosed):
			return nil, exchange.Fail(503, exchange.Canceled, "%w", err)
		case err != nil && ctx.Err() == nil:
			return nil, endFailure(ctx, fmt.Errorf("start an instance: %w", err))
		case err != nil:
			return nil, endFailure(ctx, err)
		case i.fit(ctx):
			return i, nil
		}
		if ctx.Err() == nil {
			g.tell(i)
		}
		i.stop(errEnded)
		g.pool.Discard(i)
	}
}

// tell logs why an idle instance is replaced.
func (g *Guest) tell(i *instance) {
	if i.quiet() {
		<-i.done
		g.opts.Log.Warn("Guest ended between requests", "error", i.ended())
	} else {
		g.opts.Log.Warn("Guest replaced: it printed something that is no response to a request")
	}
}

// judge says why the exchange failed, if it did, once the instance has ended. err is what receive said.
func (g *Guest) judge(ctx context.Context, i *instance, s *sender, err error) error {
	var f *exchange.Failure
	switch {
	case err != nil && ctx.Err() != nil:
		return endFailure(ctx, i.ended())
	case s.err != nil: // what the guest made of the part it got is of no use
		return inputFailure(s.err)
	case err == nil:
		return nil // it did not need the rest
	case errors.As(err, &f):
		return f
	}
	return endFailure(ctx, fmt.Errorf("%w before its response was whole", i.ended()))
}
