// Package engine runs WebAssembly core modules with wazero: it compiles them, gives their instances memory, clocks,
// directories and streams within limits, calls them, and interrupts them. It knows no HTTP and no guest ABI: the
// packages host/httpwasm and host/cgi are its callers and say what a module has to export and import.
//
// A process has one Engine. wazero's rules that callers need not know are kept here: one Runtime per process,
// anonymous instances, no Close while a call runs, off-heap linear memory, a table limit, real clocks and randomness.
package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
	"golang.org/x/sys/unix"

	"github.com/appserver-go/appserver/internal/fault"
)

// defaultTableLimit is the table limit when the options have none.
const defaultTableLimit = 1 << 20

// features are the proposals that guests may use: WebAssembly 2.0 and what wazero implements soundly beyond it. Its
// exception handling is left off because it corrupts locals in v1.12.0 (wazero issue 2504), threads because an
// instance serves one request at a time.
const features = api.CoreFeaturesV2 | experimental.CoreFeaturesTailCall |
	experimental.CoreFeaturesExtendedConst | experimental.CoreFeaturesTypedFunctionReferences

// Options configure an Engine.
type Options struct {
	// CacheDir is a directory for compiled code, "" for none. Whoever can write to it runs native code in the
	// process, so it is created with mode 0700 and refused when it is not ours or others may write to it.
	CacheDir string
	// MemoryLimit is the linear memory an instance may have, in bytes; it is rounded down to whole pages of 64 KiB.
	// 0 means the 4 GiB that a module can address.
	MemoryLimit int64
	// MemoryBudget bounds the linear memory of all live instances together, in bytes; 0 means no bound.
	MemoryBudget int64
	// TableLimit is the number of elements a table may have; 0 means 1<<20.
	TableLimit int
	// Interrupt is how a guest is stopped when the context of its call is done; "" means InterruptOff. A guest that
	// sleeps or waits in the host is stopped in any case.
	Interrupt Interrupt
	// Fuel is how many steps a guest takes between two looks at the context with InterruptFuel; 0 means 10,000, which
	// takes it some ten microseconds. A step is a turn of a loop or the call of a function that calls others.
	Fuel uint32
	// Reset has modules compiled in such a way that their instances can be captured and reset, if they can be at all.
	Reset bool
	// VerifyReset compares every byte and global of an instance that was reset with the image. It is for tests: it
	// takes longer than the reset.
	VerifyReset bool
	// Siblings are other workers of the same guest, with which work and memory is shared.
	Siblings Siblings
	// Salt stands for all settings of the guest that the engine does not know, so that what is made under them is not
	// used under others.
	Salt []byte
	// ShareCode has siblings use the same memory for compiled code, which takes two thirds of the memory of a worker with
	// a large guest. It rests on how wazero keeps code, is checked byte by byte, and left off where it does not hold.
	ShareCode bool
	// Log receives what concerns the engine itself; nil discards it.
	Log *slog.Logger
}

// ModuleOptions are those of Options that modules of one engine can have different from each other.
type ModuleOptions struct {
	MemoryLimit int64
	TableLimit  int
	Reset       bool
	Siblings    Siblings
	Salt        []byte
}

// module returns the options of modules that have none of their own.
func (o *Options) module() ModuleOptions {
	return ModuleOptions{MemoryLimit: o.MemoryLimit, TableLimit: o.TableLimit, Reset: o.Reset, Siblings: o.Siblings, Salt: o.Salt}
}

// complete fills in defaults and refuses what cannot be. The error is a fault.
func (o *ModuleOptions) complete() error {
	if o.TableLimit <= 0 {
		o.TableLimit = defaultTableLimit
	}
	if o.limitPages() == 0 {
		return fault.New("give at least 64KiB", "the memory limit of %d bytes is less than one page", o.MemoryLimit)
	}
	return nil
}

// limitPages returns the memory limit in pages.
func (o *ModuleOptions) limitPages() uint32 {
	if o.MemoryLimit <= 0 {
		return maxPages
	}
	return uint32(min(o.MemoryLimit/pageSize, maxPages))
}

// Interrupt is a way to stop a guest.
type Interrupt string

// The ways to stop a guest.
const (
	// InterruptFuel counts the guest's steps in its own code, which is rewritten for it. Loops get slower by up to a
	// half, and the guest lets other goroutines run in between. The instance can be reset afterwards.
	InterruptFuel Interrupt = "fuel"
	// InterruptClose has wazero look at the context in each loop. Loops get slower 2-10 times. Recursion without a loop
	// is not stopped, short of the end of its stack, and the instance is lost.
	InterruptClose Interrupt = "close"
	// InterruptOff lets it run: a looping guest can be ended only together with its process.
	InterruptOff Interrupt = "off"
)

