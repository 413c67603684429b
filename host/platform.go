package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/appserver-go/appserver/host/engine"
	"github.com/appserver-go/appserver/host/goplugin"
	"github.com/appserver-go/appserver/internal/fault"
)

// PlatformOptions are what all guests of a process have in common; see the fields of engine.Options.
type PlatformOptions struct {
	MemoryBudget int64
	Interrupt    engine.Interrupt
	CacheDir     string
	ShareCode    bool
	// Log receives what concerns the engine itself; nil discards it.
	Log *slog.Logger
}

// Platform is what the guests of a process run on: wazero wants one Runtime for all of them. It is made by the first guest
// that needs it. One guest at a time is loaded; Stats may be called meanwhile from the goroutine that loads only.
type Platform struct {
	opts   PlatformOptions
	engine *engine.Engine // nil before the first WebAssembly guest
}

// NewPlatform makes the process's Platform.
func NewPlatform(o PlatformOptions) *Platform {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Platform{opts: o}
}

// platform returns the options of a Platform for one guest.
func (o *Options) platform() PlatformOptions {
	return PlatformOptions{MemoryBudget: o.MemoryBudget, Interrupt: o.Interrupt, CacheDir: o.CacheDir, ShareCode: o.ShareCode, Log: o.Log}
}

// Load loads a guest; ctx bounds its start. What the options have of PlatformOptions does not count. Errors are a
// *fault.Error that names the guest, with the code LoadFailed where that is at fault. The guest is closed before the
// Platform.
func (p *Platform) Load(ctx context.Context, o Options) (*Guest, error) {
	o.setDefaults()
	o.MemoryBudget, o.Interrupt, o.CacheDir, o.ShareCode = p.opts.MemoryBudget, p.opts.Interrupt, p.opts.CacheDir, p.opts.ShareCode
	if goplugin.IsELF(o.Wasm) {
		return loadPlugin(&o)
	}
	dirs, err := parseDirs(o.Dirs)
	if err != nil {
		return nil, o.fault(err)
	}
	if err := p.begin(ctx, o.MemoryLimit); err != nil {
		return nil, &fault.Error{Err: fmt.Errorf("prepare to run guests: %w", err), Hint: fault.Hint(err), Code: fault.BootFailed}
	}
	g := &Guest{engine: p.engine, instances: o.Instances}
	if err := g.start(ctx, &o, dirs); err != nil {
		if closeErr := g.Close(); closeErr != nil {
			o.Log.Error("Guest not released", "error", closeErr)
		}
		return nil, o.fault(err)
	}
	return g, nil
}

// begin makes the engine.
func (p *Platform) begin(ctx context.Context, memoryLimit int64) (err error) {
	if p.engine == nil {
		p.engine, err = engine.New(ctx, engine.Options{
			CacheDir: p.opts.CacheDir, MemoryLimit: memoryLimit, MemoryBudget: p.opts.MemoryBudget, Interrupt: p.opts.Interrupt,
			ShareCode: p.opts.ShareCode, Log: p.opts.Log,
		})
	}
	return err
}

// module returns the options of the guest's module.
func (o *Options) module() engine.ModuleOptions {
	return engine.ModuleOptions{
		MemoryLimit: o.MemoryLimit, TableLimit: o.TableLimit, Reset: o.resettable(), Siblings: o.Siblings, Salt: o.salt(),
	}
}

// Stats returns what the instances of all guests use at this moment.
func (p *Platform) Stats() engine.Stats {
	if p.engine == nil {
		return engine.Stats{}
	}
	return p.engine.Stats()
}

// Close releases the platform. All guests are closed before.
func (p *Platform) Close() error {
	if p.engine == nil {
		return nil
	}
	return p.engine.Close(context.Background())
}

// Load loads a guest on a platform of its own, for processes that have one guest. Errors are those of Platform.Load.
func Load(ctx context.Context, o Options) (*Guest, error) {
	p := NewPlatform(o.platform())
	g, err := p.Load(ctx, o)
	if err != nil {
		return nil, errors.Join(err, p.Close())
	}
	g.own = p
	return g, nil
}
