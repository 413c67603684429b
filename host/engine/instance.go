package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/appserver-go/appserver/host/engine/rewrite"
	"github.com/appserver-go/appserver/internal/fault"
)

// Spec is what an instance gets to see of the world. Nothing else is visible to it.
type Spec struct {
	// Args is argv, the program's name included. Strings with a NUL are an error.
	Args []string
	// Env holds "K=V" strings. Strings with a NUL are an error.
	Env []string
	// Dirs are the directories the guest may use.
	Dirs []Dir
	// Stdin is where the guest reads; nil is empty. A read must return when the context of the call is done, for a
	// guest that waits in one is not interrupted.
	Stdin io.Reader
	// Stdout and Stderr take what the guest prints; nil discards it.
	Stdout, Stderr io.Writer
	// OnSleep, if set, is called on the guest's goroutine before it sleeps for 5 milliseconds or more: the
	// moment to pass on what it has printed.
	OnSleep func()
	// Start names functions to run at start, in this order; those the module does not export are passed over.
	Start []string
}

// Instance is a live module. One goroutine at a time may use it, save for Broken, which the same goroutine calls.
type Instance struct {
	engine *Engine
	mod    api.Module
	memory *memory
	dirs   []*rootFS
	args   []string
	env    []string

	onSleep func()

	ctx    context.Context // of the innermost running call; host functions wait on it
	depth  int             // running calls: a host function may call the guest again
	broken bool            // it must not be called until it is reset
	lost   bool            // it cannot be reset
	closed bool
	shift  int // of the module
	lines  *lines

	group *GroupInstance // that it is a member of, if any

	fuel    api.MutableGlobal // nil without fuel
	globals []api.MutableGlobal
	image   *Image // what a reset goes back to
	run     *run   // nil unless Suspend was called
}

// Instantiate makes an instance and runs the start functions; ctx bounds them. Errors are a *fault.Error with the
// code LoadFailed when the host lacks what the module imports or a directory cannot be opened, and a *Trap otherwise.
func (m *Module) Instantiate(ctx context.Context, s Spec) (*Instance, error) {
	i, err := m.make(ctx, &s)
	if err != nil {
		return nil, err
	}
	if err := i.start(ctx, m, &s); err != nil {
		return nil, errors.Join(err, i.Close())
	}
	return i, nil
}

// make makes an instance whose start functions have not run.
func (m *Module) make(ctx context.Context, s *Spec) (*Instance, error) {
	m.link.Do(func() { m.linkErr = m.checkImports() })
	if m.linkErr != nil {
		return nil, m.linkErr
	}
	return m.makeIn(ctx, s, nil)
}

// makeIn makes an instance as a member of a group, if that is not nil.
func (m *Module) makeIn(ctx context.Context, s *Spec, group *GroupInstance) (*Instance, error) {
	if err := checkStrings(s.Args, s.Env); err != nil {
		return nil, err
	}
	i := &Instance{engine: m.engine, ctx: ctx, args: s.Args, env: s.Env, onSleep: s.OnSleep, shift: m.shift, lines: m.lines, group: group}
	if err := i.open(m, s); err != nil {
		return nil, errors.Join(err, i.free())
	}
	i.count(1)
	if err := i.link(ctx, m, s); err != nil {
		return nil, errors.Join(err, i.Close())
	}
	return i, nil
}

// count counts the instance among the live ones. A group counts as one, its first member.
func (i *Instance) count(n int64) {
	if i.group == nil || len(i.group.members) == 0 || i.group.members[0] == i {
		i.engine.instances.Add(n)
		i.engine.made.Add(uint64(max(n, 0)))
	}
}

// budgets returns what the instance's memory is charged to.
func (i *Instance) budgets() budgets {
	if i.group == nil {
		return budgets{&i.engine.budget}
	}
	return budgets{&i.engine.budget, &i.group.quota}
}

// Rename gives the instance other arguments and another environment; see Spec. It must not be called during a Call.
func (i *Instance) Rename(args, env []string) error {
	if err := checkStrings(args, env); err != nil {
		return err
	}
	i.args, i.env = args, env
	return nil
}

// checkStrings refuses what C strings cannot hold.
func checkStrings(args, env []string) error {
	for _, list := range [...][]string{args, env} {
		for _, v := range list {
			if strings.IndexByte(v, 0) >= 0 {
				return &Trap{Kind: KindHost, Err: fmt.Errorf("the argument or variable %q holds a NUL", v)}
			}
		}
	}
	return nil
}

// open acquires what the instance needs of the host.
func (i *Instance) open(m *Module, s *Spec) error {
	var limits MemoryLimits
	if m.memory != nil {
		limits = *m.memory
	}
	mem, err := newMemory(i.budgets(), limits.Min, limits.Max)
	if err != nil {
		return &Trap{Kind: KindMemoryLimit, Err: err}
	}
	i.memory = mem
	for _, d := range s.Dirs {
		root, err := openRoot(d)
		if err != nil {
			return err
		}
		i.dirs = append(i.dirs, root)
	}
	return nil
}

