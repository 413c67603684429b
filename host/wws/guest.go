// Package wws serves requests with guests of wasm-workers-server: WASI commands that read a request as a JSON object from
// stdin and print the response as another. Every request has an instance of its own. The package knows no sockets and no
// other guest ABI; package host loads a Guest.
package wws

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/host/engine"
	"github.com/appserver-go/appserver/host/guestfail"
	"github.com/appserver-go/appserver/internal/fault"
)

// entry is the function that a WASI command exports.
const entry = "_start"

const (
	defaultBodyLimit = 10 << 20
	outputLimit      = 64 << 20 // bytes of JSON that a guest may print
	keptLimit        = 1 << 20  // bytes of keys and values
)

// Options configure a Guest.
type Options struct {
	// Name is the guest's name in its arguments, Args follow it.
	Name string
	Args []string
	// Env is the guest's environment, as "NAME=value".
	Env []string
	// Dirs are the directories the guest sees.
	Dirs []engine.Dir
	// BodyLimit is the largest request body in bytes; 0 means 10 MiB. Bodies are in memory as a whole.
	BodyLimit int64
	// Keep has requests find the keys and values (kv) that the one before them in this process has returned; without it they
	// find none.
	Keep bool
	// Stderr takes what the guest prints to stderr, line by line, with the request's context; nil discards it.
	Stderr func(ctx context.Context, line string)
	// Log receives what concerns the server; nil discards it.
	Log *slog.Logger
}

// Guest serves requests. It is safe for concurrent use.
type Guest struct {
	module *engine.Module
	opts   Options

	mu   sync.Mutex
	kept map[string]string
}

// New checks that the module is a WASI command and that an instance can be made. The module stays the caller's. Errors are
// a *fault.Error with the code LoadFailed.
func New(ctx context.Context, module *engine.Module, o Options) (*Guest, error) {
	e, ok := module.Export(entry)
	if !ok || e.Kind != engine.KindFunc || len(e.Params)+len(e.Results) > 0 {
		return nil, fault.WithCode(fault.LoadFailed, "build the guest as a command for WASI preview 1", "the module exports no function %s of type ()->()", entry)
	}
	if o.BodyLimit <= 0 {
		o.BodyLimit = defaultBodyLimit
	}
	if o.Stderr == nil {
		o.Stderr = func(context.Context, string) {}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	// Making an instance does not run a command, but shows whether the host has what it imports.
	instance, err := module.Instantiate(ctx, engine.Spec{Dirs: o.Dirs})
	if err == nil {
		err = instance.Close()
	}
	if err != nil {
		return nil, fault.WithCode(fault.LoadFailed, fault.Hint(err), "make an instance of the guest: %w", err)
	}
	return &Guest{module: module, opts: o, kept: map[string]string{}}, nil
}

// Close has nothing to release: instances live as long as their request.
func (g *Guest) Close() error { return nil }

// Serve answers x with one run of the guest.
func (g *Guest) Serve(ctx context.Context, x *exchange.Exchange) error {
	input, err := g.encode(ctx, &x.Request)
	if err != nil {
		return err
	}
	out := &limited{}
	stderr := engine.NewLineWriter(func(line string) { g.opts.Stderr(ctx, line) })
	err = g.run(ctx, engine.Spec{
		Args: append([]string{g.opts.Name}, g.opts.Args...), Env: g.opts.Env, Dirs: g.opts.Dirs, Stdin: bytes.NewReader(input), Stdout: out, Stderr: stderr,
	})
	stderr.Flush()
	switch {
	case err != nil:
		return guestfail.Call(entry, err)
	case out.full:
		return exchange.Fail(502, exchange.BadResponse, "the guest's response is longer than %d bytes", outputLimit)
	}
	return g.answer(x, out.Bytes())
}

func (g *Guest) run(ctx context.Context, s engine.Spec) error {
	instance, err := g.module.Instantiate(ctx, s)
	if err != nil {
		return err
	}
	err = instance.Call(ctx, instance.Function(entry), nil)
	if closeErr := instance.Close(); closeErr != nil {
		g.opts.Log.Error("Guest instance not closed", "error", closeErr)
	}
	return exited(err)
}

// exited takes an exit with the code 0 for an end.
func exited(err error) error {
	var t *engine.Trap
	if errors.As(err, &t) && t.Kind == engine.KindExit && t.Code == 0 {
		return nil
	}
	return err
}

// limited is a buffer that takes no more than outputLimit.
type limited struct {
	bytes.Buffer
	full bool
}

// Write implements io.Writer. The guest sees a failure when there is no more room.
func (l *limited) Write(p []byte) (int, error) {
	if l.Len()+len(p) > outputLimit {
		l.full = true
		return 0, fmt.Errorf("more than %d bytes", outputLimit)
	}
	return l.Buffer.Write(p)
}
