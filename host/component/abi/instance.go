package abi

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/tetratelabs/wazero/api"

	"github.com/appserver-go/appserver/host/component/link"
	"github.com/appserver-go/appserver/host/component/types"
	"github.com/appserver-go/appserver/host/engine"
)

// Instance is a live component. One goroutine at a time may use it.
type Instance struct {
	// Host is the embedder's: the functions of the host find it in their Call.
	Host any

	program  *Program
	group    *engine.GroupInstance
	lends    []lend // a stack of handles that running calls have borrowed
	comps    []comp
	memories []api.Memory
	funcs    []api.Function
	ctx      context.Context // of the call that runs
	args     []any           // a stack of arguments
	lifted   int             // bytes of values made in the running host call
	failed   bool            // a failure outside of guest code
	image    *Image          // what a reset goes back to
}

// comp is the state of a component instance inside the component.
type comp struct {
	handles  table
	mayLeave bool
	entered  bool
}

// task is a call into a component instance; borrowed handles belong to it.
type task struct {
	borrows int
}

// Program is a component ready to be instantiated. It is safe for concurrent use.
type Program struct {
	// Plan is what it was made of.
	Plan *link.Plan
	// Group are its core modules.
	Group *engine.Group
}

// Dropper is what resources of the host implement that hold something to be released. Drop is called once, when the
// guest drops its own handle, or with the instance.
type Dropper interface{ Drop() }

// Keeper is what resources of the host implement that a guest can hold in an image: Keep returns a copy that is the same
// to the guest in every instance that stands on the image, or nil if there is none.
type Keeper interface{ Keep() any }

type instanceKey struct{}

// callContext is the context of a component's calls, by which host functions find the instance.
type callContext struct {
	context.Context
	in *Instance
}

// Value implements context.Context.
func (c *callContext) Value(key any) any {
	if key == (instanceKey{}) {
		return c.in
	}
	return c.Context.Value(key)
}

// current returns the instance that a host function was called by.
func current(ctx context.Context) *Instance {
	if c, ok := ctx.(*callContext); ok {
		return c.in
	}
	return ctx.Value(instanceKey{}).(*Instance)
}

// Instantiate makes an instance and runs its start functions. Host becomes its Host. Errors are those of
// engine.GroupInstance.Instantiate.
func (p *Program) Instantiate(ctx context.Context, host any) (*Instance, error) {
	in := p.make(ctx, host)
	if err := in.group.Instantiate(in.ctx, engine.Spec{}); err != nil {
		return nil, errors.Join(err, in.Close())
	}
	return in, nil
}

func (p *Program) make(ctx context.Context, host any) *Instance {
	in := &Instance{
		Host: host, program: p, group: p.Group.New(),
		comps:    make([]comp, p.Plan.Comps),
		memories: make([]api.Memory, len(p.Plan.Memories)),
		funcs:    make([]api.Function, len(p.Plan.Funcs)),
	}
	for i := range in.comps {
		in.comps[i].mayLeave = true
	}
	in.ctx = &callContext{ctx, in}
	return in
}

// Broken reports that the instance failed and must be reset or closed.
func (in *Instance) Broken() bool { return in.failed || in.group.Broken() }

// Close drops what the guest holds of the host's and releases the instance. Calling it again does nothing.
func (in *Instance) Close() error {
	in.dropAll()
	return in.group.Close()
}

// dropAll drops what the guest owns of the host's.
func (in *Instance) dropAll() {
	for n := range in.comps {
		t := &in.comps[n].handles
		for i := range t.entries {
			if h := &t.entries[i]; h.own {
				in.dropHost(h)
			}
		}
		clear(t.entries)
		*t = table{entries: t.entries[:0]}
	}
}

// dropHost has the host drop what a handle stands for, if it is the host's.
func (in *Instance) dropHost(h *handle) {
	if h.res == nil || !h.res.Host {
		return
	}
	if d, ok := h.obj.(Dropper); ok {
		d.Drop()
	}
}

