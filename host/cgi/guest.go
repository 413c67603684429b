// Package cgi serves requests with a WASI command: a module whose _start reads the request from its environment and
// stdin and prints the response to stdout, as in the Common Gateway Interface (RFC 3875) and in WAGI, its form for
// WebAssembly. Every request has an instance as if it were fresh, so nothing of one request can be seen in another: a fresh
// one, or one that was reset, which may be in the middle of its run already, where its first question to the host comes.
//
// The package knows no sockets and no other guest ABI. Package host loads a Guest; the workers call it.
package cgi

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/host/engine"
	"github.com/appserver-go/appserver/internal/fault"
)

// entry is the function that a WASI command exports.
const entry = "_start"

// maxRedirects is how many local redirects (RFC 3875 6.2.2) are followed for one request.
const maxRedirects = 10

// defaultBufferLimit is the limit for bodies of unknown length when the options have none.
const defaultBufferLimit = 10 << 20

// Options configure a Guest.
type Options struct {
	// Env is added to the environment of every request, as "NAME=value". The variables of the request win.
	Env []string
	// Args follow the path in the guest's arguments; an element "${ARGS}" stands for the parts of the query, split at
	// "&". Without Args the guest gets the path and the parts of the query, as in WAGI. Guests that take options, like
	// interpreters, should be given Args, so that no client can choose the options.
	Args []string
	// Dirs are the directories the guest sees.
	Dirs []engine.Dir
	// BufferLimit is the largest body of unknown length, in bytes, that is gathered to tell the guest its
	// CONTENT_LENGTH; 0 means 10 MiB. A larger one fails with status 413.
	BufferLimit int64
	// Reset has instances used again, each reset to the byte after its request. Guests that cannot be reset are served
	// with fresh ones; Log says why.
	Reset bool
	// Instances is the most instances that are kept for Reset; fewer than 1 means 1. A request that finds none free waits
	// for one.
	Instances int
	// MaxRequests is after how many requests an instance is replaced; 0 means any number.
	MaxRequests int
	// Stderr takes what the guest prints to stderr, line by line, with the request's context; nil discards it.
	Stderr func(ctx context.Context, line string)
	// Log receives what concerns the server; nil discards it.
	Log *slog.Logger
}

// Guest is a WASI command that serves requests. It is safe for concurrent use.
type Guest struct {
	module *engine.Module
	opts   Options
	env    []string          // Options.Env without the variables that every request sets
	http   map[string]string // those of Options.Env that look like a header field
	hold   time.Duration     // see output

	pool  *engine.Pool[*runner] // nil with fresh instances
	image *engine.Image         // of an instance that has not begun; nil with checkpoints
}