// link instantiates the module. No code of it runs, save for a start function that is not an export.
func (i *Instance) link(ctx context.Context, m *Module, s *Spec) error {
	if err := i.enter(ctx); err != nil {
		return err
	}
	err := i.guard(ctx, func() (err error) {
		octx := experimental.WithMemoryAllocator(ctx, i.memory)
		octx = experimental.WithCloseNotifier(octx, experimental.CloseNotifyFunc(i.closing))
		octx = context.WithValue(octx, instanceKey{}, i)
		if i.group != nil {
			octx = experimental.WithImportResolver(octx, i.group.resolve)
		}
		i.mod, err = m.engine.runtime.InstantiateModule(octx, m.compiled, i.config(s))
		return err
	})
	i.leave(ctx)
	if err != nil {
		return err
	}
	m.engine.live.Store(i.mod, i)
	i.findGlobals(m)
	return nil
}

// start puts the module's data into memory and runs its start function and those of the spec.
func (i *Instance) start(ctx context.Context, m *Module, s *Spec) error {
	for _, d := range m.data {
		copy(i.memory.room[d.Offset:], d.Bytes)
	}
	names := s.Start
	if m.starts {
		names = slices.Concat([]string{rewrite.StartExport}, names)
	}
	for _, name := range names {
		fn := i.mod.ExportedFunction(name)
		if fn == nil {
			continue
		}
		def := fn.Definition()
		if n := len(def.ParamTypes()); n > 0 {
			return &Trap{Kind: KindHost, Err: fmt.Errorf("the start function %s has %d parameters, must have none", name, n)}
		}
		if err := i.Call(ctx, fn, make([]uint64, len(def.ResultTypes()))); err != nil {
			return err
		}
	}
	return nil
}

// Function returns the exported function, nil when there is none. Look it up once: it costs microseconds. It may be
// called by one goroutine at a time, with Call.
func (i *Instance) Function(name string) api.Function { return i.mod.ExportedFunction(name) }

// Memory returns the instance's linear memory, nil when it has none. Neither it nor a view of it may be used after
// Close: the addresses are gone.
func (i *Instance) Memory() api.Memory {
	if i.memory.room == nil {
		return nil
	}
	return i.mod.Memory()
}

// ExportedMemory returns the memory that the instance exports under a name, nil when it exports none. The rules of
// Memory hold for it.
func (i *Instance) ExportedMemory(name string) api.Memory { return i.mod.ExportedMemory(name) }

// Broken reports that the instance trapped, exited or was interrupted: it must be reset or closed before anything else.
func (i *Instance) Broken() bool { return i.broken || i.closed }

// Close releases the instance. It must not be called during a Call. Calling it again does nothing.
func (i *Instance) Close() error {
	if i.closed {
		return nil
	}
	i.closed = true
	var err error
	if i.mod != nil {
		i.engine.live.Delete(i.mod)
		err = i.mod.Close(context.Background())
	}
	i.count(-1)
	return errors.Join(err, i.free())
}

// free gives back what open acquired. Wazero does not do so for a module that its context closed.
func (i *Instance) free() error {
	var errs []error
	for _, d := range i.dirs {
		errs = append(errs, d.close())
	}
	if i.memory != nil {
		errs = append(errs, i.memory.release())
	}
	if i.image != nil {
		errs = append(errs, i.image.release())
	}
	return errors.Join(errs...)
}

// checkImports reports all functions that the module imports and no host module offers.
func (m *Module) checkImports() error {
	const most = 10
	var missing []string
	for _, want := range m.imports {
		text := fmt.Sprintf("%s.%s %s", want.Module, want.Name, Signature(want.Params, want.Results))
		host := m.engine.runtime.Module(want.Module)
		if host == nil {
			missing = append(missing, text)
			continue
		}
		have, ok := host.ExportedFunctionDefinitions()[want.Name]
		if !ok {
			missing = append(missing, text)
		} else if sig := Signature(have.ParamTypes(), have.ResultTypes()); sig != Signature(want.Params, want.Results) {
			missing = append(missing, text+", which the host has as "+sig)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	more := ""
	if n := len(missing) - most; n > 0 {
		missing, more = missing[:most], fmt.Sprintf(" and %d more", n)
	}
	return fault.WithCode(fault.LoadFailed,
		"build the guest for WASI preview 1 (wasip1) or for the http-wasm handler ABI; other hosts' functions do not exist here",
		"the module imports functions that do not exist: %s%s", strings.Join(missing, "; "), more)
}
