package engine

import (
	"context"

	"github.com/tetratelabs/wazero/api"

	"github.com/appserver-go/appserver/host/engine/rewrite"
)

// instantiateYield defines the function that guests call each time their fuel is used up.
func (e *Engine) instantiateYield(ctx context.Context) error {
	if e.opts.Interrupt != InterruptFuel {
		return nil
	}
	b := e.runtime.NewHostModuleBuilder(rewrite.HostModule)
	b.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(e.yield), nil, nil).Export(rewrite.YieldImport)
	_, err := b.Instantiate(ctx)
	return err
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
	i.yield()
}

// shift returns by how much the indices of the guest's functions are higher than in the module it was compiled from.
func (i *Instance) shift() int {
	if i.engine.opts.Interrupt == InterruptFuel {
		return 1
	}
	return 0
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
