package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/appserver-go/appserver/config"
	"github.com/appserver-go/appserver/host"
	"github.com/appserver-go/appserver/host/boundary"
	"github.com/appserver-go/appserver/host/chain"
	"github.com/appserver-go/appserver/host/engine"
	"github.com/appserver-go/appserver/host/httpwasm"
	"github.com/appserver-go/appserver/host/outbound"
	"github.com/appserver-go/appserver/internal/proto"
	"github.com/appserver-go/appserver/workers"
)

// loadedGuest is what a worker serves as workers want it.
type loadedGuest struct {
	*chain.Chain
	outbound *outbound.Client
}

// Describe translates between two packages that must not know each other.
func (g loadedGuest) Describe() []proto.Fact {
	var facts []proto.Fact
	for _, f := range g.Chain.Describe() {
		facts = append(facts, proto.Fact{Key: f.Key, Value: f.Value})
	}
	return facts
}

// Stats translates, too.
func (g loadedGuest) Stats() workers.GuestStats {
	s := g.Chain.Stats()
	return workers.GuestStats{
		Instances: s.Instances, Memory: s.MemoryBytes, Made: int64(s.Made), Resets: int64(s.Resets), DeniedGrows: int64(s.DeniedGrows),
	}
}

// Close releases the guests and their connections.
func (g loadedGuest) Close() error {
	defer g.outbound.Close()
	return g.Chain.Close()
}

// loadGuest loads all guests of a worker, and what else answers its requests.
func loadGuest(ctx context.Context, r workers.LoadRequest) (workers.Guest, error) {
	files, err := artifactContent(r.Artifact)
	if err != nil {
		return nil, err
	}
	client := outbound.New()
	o, err := chainOptions(&r, files, client)
	if err != nil {
		return nil, err
	}
	c, err := chain.Load(ctx, o)
	if err != nil {
		return nil, err
	}
	return loadedGuest{c, client}, nil
}

// chainOptions are the settings as package chain takes them.
func chainOptions(r *workers.LoadRequest, files map[string][]byte, client boundary.Client) (chain.Options, error) {
	cfg := &r.Config
	o := chain.Options{Log: r.Log, Platform: host.PlatformOptions{
		MemoryBudget: int64(cfg.Guest.MemoryBudget), Interrupt: engine.Interrupt(cfg.Guest.Interrupt),
		CacheDir: cacheDir(cfg, r.Log), ShareCode: cfg.Guest.ShareCode, Log: r.Log,
	}}
	programs := map[string]*chain.Guest{}
	for _, p := range cfg.Programs() {
		programs[p.Name] = &chain.Guest{Name: p.Name, Options: hostOptions(r, p, files[p.Path])}
		if p.Name != "app" {
			programs[p.Name].Options.Log = r.Log.With("guest", p.Name)
		}
		o := &programs[p.Name].Options
		var err error
		if o.Boundary, err = newBoundary(p.Guest, client, o.Log); err != nil {
			return chain.Options{}, err
		}
	}
	for i := range cfg.Middleware {
		o.Middleware = append(o.Middleware, *programs[fmt.Sprintf("middleware[%d]", i+1)])
	}
	for i := range cfg.Route {
		route, name := &cfg.Route[i], fmt.Sprintf("route[%d]", i+1)
		o.Routes = append(o.Routes, chain.Route{
			Host: route.Host, Path: route.Path, Strip: route.StripPrefix,
			App: chain.App{Name: name, Guest: programs[name], Upstream: route.Upstream, Static: route.Static},
		})
	}
	if cfg.App != "" || cfg.Upstream != "" {
		o.App = &chain.App{Name: "app", Guest: programs["app"], Upstream: cfg.Upstream}
	}
	return o, nil
}

// hostOptions are the settings of a guest as package host takes them.
func hostOptions(r *workers.LoadRequest, p config.Program, file []byte) host.Options {
	cfg, g := &r.Config, p.Guest
	stream := "guest"
	if p.Name != "app" {
		stream = p.Name
	}
	return host.Options{
		Path: p.Path, Wasm: file, Protocol: g.Protocol, MemoryLimit: int64(g.MemoryLimit), TableLimit: g.TableLimit,
		MaxRequests: g.MaxRequests, Isolation: httpwasm.Isolation(g.Isolation), Warmup: g.Warmup,
		Env: g.Env, Args: g.Args, Dirs: g.Dirs, Config: []byte(g.Config), PluginConfig: pluginConfig(g),
		Instances: slotsOf(cfg), BufferLimit: int64(cfg.LimitRequestBody),
		Siblings: engine.Siblings{Inherit: func(name string) *os.File { return r.Inherited[name] }, Offer: r.Share},
		Log:      r.Log, Stage: r.Stage,
		GuestLog: func(requestID string, level slog.Level, line string) { r.GuestLog.Line(level, stream, requestID, line) },
	}
}

// pluginConfig returns the configuration of a Go plugin as its contract has it.
func pluginConfig(g *config.Guest) map[string]string {
	m := map[string]string{}
	for _, pair := range g.PluginConfig {
		name, value, _ := strings.Cut(pair, "=")
		m[name] = value
	}
	return m
}

// cacheDir returns where compiled code is kept: where the setting says, else in the user's cache directory if that can
// be used, else nowhere. Code from a cache loads in a tenth of the time that compiling takes.
func cacheDir(cfg *config.Config, log *slog.Logger) string {
	if cfg.Guest.CacheDir != "" {
		return cfg.Guest.CacheDir
	}
	base, err := os.UserCacheDir()
	if err == nil {
		base = filepath.Join(base, "appserver")
		err = os.MkdirAll(base, 0o700)
	}
	if err != nil || !ownDir(base) {
		log.Debug("Compiled code is not kept", "reason", "no cache directory of this user", "error", err)
		return ""
	}
	return base
}

// ownDir reports whether a directory belongs to this user and can be written to by nobody else. The environment names
// the home directory of whoever started the server, so the default may be somebody else's.
func ownDir(path string) bool {
	var st unix.Stat_t
	return unix.Stat(path, &st) == nil && int(st.Uid) == os.Geteuid() && st.Mode&0o022 == 0
}
