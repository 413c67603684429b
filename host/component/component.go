// Package component runs guests that are WebAssembly components and export wasi:http/incoming-handler of WASI 0.2: the
// format of wasmtime serve, Spin and wasmCloud. It checks what a component imports against what the host offers, compiles
// its core modules, keeps a pool of its instances and serves exchanges with them.
//
// The parts are in the packages below: binary parses, link plans, abi runs, wasi and wasihttp are the host's interfaces.
package component

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/appserver-go/appserver/host/component/abi"
	"github.com/appserver-go/appserver/host/component/binary"
	"github.com/appserver-go/appserver/host/component/link"
	"github.com/appserver-go/appserver/host/component/wasi"
	"github.com/appserver-go/appserver/host/component/wasihttp"
	"github.com/appserver-go/appserver/host/engine"
	"github.com/appserver-go/appserver/internal/fault"
)

// Is reports whether a file is a component.
func Is(wasm []byte) bool { return bytes.HasPrefix(wasm, binary.Magic) }

// Component is a compiled component. It is safe for concurrent use.
type Component struct {
	program *abi.Program
	handle  *link.Func
	missing []string
	imports int
	size    int
	took    time.Duration
}

// Load parses, checks and compiles a component, or takes its code from the cache. wasm must not change afterwards. One
// call at a time may be made for an engine. Errors are a *fault.Error with the code LoadFailed.
func Load(ctx context.Context, eng *engine.Engine, wasm []byte, o Options) (*Component, error) {
	start := time.Now()
	plan, err := planOf(wasm)
	if err != nil {
		return nil, err
	}
	host, err := offered(o)
	if err != nil {
		return nil, err
	}
	missing, err := host.check(plan)
	if err != nil {
		return nil, err
	}
	handle, err := handler(plan)
	if err != nil {
		return nil, err
	}
	name := eng.HostModuleName(abi.HostModule)
	group, err := o.compile(ctx, eng, members(plan, name))
	if err != nil {
		return nil, err
	}
	c := &Component{
		program: &abi.Program{Plan: plan, Group: group}, handle: handle, missing: missing,
		imports: len(plan.Imports), size: len(wasm),
	}
	err = checkCore(plan, group)
	if err == nil {
		err = abi.Define(ctx, eng, name, plan, host.function)
	}
	if err != nil {
		return nil, errors.Join(err, c.Close(ctx))
	}
	c.took = time.Since(start)
	return c, nil
}

// compile compiles core modules under the component's own options, if it has some.
func (o *Options) compile(ctx context.Context, eng *engine.Engine, members []engine.Member) (*engine.Group, error) {
	if o.Module == nil {
		return eng.CompileGroup(ctx, members)
	}
	return eng.CompileGroupWith(ctx, members, *o.Module)
}

// planOf parses and links a component.
func planOf(wasm []byte) (*link.Plan, error) {
	parsed, err := binary.Parse(wasm)
	if errors.Is(err, binary.ErrTruncated) {
		return nil, fault.WithCode(fault.LoadFailed, "the file may be half copied: build or copy it again", "the component is cut short: %w", err)
	}
	if err != nil {
		return nil, fault.WithCode(fault.LoadFailed, "the file may be damaged, or made by tools that are newer than this server", "the component is invalid: %w", err)
	}
	plan, err := link.Link(parsed)
	var async link.NeedsAsync
	switch {
	case errors.As(err, &async):
		return nil, fault.WithCode(fault.LoadFailed, "build it for WASI 0.2 (wasi:http/proxy@0.2)", "%w", err)
	case err != nil:
		return nil, fault.WithCode(fault.LoadFailed, "", "the component cannot be linked: %w", err)
	}
	return plan, nil
}

// offered returns what the host offers to components.
func offered(o Options) (*interfaces, error) {
	funcs := wasihttp.Funcs()
	for name, f := range wasi.New(wasi.Options{Env: o.Env, Args: o.Args}).Funcs() {
		funcs[name] = f
	}
	return newInterfaces(funcs, wasi.WIT, wasi.FilesystemWIT, wasi.SocketsWIT, wasihttp.WIT)
}

// members returns the core modules of a plan for the engine.
func members(plan *link.Plan, hostModule string) []engine.Member {
	out := make([]engine.Member, len(plan.Steps))
	for n, step := range plan.Steps {
		out[n] = engine.Member{Wasm: step.Wasm, Import: func(module, name string, kind engine.Kind) (engine.Source, error) {
			return source(step.Args[module], hostModule, module, name, kind)
		}}
	}
	return out
}

var sorts = map[engine.Kind]binary.Sort{
	engine.KindFunc: binary.SortCoreFunc, engine.KindTable: binary.SortCoreTable, engine.KindMemory: binary.SortCoreMemory,
	engine.KindGlobal: binary.SortCoreGlobal, engine.KindTag: binary.SortCoreTag,
}

// source says where a core module's import comes from.
func source(from *link.CoreInstance, hostModule, module, name string, kind engine.Kind) (engine.Source, error) {
	var item link.Core
	ok := from != nil
	if ok {
		item, ok = from.Get(sorts[kind], name)
	}
	if !ok || item.Sort != sorts[kind] {
		return engine.Source{}, fault.WithCode(fault.LoadFailed, "the component may be damaged; build it again",
			"a core module of the component imports the %s %q from %q, and nobody supplies it", kind, name, module)
	}
	if item.Step < 0 {
		return engine.Source{Member: -1, Module: hostModule, Name: abi.BuiltinName(item.Builtin)}, nil
	}
	return engine.Source{Member: item.Step, Name: item.Name}, nil
}

// Missing returns the functions that the component imports and the host does not have; calling one is a trap.
func (c *Component) Missing() []string { return c.missing }

// Imports returns how many functions the component imports.
func (c *Component) Imports() int { return c.imports }

// Exports returns the names of what the component exports, sorted.
func (c *Component) Exports() []string { return exportNames(c.program.Plan) }

// Modules returns the core modules it is made of, one for each time that one is instantiated.
func (c *Component) Modules() []*engine.Module { return c.program.Group.Members() }

// Size returns the length of the component's binary in bytes.
func (c *Component) Size() int { return c.size }

// CompileTime returns how long parsing and compiling took, or loading from the cache.
func (c *Component) CompileTime() time.Duration { return c.took }

// Close releases the compiled code. No instance may be live.
func (c *Component) Close(ctx context.Context) error {
	if err := c.program.Group.Close(ctx); err != nil {
		return fmt.Errorf("close the component: %w", err)
	}
	return nil
}
