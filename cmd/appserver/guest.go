package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/appserver-go/appserver/config"
	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/host"
	"github.com/appserver-go/appserver/host/engine"
	"github.com/appserver-go/appserver/host/httpwasm"
	"github.com/appserver-go/appserver/host/upstream"
	"github.com/appserver-go/appserver/internal/proto"
	"github.com/appserver-go/appserver/workers"
)

// loadedGuest is a guest of package host as workers want it.
type loadedGuest struct {
	*host.Guest
	upstream *upstream.Handler // nil without one
}

// Describe translates between two packages that must not know each other.
func (g loadedGuest) Describe() []proto.Fact {
	var facts []proto.Fact
	for _, f := range g.Guest.Describe() {
		facts = append(facts, proto.Fact{Key: f.Key, Value: f.Value})
	}
	return facts
}

// Stats translates, too.
func (g loadedGuest) Stats() workers.GuestStats {
	s := g.Guest.Stats()
	return workers.GuestStats{
		Instances: s.Instances, Memory: s.MemoryBytes, Made: int64(s.Made), Resets: int64(s.Resets), DeniedGrows: int64(s.DeniedGrows),
	}
}

// Close releases the guest and what is behind it.
func (g loadedGuest) Close() error {
	if g.upstream != nil {
		g.upstream.Close()
	}
	return g.Guest.Close()
}

// loadGuest loads the guest of a worker.
func loadGuest(ctx context.Context, r workers.LoadRequest) (workers.Guest, error) {
	wasm, err := io.ReadAll(io.NewSectionReader(r.Artifact, 0, maxArtifact)) // at offsets: siblings share the file
	if err != nil {
		return nil, err
	}
	opts := hostOptions(&r.Config, r.Log)
	opts.Wasm, opts.Stage = wasm, r.Stage
	opts.Siblings = engine.Siblings{Inherit: func(name string) *os.File { return r.Inherited[name] }, Offer: r.Share}
	opts.GuestLog = func(requestID string, level slog.Level, line string) {
		r.GuestLog.Line(level, "guest", requestID, line)
	}
	var next *upstream.Handler
	if r.Config.Upstream != "" {
		if next, err = upstream.New(r.Config.Upstream, r.Log); err != nil {
			return nil, err
		}
		opts.Next = exchange.Handler(next)
	}
	guest, err := host.Load(ctx, opts)
	if err != nil {
		return nil, err
	}
	return loadedGuest{guest, next}, nil
}

// hostOptions are the settings as package host takes them.
func hostOptions(cfg *config.Config, log *slog.Logger) host.Options {
	return host.Options{
		Path: cfg.App, Protocol: cfg.Guest.Protocol,
		MemoryLimit: int64(cfg.Guest.MemoryLimit), MemoryBudget: int64(cfg.Guest.MemoryBudget),
		TableLimit: cfg.Guest.TableLimit, Interrupt: engine.Interrupt(cfg.Guest.Interrupt),
		ShareCode: cfg.Guest.ShareCode, MaxRequests: cfg.Guest.MaxRequests,
		Isolation: httpwasm.Isolation(cfg.Guest.Isolation), Warmup: cfg.Guest.Warmup, CacheDir: cacheDir(cfg, log),
		Env: cfg.Guest.Env, Args: cfg.Guest.Args, Dirs: cfg.Guest.Dirs, Config: []byte(cfg.Guest.Config),
		PluginConfig: pluginConfig(cfg),
		Instances:    slotsOf(cfg), BufferLimit: int64(cfg.LimitRequestBody), Log: log,
	}
}

// pluginConfig returns the configuration of a Go plugin as its contract has it.
func pluginConfig(cfg *config.Config) map[string]string {
	m := map[string]string{}
	for _, pair := range cfg.Guest.PluginConfig {
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
