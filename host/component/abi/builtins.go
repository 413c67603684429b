package abi

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/tetratelabs/wazero/api"

	"github.com/appserver-go/appserver/host/component/binary"
	"github.com/appserver-go/appserver/host/component/link"
	"github.com/appserver-go/appserver/host/component/types"
	"github.com/appserver-go/appserver/host/engine"
)

// Func is a function of the host. It returns the result, nil where it has none, and traps by panicking with an error.
// A resource of the host that is passed to it is the value that another function returned for it.
type Func func(c *Call, args []any) any

// Call is a guest's call of a function of the host. It is valid until the function returns.
type Call struct{ in *Instance }

// Context returns the context of the guest's call. Whatever waits has to watch it.
func (c *Call) Context() context.Context { return c.in.ctx }

// Host returns what the instance was made with.
func (c *Call) Host() any { return c.in.Host }

// Drop drops a resource of the host that was passed as an own handle and that the function has used up.
func Drop(v any) {
	if d, ok := v.(Dropper); ok {
		d.Drop()
	}
}

// HostModule is how the name begins of the module that a component's core modules import builtins from; see
// engine.Engine.HostModuleName.
const HostModule = "component"

// BuiltinName returns the name of a builtin in that module.
func BuiltinName(n int) string { return "f" + strconv.Itoa(n) }

// Define makes the host module of that name with a plan's builtins. Host has the functions of the host; those that it lacks become
// traps.
func Define(ctx context.Context, eng *engine.Engine, name string, plan *link.Plan, host func(*link.Func) Func) error {
	b := eng.HostModule(name)
	for n := range plan.Builtins {
		builtin := &plan.Builtins[n]
		f, params, results := function(builtin, host)
		b.NewFunctionBuilder().WithGoModuleFunction(f, params, results).Export(BuiltinName(n))
	}
	if _, err := b.Instantiate(ctx); err != nil {
		return fmt.Errorf("define the functions of the component: %w", err)
	}
	return nil
}

var (
	i32    = []types.Core{types.I32}
	errOut = errors.New("cannot leave component instance")
)

// function makes a builtin and says of what core type it is.
func function(b *link.Builtin, host func(*link.Func) Func) (api.GoModuleFunc, []types.Core, []types.Core) {
	var run func(in *Instance, stack []uint64)
	params, results := i32, i32
	switch b.Op {
	case binary.OpLower:
		params, results = lowered(b.Func.Type)
		if b.Func.Imported() {
			run = hostCall(b, host(b.Func))
		} else {
			run = guestCall(b)
		}
	case binary.OpResourceNew:
		run = func(in *Instance, stack []uint64) {
			index, err := in.comps[b.Comp].handles.add(handle{res: b.Resource, rep: uint32(stack[0]), own: true})
			if err != nil {
				panic(err)
			}
			stack[0] = uint64(index)
		}
	case binary.OpResourceRep:
		run = func(in *Instance, stack []uint64) {
			h, err := in.comps[b.Comp].handles.get(uint32(stack[0]), b.Resource)
			if err != nil {
				panic(err)
			}
			stack[0] = uint64(h.rep)
		}
	case binary.OpResourceDrop:
		results = nil
		run = func(in *Instance, stack []uint64) { in.drop(b, uint32(stack[0])) }
	}
	return func(ctx context.Context, _ api.Module, stack []uint64) {
		in := current(ctx)
		if !in.comps[b.Comp].mayLeave {
			panic(errOut)
		}
		run(in, stack)
	}, params, results
}

// lowered returns the core type of a lowered function.
func lowered(t *types.Func) (params, results []types.Core) {
	flat, _ := t.FlatParams()
	params = append([]types.Core(nil), flat...)
	result, spill := t.FlatResult()
	if spill {
		return append(params, types.I32), nil
	}
	return params, result
}

// hostCall makes the lowered form of a function of the host.
func hostCall(b *link.Builtin, f Func) func(*Instance, []uint64) {
	name := b.Func.String()
	if f == nil {
		return func(*Instance, []uint64) {
			panic(fmt.Errorf("the guest called %s, which does not exist here", name))
		}
	}
	flat, _ := b.Func.Type.FlatParams()
	_, spill := b.Func.Type.FlatResult()
	return func(in *Instance, stack []uint64) {
		cx := in.conv(b.Comp, &b.Opts)
		base, lends := len(in.args), len(in.lends)
		in.lifted = 0
		in.args = cx.liftParams(b.Func.Type, stack, in.args)
		ptr := uint32(0)
		if spill {
			ptr = uint32(stack[len(flat)])
		}
		result := f(&Call{in}, in.args[base:])
		clear(in.args[base:])
		in.args = in.args[:base]
		cx.lowerResult(b.Func.Type, result, spill, ptr, stack)
		in.endLends(lends)
	}
}

// lowerResult hands a function's result to the guest that called it.
func (c *conv) lowerResult(t *types.Func, result any, spill bool, ptr uint32, stack []uint64) {
	switch {
	case t.Result == nil:
	case spill:
		c.storeAt(t.Result, result, ptr)
	default:
		c.lowerFlat(t.Result, result, stack[:0])
	}
}

// guestCall makes the lowered form of a function that another component instance lifts.
func guestCall(b *link.Builtin) func(*Instance, []uint64) {
	flat, _ := b.Func.Type.FlatParams()
	_, spill := b.Func.Type.FlatResult()
	return func(in *Instance, stack []uint64) {
		cx := in.conv(b.Comp, &b.Opts)
		base, lends := len(in.args), len(in.lends)
		in.lifted = 0
		in.enter(b.Func.Comp)
		in.args = cx.liftParams(b.Func.Type, stack, in.args)
		ptr := uint32(0)
		if spill {
			ptr = uint32(stack[len(flat)])
		}
		args := append([]any(nil), in.args[base:]...)
		in.args = in.args[:base]
		err := in.callLifted(b.Func, args, func(result any) {
			cx.lowerResult(b.Func.Type, result, spill, ptr, stack)
		})
		if err != nil {
			panic(err)
		}
		in.comps[b.Func.Comp].entered = false
		in.endLends(lends)
	}
}

// drop is resource.drop.
func (in *Instance) drop(b *link.Builtin, index uint32) {
	t := &in.comps[b.Comp].handles
	found, err := t.get(index, b.Resource)
	switch {
	case err != nil:
		panic(err)
	case found.lends > 0:
		panic(errLent)
	}
	h := *found
	t.remove(index)
	switch {
	case !h.own:
		h.scope.borrows--
	case h.res.Host:
		in.dropHost(&h)
	default:
		in.destroy(b.Comp, &h)
	}
}

// destroy runs a resource's destructor, which is a call into the component that implements it.
func (in *Instance) destroy(from int, h *handle) {
	if h.res.Dtor < 0 {
		return
	}
	other := h.res.Comp != from
	if other {
		in.enter(h.res.Comp)
	}
	stack := [1]uint64{uint64(h.rep)}
	if err := in.call(h.res.Dtor, stack[:]); err != nil {
		panic(err)
	}
	if other {
		in.comps[h.res.Comp].entered = false
	}
}
