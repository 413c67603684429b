package link

import (
	"github.com/appserver-go/appserver/host/component/binary"
	"github.com/appserver-go/appserver/host/component/types"
)

// Plan says how to make an instance of a component.
type Plan struct {
	// Steps are core modules to instantiate, in this order.
	Steps []Step
	// Builtins are the functions that core modules import from the host.
	Builtins []Builtin
	// Comps is the number of component instances, the outermost is 0.
	Comps int
	// Funcs and Memories are the core functions and memories that the canonical ABI uses.
	Funcs    []Core
	Memories []Core
	// Imports are the functions that the component wants of the host, in the order of the file.
	Imports []*Func
	// Exports is what the component exports.
	Exports *Instance
}

// Step is the instantiation of a core module.
type Step struct {
	Wasm []byte
	// Args are the instances that its imports come from, by the name of the import's module.
	Args map[string]*CoreInstance
}

// Core is a core function, table, memory or global: an export of the instance that a step made, or a builtin.
type Core struct {
	Sort    binary.Sort
	Step    int // -1 for a builtin
	Name    string
	Builtin int
}

// CoreInstance is the instance that a step made, or a bundle.
type CoreInstance struct {
	Step  int // -1 for a bundle
	Items map[string]Core
}

// Get returns what the instance exports under a name. It cannot know whether an instance of a module has the export.
func (i *CoreInstance) Get(sort binary.Sort, name string) (Core, bool) {
	if i.Step >= 0 {
		return Core{Sort: sort, Step: i.Step, Name: name}, true
	}
	c, ok := i.Items[name]
	return c, ok
}

// Opts are the options of a lifted or lowered function. Indices are those of Plan.Memories and Plan.Funcs, -1 for none.
type Opts struct {
	Encoding                    binary.Encoding
	Memory, Realloc, PostReturn int
}

// Func is a function at the level of components: one that a component instance lifts, or an import.
type Func struct {
	Type *types.Func
	// Interface is the imported interface without its version, if that is 0.2.x, and Name the function in it. Lifted
	// functions have neither.
	Interface, Name string
	// Core is the core function that is lifted, by its index in Plan.Funcs, -1 for imports.
	Core int
	Opts Opts
	// Comp is the component instance that lifts it.
	Comp int
}

// Imported reports whether the function is the host's.
func (f *Func) Imported() bool { return f.Core < 0 }

// String names the import as messages do.
func (f *Func) String() string {
	if f.Interface == "" {
		return f.Name
	}
	return f.Interface + "#" + f.Name
}

// Builtin is a core function that the host makes.
type Builtin struct {
	Op binary.Op
	// Comp is the component instance whose core modules call it.
	Comp int
	// Func and Opts are for OpLower.
	Func *Func
	Opts Opts
	// Resource is for the others.
	Resource *types.Resource
}

// Instance is a component's instance, or a bundle: its exports. They are *Func, *Instance, *component, module and types.
type Instance struct{ Exports map[string]any }

// Func returns an exported function, nil if there is none of that name.
func (i *Instance) Func(name string) *Func {
	f, _ := i.Exports[name].(*Func)
	return f
}

// component is a component with what its definitions can see from where it was defined.
type component struct {
	c     *binary.Component
	scope *scope
}

// module is a core module.
type module struct{ wasm []byte }