// New checks that the module is a WASI command and that an instance can be made. The module stays the caller's.
// Errors are a *fault.Error with the code LoadFailed.
func New(ctx context.Context, module *engine.Module, o Options) (*Guest, error) {
	switch e, ok := module.Export(entry); {
	case !ok || e.Kind != engine.KindFunc:
		return nil, fault.WithCode(fault.LoadFailed, "build the guest as a command with a main function",
			"the module exports no function %s, which a CGI guest begins with", entry)
	case len(e.Params)+len(e.Results) > 0:
		return nil, fault.WithCode(fault.LoadFailed, "build the guest as a command for WASI preview 1",
			"the module exports %s as %s, must be ()->()", entry, engine.Signature(e.Params, e.Results))
	}
	if o.BufferLimit <= 0 {
		o.BufferLimit = defaultBufferLimit
	}
	if o.Stderr == nil {
		o.Stderr = func(context.Context, string) {}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	g := &Guest{module: module, opts: o, hold: maxHold}
	if err := g.splitEnv(); err != nil {
		return nil, err
	}
	// Making an instance does not run a command, but shows whether the host has what it imports.
	instance, err := module.Instantiate(ctx, engine.Spec{Dirs: o.Dirs})
	if err != nil {
		return nil, loadFault(err)
	}
	if err := instance.Close(); err != nil {
		return nil, fmt.Errorf("close an instance: %w", err)
	}
	if o.Reset {
		if err := g.pooling(ctx); err != nil {
			return nil, err
		}
	}
	return g, nil
}

// loadFault makes the error of a first instance a fault.
func loadFault(err error) error {
	if fault.Code(err) == fault.LoadFailed {
		return err
	}
	return fault.WithCode(fault.LoadFailed, fault.Hint(err), "make an instance of the guest: %w", err)
}

// splitEnv prepares Options.Env.
func (g *Guest) splitEnv() error {
	for _, kv := range g.opts.Env {
		name, _, ok := strings.Cut(kv, "=")
		switch {
		case !ok || name == "":
			return fault.WithCode(fault.LoadFailed, "write guest.env as NAME=value", "the environment entry %q has no name and value", kv)
		case meta[name]:
			g.opts.Log.Warn("Environment entry ignored: CGI sets this variable", "name", name)
		case strings.HasPrefix(name, "HTTP_"):
			if g.http == nil {
				g.http = map[string]string{}
			}
			g.http[name] = kv
		default:
			if i := find(g.env, name); i >= 0 {
				g.env[i] = kv // the last one counts
			} else {
				g.env = append(g.env, kv)
			}
		}
	}
	return nil
}

// From says where requests begin in an instance that is reset, in words for people; it returns "" with fresh instances.
func (g *Guest) From() string {
	switch {
	case g.pool == nil:
		return ""
	case g.image != nil:
		return "the beginning"
	}
	return "a checkpoint"
}

// Close releases the idle instances; those at work follow when they are done.
func (g *Guest) Close() error {
	if g.pool != nil {
		g.pool.Close()
	}
	if g.image != nil {
		return g.image.Close()
	}
	return nil
}

// Serve answers an exchange with one run of the guest, and one more for each local redirect it answers with.
func (g *Guest) Serve(ctx context.Context, x *exchange.Exchange) error {
	r, err := newRequest(ctx, &x.Request, g.opts.BufferLimit)
	if err != nil {
		return err
	}
	for range maxRedirects + 1 {
		location, err := g.run(ctx, x, r)
		if err != nil || location == "" {
			return err
		}
		r = r.redirected(location)
	}
	return exchange.Fail(502, exchange.BadResponse, "the guest redirected %d times in a row, at last to %q", maxRedirects+1, r.target)
}

// run makes an instance, lets it answer r and returns where it redirects to, if it does.
func (g *Guest) run(ctx context.Context, x *exchange.Exchange, r *request) (location string, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	env, err := g.environ(&x.Request, r)
	if err != nil {
		return "", err
	}
	out := &output{response: &x.Response, stop: cancel, hold: g.hold}
	stderr := engine.NewLineWriter(func(line string) { g.opts.Stderr(ctx, line) })
	spec := engine.Spec{Args: g.args(r), Env: env, Dirs: g.opts.Dirs, Stdout: out, Stderr: stderr, OnSleep: out.flush}
	in := &stdin{r: r.body}
	if r.body != nil {
		spec.Stdin = in
	}
	err = g.call(ctx, spec)
	stderr.Flush()
	return out.finish(in.err, err)
}

// call runs the guest.
func (g *Guest) call(ctx context.Context, s engine.Spec) error {
	if g.pool != nil {
		return g.callPooled(ctx, s)
	}
	instance, err := g.module.Instantiate(ctx, s)
	if err != nil {
		return err
	}
	err = instance.Call(ctx, instance.Function(entry), nil)
	if err := instance.Close(); err != nil {
		g.opts.Log.Error("Guest instance not closed", "error", err)
	}
	return err
}

// args returns the guest's arguments.
func (g *Guest) args(r *request) []string {
	args := []string{r.path}
	if len(g.opts.Args) == 0 {
		return append(args, r.queryArgs()...)
	}
	for _, a := range g.opts.Args {
		if a == "${ARGS}" {
			args = append(args, r.queryArgs()...)
		} else {
			args = append(args, a)
		}
	}
	return args
}
