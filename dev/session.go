package dev

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/appserver-go/appserver/reloader"
)

// Debounce is how long sources must have stood still before they are built. Editors are done sooner, and a build that came
// too early is followed by another.
const Debounce = 40 * time.Millisecond

// SessionOptions are what a Session works with.
type SessionOptions struct {
	Project *Project
	Server  *Server
	Hub     *Hub
	Journal *Journal
	// Settings are files that the server reads, but the build does not: its configuration. Extra are patterns of more.
	Settings, Extra []string
	// Engine is how changes are noticed.
	Engine reloader.Engine
	// Log gets what happens, and Tell each Report.
	Log  *slog.Logger
	Tell func(*Report)
}

// Session builds and serves a Project, and does so again after each change.
type Session struct {
	o       SessionOptions
	watcher *reloader.Watcher
	module  string // of the last build; empty when that has failed
}

// NewSession begins to note changes. The error, a *fault.Error, is about a pattern that cannot be.
func NewSession(o SessionOptions) (*Session, error) {
	w, err := reloader.New(
		slices.Concat(o.Project.Files, o.Settings), slices.Concat(o.Project.Globs, o.Extra),
		reloader.Options{Engine: o.Engine, Debounce: Debounce, Ignore: o.Project.Ignore, Log: o.Log},
	)
	if err != nil {
		return nil, err
	}
	return &Session{o: o, watcher: w}, nil
}

// Run works until ctx is done, and leaves no process behind.
func (s *Session) Run(ctx context.Context) {
	watching, cancel := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() { s.watcher.Run(watching) })
	defer watch.Wait()
	defer cancel()
	defer s.o.Server.Stop()
	s.cycle(ctx, true)
	for {
		// Of changes during a cycle the watcher makes one.
		select {
		case <-ctx.Done():
			return
		case c := <-s.watcher.C():
			s.o.Log.Info("Changed", "files", s.shown(c.Files))
			s.cycle(ctx, s.concernsBuild(c.Files))
		case <-s.ended():
			s.fail(ctx, unloaded(s.o.Project, s.o.Server.proc.failure(), s.o.Journal.printed()))
		}
	}
}

// ended is told when the server ends by itself while it is expected to serve.
func (s *Session) ended() <-chan struct{} {
	if state, _ := s.o.Hub.State(); state.Phase != Serving {
		return nil
	}
	return s.o.Server.Ended()
}

// shown are paths as they are told: relative to the project, and not too many.
func (s *Session) shown(files []string) []string {
	const most = 5
	var names []string
	for _, f := range files {
		if len(names) == most {
			return append(names, "…")
		}
		names = append(names, strings.TrimPrefix(f, s.o.Project.Dir+"/"))
	}
	return names
}

// concernsBuild reports whether one of the files may be a source.
func (s *Session) concernsBuild(files []string) bool {
	return s.module == "" || slices.ContainsFunc(files, func(f string) bool { return !slices.Contains(s.o.Settings, f) })
}

// cycle deals with a change: build, if it is to be, and load.
func (s *Session) cycle(ctx context.Context, build bool) {
	if build && !s.build(ctx) {
		return
	}
	began := time.Now()
	s.o.Hub.Build("loading the guest")
	s.o.Journal.Forget()
	if err := s.o.Server.Load(ctx, s.module); err != nil {
		s.fail(ctx, unloaded(s.o.Project, err, s.o.Journal.printed()))
		return
	}
	s.o.Log.Info("Serving", "guest", s.shown([]string{s.module})[0], "took", time.Since(began).Round(time.Millisecond))
	s.o.Hub.Serve()
}

// build makes a module, and reports whether there is one.
func (s *Session) build(ctx context.Context) bool {
	p := s.o.Project
	s.module = ""
	var c *command
	b := &built{}
	if p.plan != nil {
		var err error
		if c, err = p.plan(); err != nil {
			s.fail(ctx, unbuilt(nil, err))
			return false
		}
		s.o.Hub.Build("building: " + c.String())
		s.o.Log.Info("Building", "command", c.String())
		if b = c.run(ctx); b.err != nil {
			s.fail(ctx, buildFailed(p, c, b))
			return false
		}
		attrs := []any{"took", b.took.Round(time.Millisecond)}
		if said := strings.TrimSpace(b.output); said != "" {
			attrs = append(attrs, "output", said)
		}
		s.o.Log.Info("Built", attrs...)
	}
	module, err := p.module(b)
	if err != nil {
		s.fail(ctx, unbuilt(c, err))
		return false
	}
	s.module = module
	return true
}

// fail makes it known that there is nothing to serve. At the end of the session that is nobody's fault.
func (s *Session) fail(ctx context.Context, r *Report) {
	if ctx.Err() != nil {
		return
	}
	s.o.Tell(r)
	s.o.Hub.Fail(r)
}
