package engine

import (
	"context"
	"crypto/rand"
	"runtime"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental/sysfs"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
)

// instantiateWASI defines wasi_snapshot_preview1: wazero's functions, save that proc_exit ends the call and leaves the
// module open, since wazero closes it under the feet of the code that runs.
func (e *Engine) instantiateWASI(ctx context.Context) error {
	b := e.runtime.NewHostModuleBuilder(wasi_snapshot_preview1.ModuleName)
	wasi_snapshot_preview1.NewFunctionExporter().ExportFunctions(b)
	procExit := func(_ context.Context, _ api.Module, stack []uint64) { panic(&exit{uint32(stack[0])}) }
	b.NewFunctionBuilder().
		WithGoModuleFunction(api.GoModuleFunc(procExit), []api.ValueType{api.ValueTypeI32}, nil).
		WithParameterNames("rval").Export("proc_exit")
	e.exportStrings(b)
	_, err := b.Instantiate(ctx)
	return err
}

// config makes wazero's configuration of an instance: anonymous, for names are unique among live modules; no start
// functions, which Instantiate calls itself; real clocks and randomness, where wazero's defaults are fake.
func (i *Instance) config(s *Spec) wazero.ModuleConfig {
	c := wazero.NewModuleConfig().WithName("").WithStartFunctions().
		WithSysWalltime().WithSysNanotime().
		WithNanosleep(i.nanosleep).WithOsyield(i.yield).
		WithRandSource(rand.Reader)
	if s.Stdin != nil {
		c = c.WithStdin(s.Stdin)
	}
	if s.Stdout != nil {
		c = c.WithStdout(s.Stdout)
	}
	if s.Stderr != nil {
		c = c.WithStderr(s.Stderr)
	}
	if len(i.dirs) == 0 {
		return c
	}
	mounts := wazero.NewFSConfig()
	for _, d := range i.dirs {
		mounts = mounts.(sysfs.FSConfig).WithSysFSMount(d, d.guest)
	}
	return c.WithFSConfig(mounts)
}

// minSleep is how long a sleep has to be for Spec.OnSleep, in nanoseconds. Go's runtime sleeps for a millisecond twice
// when a program panics, which is the wrong moment to send what it has printed.
const minSleep = int64(5 * time.Millisecond)

// nanosleep is the guest's sleep, which poll_oneoff uses too. When the call's context ends it does not return to the
// guest but ends the call, so that a sleeping guest is stopped even where guest code is not interruptible.
func (i *Instance) nanosleep(ns int64) {
	if ns <= 0 {
		return
	}
	t := time.NewTimer(time.Duration(ns))
	defer t.Stop()
	if i.onSleep != nil && ns >= minSleep {
		i.onSleep()
	}
	select {
	case <-t.C:
	case <-i.ctx.Done():
		panic(&interruption{context.Cause(i.ctx)})
	}
}

// yield is the guest's sched_yield.
func (i *Instance) yield() { pause(i.ctx) }

// pause lets other goroutines run, or ends the call whose context is done.
func pause(ctx context.Context) {
	if ctx.Err() != nil {
		panic(&interruption{context.Cause(ctx)})
	}
	runtime.Gosched()
}
