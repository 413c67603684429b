package engine

import (
	"context"

	"github.com/tetratelabs/wazero/api"

	"github.com/appserver-go/appserver/host/engine/rewrite"
)

// instantiateOwn defines the functions that rewritten guests call.
func (e *Engine) instantiateOwn(ctx context.Context) error {
	b := e.runtime.NewHostModuleBuilder(rewrite.HostModule)
	b.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(e.yield), nil, nil).Export(rewrite.YieldImport)
	b.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(e.descriptor), []api.ValueType{api.ValueTypeI32}, nil).
		Export(rewrite.DescriptorImport)
	b.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(e.checkpoint),
		[]api.ValueType{api.ValueTypeI32}, []api.ValueType{api.ValueTypeI32}).Export(rewrite.CheckpointImport)
	_, err := b.Instantiate(ctx)
	return err
}

// descriptor is told which descriptor the guest is about to close. A reset could not open its standard streams and
// directories again.
func (e *Engine) descriptor(ctx context.Context, mod api.Module, stack []uint64) {
	if i := e.instanceOf(ctx, mod); uint64(uint32(stack[0])) < uint64(3+len(i.dirs)) || uint32(stack[0]) == ^uint32(0) {
		i.lost = true
	}
}

// yield gives the guest fuel, and other goroutines a chance to run, or ends the call if its context is done. It panics
// rather than closing the module: so wazero tells where the guest was, and the instance can be reset. While it runs the
// garbage collector can stop the goroutine, which it cannot do in guest code.
func (e *Engine) yield(ctx context.Context, mod api.Module, _ []uint64) {
	i := e.instanceOf(ctx, mod)
	if i.fuel == nil { // the start function runs, so the instance has not been linked yet
		i.fuel = mod.ExportedGlobal(rewrite.FuelExport).(api.MutableGlobal)
	}
	i.refuel()
	pause(ctx)
}

func (i *Instance) refuel() { i.fuel.Set(uint64(i.engine.opts.Fuel)) }

// findGlobals looks up the globals that the module was given for us.
func (i *Instance) findGlobals(m *Module) {
	if i.engine.opts.Interrupt == InterruptFuel {
		i.fuel = i.mod.ExportedGlobal(rewrite.FuelExport).(api.MutableGlobal)
	}
	if m.lasting != "" {
		return
	}
	for _, index := range m.facts.Globals {
		i.globals = append(i.globals, i.mod.ExportedGlobal(rewrite.GlobalExport(index)).(api.MutableGlobal))
	}
}
