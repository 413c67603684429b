package component

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/appserver-go/appserver/host/component/abi"
	"github.com/appserver-go/appserver/host/component/link"
	"github.com/appserver-go/appserver/host/component/types"
	"github.com/appserver-go/appserver/host/component/wit"
	"github.com/appserver-go/appserver/host/engine"
	"github.com/appserver-go/appserver/internal/fault"
)

// interfaces are what the host offers: functions with their types.
type interfaces struct {
	types map[string]*wit.Interface
	funcs map[string]abi.Func
}

func newInterfaces(funcs map[string]abi.Func, wits ...string) (*interfaces, error) {
	all, err := wit.Parse(wits...)
	if err != nil {
		return nil, fmt.Errorf("the host's interfaces: %w", err)
	}
	return &interfaces{all, funcs}, nil
}

// function returns the host's function for an import, nil if there is none.
func (h *interfaces) function(f *link.Func) abi.Func { return h.funcs[f.String()] }

// check compares what a component imports with what there is: functions that are missing are listed, those of another
// type are an error. Interfaces of all versions 0.2.x are the same.
func (h *interfaces) check(plan *link.Plan) (missing []string, err error) {
	for _, f := range plan.Imports {
		if h.function(f) == nil {
			if !unreachable(f) {
				missing = append(missing, f.String())
			}
			continue
		}
		have := h.types[f.Interface].Funcs[f.Name]
		if have == nil || !types.Compatible(f.Type, have) {
			return nil, fault.WithCode(fault.LoadFailed, "build it for a released WASI 0.2",
				"the component imports %s as a %s, and the host has it as a %s", f, f.Type, have)
		}
	}
	return missing, nil
}

// unreachable reports whether a guest can never call a function, because it would need a socket to call it with. The
// standard libraries of WASI 0.2 import all of them.
func unreachable(f *link.Func) bool {
	return strings.HasPrefix(f.Interface, "wasi:sockets/") && strings.HasPrefix(f.Name, "[method]")
}

// The interfaces that make a component a guest, or say why it is none.
const (
	handlerExport = "wasi:http/incoming-handler@0.2."
	asyncExport   = "wasi:http/handler@0.3."
	commandExport = "wasi:cli/run@"
)

// handler returns the function that serves requests.
func handler(plan *link.Plan) (*link.Func, error) {
	names := exportNames(plan)
	hint := "export wasi:http/incoming-handler, as the world wasi:http/proxy of WASI 0.2 does"
	for _, name := range names {
		switch {
		case strings.HasPrefix(name, handlerExport):
			inst, _ := plan.Exports.Exports[name].(*link.Instance)
			if inst == nil {
				break
			}
			if f := inst.Func("handle"); f != nil && handles(f.Type) {
				return f, nil
			}
			return nil, fault.WithCode(fault.LoadFailed, hint, "the component's export %q has no function handle of the right type", name)
		case strings.HasPrefix(name, asyncExport):
			hint = "it is made for WASI 0.3, which is not supported; build it for WASI 0.2 (wasi:http/proxy@0.2)"
		case strings.HasPrefix(name, commandExport):
			hint = "it is a command; build a component that exports wasi:http/incoming-handler, or a command as a core module for CGI (wasm32-wasip1)"
		}
	}
	return nil, fault.WithCode(fault.LoadFailed, hint, "the component is no guest: it does not export wasi:http/incoming-handler, but %s", quoted(names))
}

// handles reports whether a function has the type of incoming-handler's handle.
func handles(t *types.Func) bool {
	want := [...]string{"wasi:http/types.incoming-request", "wasi:http/types.response-outparam"}
	if len(t.Params) != len(want) || t.Result != nil {
		return false
	}
	for i, p := range t.Params {
		if p.Type.Kind != types.Own || !p.Type.Resource.Host || p.Type.Resource.Name != want[i] {
			return false
		}
	}
	return true
}

func exportNames(plan *link.Plan) []string {
	return slices.Sorted(maps.Keys(plan.Exports.Exports))
}

// quoted puts the first names in a sentence. They come from the component.
func quoted(names []string) string {
	const most = 10
	if len(names) == 0 {
		return "nothing"
	}
	more := ""
	if len(names) > most {
		names, more = names[:most], fmt.Sprintf(" and %d more", len(names)-most)
	}
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = fmt.Sprintf("%q", n)
	}
	return strings.Join(out, ", ") + more
}

// checkCore compares the types of the core functions that the canonical ABI calls with what it calls them as.
func checkCore(plan *link.Plan, group *engine.Group) error {
	for _, use := range uses(plan) {
		c := plan.Funcs[use.index]
		have, ok := group.Members()[c.Step].Export(c.Name)
		want := engine.Signature(use.params, use.results)
		if !ok || have.Kind != engine.KindFunc || engine.Signature(have.Params, have.Results) != want {
			return fault.WithCode(fault.LoadFailed, "the component may be damaged; build it again",
				"a core module of the component should export the function %q %s, as %s", c.Name, want, use.as)
		}
	}
	for _, c := range plan.Memories {
		have, ok := group.Members()[c.Step].Export(c.Name)
		if !ok || have.Kind != engine.KindMemory {
			return fault.WithCode(fault.LoadFailed, "the component may be damaged; build it again",
				"a core module of the component should export the memory %q", c.Name)
		}
	}
	return nil
}

// use is a core function in the part that it plays.
type use struct {
	index           int
	as              string
	params, results []types.Core
}

// uses returns the uses of all core functions of a plan that can be called.
func uses(plan *link.Plan) (all []use) {
	i32 := []types.Core{types.I32}
	realloc := func(o *link.Opts) {
		if o.Realloc >= 0 {
			all = append(all, use{o.Realloc, "realloc", []types.Core{types.I32, types.I32, types.I32, types.I32}, i32})
		}
	}
	seen := map[*link.Func]bool{}
	lifted := func(f *link.Func) {
		if f.Imported() || seen[f] {
			return
		}
		seen[f] = true
		params, _ := f.Type.FlatParams()
		result, _ := f.Type.FlatResult()
		all = append(all, use{f.Core, "a lifted function", params, result})
		if f.Opts.PostReturn >= 0 {
			all = append(all, use{f.Opts.PostReturn, "post-return", result, nil})
		}
		realloc(&f.Opts)
	}
	var exported func(*link.Instance)
	exported = func(i *link.Instance) {
		for _, item := range i.Exports {
			switch x := item.(type) {
			case *link.Func:
				lifted(x)
			case *link.Instance:
				exported(x)
			}
		}
	}
	exported(plan.Exports)
	for i := range plan.Builtins {
		b := &plan.Builtins[i]
		if b.Func != nil {
			lifted(b.Func)
			realloc(&b.Opts)
		}
		if b.Resource != nil && b.Resource.Dtor >= 0 {
			all = append(all, use{b.Resource.Dtor, "a destructor", i32, nil})
		}
	}
	return all
}
