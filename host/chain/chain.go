// Package chain makes one handler of all that serves a worker's requests: middleware in front, routes behind it, and at
// each end a guest, a directory of files or another server. The guests run on one host.Platform. Cmd gives it the files and
// settings; the workers call it as an exchange.Handler. It knows neither.
package chain

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/host"
	"github.com/appserver-go/appserver/host/engine"
	"github.com/appserver-go/appserver/host/router"
	"github.com/appserver-go/appserver/host/static"
	"github.com/appserver-go/appserver/host/upstream"
	"github.com/appserver-go/appserver/internal/fault"
)

// Options say what to make.
type Options struct {
	// Platform are what all guests have in common.
	Platform host.PlatformOptions
	// Middleware are http-wasm guests that each request goes through, in this order.
	Middleware []Guest
	// Routes are apps for some requests, App is the one for the rest; with neither they are answered with 404.
	Routes []Route
	App    *App
	// Log receives what concerns the server; nil discards it.
	Log *slog.Logger
}

// Guest is a guest to load.
type Guest struct {
	// Name says which it is in messages, such as "middleware[1]".
	Name string
	// Options are those of the guest. Next, and what is in the Platform's, do not count.
	Options host.Options
}

// App is what answers requests: a guest, or without it what stands behind one.
type App struct {
	// Name says which it is in messages.
	Name string
	// Guest is nil for none.
	Guest *Guest
	// Upstream is a URL in the form of upstream.New, Static a directory. One of them at most is set.
	Upstream, Static string
}

// Route is an app for some requests; see router.Route.
type Route struct {
	Host, Path string
	Strip      bool
	App        App
}

// Chain serves requests. It is safe for concurrent use.
type Chain struct {
	head     exchange.Handler
	platform *host.Platform
	log      *slog.Logger
	opts     *Options
	parts    []part      // in the order of loading
	closers  []io.Closer // closed from the last to the first
	behind   int         // how many of parts are no middleware
	guests   int         // how many are loaded, for the names of what they share
	several  bool
}

// part is a line of Describe.
type part struct {
	name  string
	what  string
	guest *host.Guest // nil for what is none
}

// Load loads everything; ctx bounds the starts of the guests. Errors are a *fault.Error that says which of them is at
// fault.
func Load(ctx context.Context, o Options) (*Chain, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	c := &Chain{platform: host.NewPlatform(o.Platform), log: o.Log, opts: &o, several: len(o.Middleware)+len(o.Routes) > 0}
	err := c.build(ctx)
	c.opts = nil // it holds the files
	if err != nil {
		if closeErr := c.Close(); closeErr != nil {
			o.Log.Error("Guests not released", "error", closeErr)
		}
		return nil, err
	}
	return c, nil
}

// build makes the handlers from the end to the front, since each needs the one behind it.
func (c *Chain) build(ctx context.Context) (err error) {
	if c.head, err = c.routes(ctx); err != nil {
		return err
	}
	c.behind = len(c.parts)
	for i := len(c.opts.Middleware) - 1; i >= 0; i-- {
		m := &c.opts.Middleware[i]
		m.Options.Protocol = host.ProtocolHTTPWasm
		if c.head, err = c.guest(ctx, m, c.head); err != nil {
			return err
		}
	}
	return nil
}

// routes makes what is behind the middleware.
func (c *Chain) routes(ctx context.Context) (rest exchange.Handler, err error) {
	if c.opts.App != nil {
		rest, err = c.app(ctx, c.opts.App)
	} else {
		rest = exchange.HandlerFunc(nothing)
	}
	if err != nil || len(c.opts.Routes) == 0 {
		return rest, err
	}
	var table []router.Route
	for i := range c.opts.Routes {
		r := &c.opts.Routes[i]
		h, err := c.app(ctx, &r.App)
		if err != nil {
			return nil, err
		}
		table = append(table, router.Route{Host: r.Host, Path: r.Path, Strip: r.Strip, Handler: h})
	}
	if c.opts.App != nil {
		table = append(table, router.Route{Handler: rest})
	}
	return router.New(table), nil
}

func nothing(context.Context, *exchange.Exchange) error {
	return exchange.Fail(404, exchange.NotFound, "there is no app")
}

// app makes an app, from its end to its guest.
func (c *Chain) app(ctx context.Context, a *App) (h exchange.Handler, err error) {
	if h, err = c.end(a); err != nil {
		return nil, c.fault(a.Name, err)
	}
	if a.Guest == nil {
		return h, nil
	}
	return c.guest(ctx, a.Guest, h)
}

// end makes what is behind an app's guest, nil if nothing is.
func (c *Chain) end(a *App) (exchange.Handler, error) {
	switch {
	case a.Upstream != "":
		h, err := upstream.New(a.Upstream, c.log)
		if err != nil {
			return nil, err
		}
		c.add(part{name: a.Name, what: "upstream " + a.Upstream}, h)
		return c.named(a.Name, "upstream", h), nil
	case a.Static != "":
		h, err := static.Open([]string{"/=" + a.Static})
		if err != nil {
			return nil, err
		}
		c.add(part{name: a.Name, what: "static " + a.Static}, h)
		return c.named(a.Name, "static", h), nil
	}
	return nil, nil
}

func (c *Chain) add(p part, closer io.Closer) {
	c.parts = append(c.parts, p)
	c.closers = append(c.closers, closer)
}

// guest loads a guest in front of a handler, which may be nil.
func (c *Chain) guest(ctx context.Context, g *Guest, next exchange.Handler) (exchange.Handler, error) {
	o := g.Options
	o.Next, o.Siblings = next, numbered(o.Siblings, c.guests)
	c.guests++
	loaded, err := c.platform.Load(ctx, o)
	if err != nil {
		return nil, c.fault(g.Name, err)
	}
	c.add(part{name: g.Name, what: o.Path, guest: loaded}, loaded)
	return c.named(g.Name, o.Path, loaded), nil
}

// fault says which part of several an error is about.
func (c *Chain) fault(name string, err error) error {
	if !c.several {
		return err
	}
	return &fault.Error{Err: fmt.Errorf("%s: %w", name, err), Hint: fault.Hint(err), Code: fault.Code(err)}
}

// Serve answers x.
func (c *Chain) Serve(ctx context.Context, x *exchange.Exchange) error { return c.head.Serve(ctx, x) }

// Stats returns what the instances of all guests use at this moment.
func (c *Chain) Stats() engine.Stats { return c.platform.Stats() }

// Describe returns what is known of all parts, in the order in which requests come to them, routes in that of loading.
func (c *Chain) Describe() []host.Fact {
	var facts []host.Fact
	for _, p := range c.ordered() {
		if c.several || p.guest == nil {
			facts = append(facts, host.Fact{Key: p.name, Value: p.what})
		}
		if p.guest != nil {
			facts = append(facts, p.guest.Describe()...)
		}
	}
	return facts
}

// ordered returns the parts with the middleware, which is loaded last and from its end, first.
func (c *Chain) ordered() []part {
	front := slices.Clone(c.parts[c.behind:])
	slices.Reverse(front)
	return append(front, c.parts[:c.behind]...)
}

// Close releases everything. No request may run.
func (c *Chain) Close() error {
	var errs []error
	for i := len(c.closers) - 1; i >= 0; i-- {
		errs = append(errs, c.closers[i].Close())
	}
	c.closers = nil
	return errors.Join(append(errs, c.platform.Close())...)
}