// defaultFuel is the Fuel of options that have none, and maxFuel the most that the counter can hold with a margin.
const (
	defaultFuel = 10_000
	maxFuel     = 1 << 30
)

// Engine holds the process's wazero Runtime. Modules and host functions are added to it by one goroutine at a time;
// everything else is safe for concurrent use.
type Engine struct {
	opts       Options
	runtime    wazero.Runtime
	cache      wazero.CompilationCache // nil without a directory
	inUse      bool                    // the runtime holds more than the WASI functions
	budget     budget
	instances  atomic.Int64
	made       atomic.Uint64
	resets     atomic.Uint64
	reclaiming atomic.Bool // a reclaim is due
	live       sync.Map    // api.Module -> *Instance, for host functions
	dirty      dirtyPages
	mapped     [][]byte // modules in sealed files, which wazero refers to
}

// Stats says what the live instances of an Engine use, and what has happened to instances so far.
type Stats struct {
	// Instances is the number of live instances.
	Instances int64
	// MemoryBytes is the linear memory of all of them together.
	MemoryBytes int64
	// MemoryBudget is what they may have together; 0 means no bound.
	MemoryBudget int64
	// DeniedGrows counts requests for memory that were refused for the limit of an instance or for the budget.
	DeniedGrows uint64
	// Made counts the instances that were started, Resets how often one was put back into the state of its image.
	Made, Resets uint64
}

// New makes the process's Engine with the WASI preview 1 functions in it. Errors are those of the cache directory.
func New(ctx context.Context, o Options) (*Engine, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Fuel = min(o.Fuel, maxFuel); o.Fuel == 0 {
		o.Fuel = defaultFuel
	}
	if m := o.module(); m.complete() != nil {
		return nil, m.complete()
	}
	e := &Engine{opts: o, budget: budget{limit: o.MemoryBudget}}
	if o.CacheDir != "" {
		cache, err := openCache(o.CacheDir)
		if err != nil {
			return nil, err
		}
		e.cache = cache
	}
	if err := e.newRuntime(ctx); err != nil {
		return nil, errors.Join(err, e.Close(ctx))
	}
	return e, nil
}

// newRuntime makes the Runtime with the WASI functions in it.
func (e *Engine) newRuntime(ctx context.Context) error {
	config := wazero.NewRuntimeConfig().WithCoreFeatures(features).WithCloseOnContextDone(e.opts.Interrupt == InterruptClose)
	if e.cache != nil {
		config = config.WithCompilationCache(e.cache)
	}
	e.runtime = wazero.NewRuntimeWithConfig(ctx, config)
	if err := e.instantiateWASI(ctx); err != nil {
		return fmt.Errorf("define the WASI functions: %w", err)
	}
	if err := e.instantiateOwn(ctx); err != nil {
		return fmt.Errorf("define the functions of rewritten guests: %w", err)
	}
	return nil
}

// Close releases the engine and all compiled code. No call may run any more. Calling it again does nothing.
func (e *Engine) Close(ctx context.Context) error {
	err := errors.Join(e.closeRuntime(ctx), e.dirty.close())
	for _, b := range e.mapped {
		err = errors.Join(err, unix.Munmap(b))
	}
	e.mapped = nil
	return err
}

// closeRuntime releases all compiled code.
func (e *Engine) closeRuntime(ctx context.Context) error {
	err := e.runtime.Close(ctx)
	if e.cache != nil {
		err = errors.Join(err, e.cache.Close(ctx))
	}
	return err
}

// HostModule starts the definition of a module of host functions, for guests to import by that name. Define functions
// with WithGoModuleFunction only (reflection is thirty times slower) and instantiate it once per engine. A host
// function reports an error by panicking with it: the call ends with a *Trap of KindHost that wraps the error.
// Define and compile from one goroutine at a time.
func (e *Engine) HostModule(name string) wazero.HostModuleBuilder {
	e.inUse = true
	return e.runtime.NewHostModuleBuilder(name)
}

// HostModuleName returns a name that no host module has yet, for one that belongs to a single guest: base, and a number if
// there is such a module already. Guests that are loaded in the same order get the same names.
func (e *Engine) HostModuleName(base string) string {
	if e.runtime.Module(base) == nil {
		return base
	}
	for n := 2; ; n++ {
		if name := fmt.Sprint(base, n); e.runtime.Module(name) == nil {
			return name
		}
	}
}

// HasHostModule reports whether a module of host functions with the name exists.
func (e *Engine) HasHostModule(name string) bool { return e.runtime.Module(name) != nil }

// Stats returns the figures of this moment.
func (e *Engine) Stats() Stats {
	return Stats{
		Instances:    e.instances.Load(),
		MemoryBytes:  e.budget.used.Load(),
		MemoryBudget: e.budget.limit,
		DeniedGrows:  e.budget.denied.Load(),
		Made:         e.made.Load(),
		Resets:       e.resets.Load(),
	}
}