// memory returns a memory of the plan.
func (in *Instance) memory(index int) api.Memory {
	if index < 0 {
		return nil
	}
	m := in.memories[index]
	if m == nil {
		c := in.program.Plan.Memories[index]
		if m = in.group.Member(c.Step).ExportedMemory(c.Name); m == nil {
			panic(fmt.Errorf("a core module does not export the memory %q", c.Name))
		}
		in.memories[index] = m
	}
	return m
}

// call calls a core function of the plan. Params and results are on the stack.
func (in *Instance) call(index int, stack []uint64) error {
	c := in.program.Plan.Funcs[index]
	member := in.group.Member(c.Step)
	f := in.funcs[index]
	if f == nil {
		if f = member.Function(c.Name); f == nil {
			return fmt.Errorf("a core module does not export the function %q", c.Name)
		}
		in.funcs[index] = f
	}
	return member.Call(in.ctx, f, stack)
}

// Invoke calls an exported function. The result is nil where the function has none. Errors are *engine.Trap; the
// instance is broken then.
func (in *Instance) Invoke(ctx context.Context, f *link.Func, args ...any) (result any, err error) {
	before := in.ctx
	in.ctx = &callContext{ctx, in}
	defer func() {
		if p := recover(); p != nil {
			err = failure(p)
		}
		in.failed = in.failed || err != nil
		in.ctx = before
		in.args = in.args[:0]
	}()
	in.lifted = 0
	in.enter(f.Comp)
	err = in.callLifted(f, args, func(r any) { result = r })
	in.comps[f.Comp].entered = false
	return result, err
}

// failure makes an error of a panic.
func failure(p any) error {
	err, ok := p.(error)
	if !ok {
		err = fmt.Errorf("%v", p)
	}
	var t *engine.Trap
	if errors.As(err, &t) {
		return err
	}
	return &engine.Trap{Kind: engine.KindHost, Err: err}
}

var errReenter = errors.New("cannot enter component instance")

// enter notes that a component instance is called. It must not be called from inside itself.
func (in *Instance) enter(comp int) {
	c := &in.comps[comp]
	if c.entered {
		panic(errReenter)
	}
	c.entered = true
}

// callLifted calls a lifted function: it lowers the arguments into the component that lifts it, and hands the result to
// returned before the component's post-return function runs.
func (in *Instance) callLifted(f *link.Func, args []any, returned func(any)) error {
	t := &task{}
	cx := in.conv(f.Comp, &f.Opts)
	cx.task = t
	var flat [types.MaxFlatParams + 1]uint64
	params, spill := f.Type.FlatParams()
	n := len(params)
	if spill {
		flat[0] = cx.lowerSpilled(f.Type.Params, args)
	} else {
		cx.lowerFlatValues(f.Type.Params, args, flat[:0])
	}
	stack := flat[:max(n, 1)]
	if err := in.call(f.Core, stack); err != nil {
		return err
	}
	result, spilled := f.Type.FlatResult()
	var core uint64
	if len(result) > 0 {
		core = stack[0]
	}
	var value any
	if f.Type.Result != nil {
		if spilled {
			value = cx.loadAt(f.Type.Result, uint32(core))
		} else {
			reader := flatReader{values: stack[:1]}
			value = cx.liftFlat(f.Type.Result, &reader)
		}
	}
	returned(value)
	if f.Opts.PostReturn >= 0 {
		c := &in.comps[f.Comp]
		c.mayLeave = false
		post := [1]uint64{core}
		if err := in.call(f.Opts.PostReturn, slices.Clone(post[:])); err != nil {
			return err
		}
		c.mayLeave = true
	}
	if t.borrows > 0 {
		return &engine.Trap{Kind: engine.KindHost, Err: errors.New("borrow handles still remain at the end of the call")}
	}
	return nil
}
