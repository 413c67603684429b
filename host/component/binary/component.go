package binary

// Component is a parsed component.
type Component struct {
	// Defs are the definitions in the order of the file. Each adds an entry to the index space of its sort, which later
	// definitions refer to.
	Defs []Def
}

// Def is a definition: one of CoreModule, CoreInstance, CoreType, Nested, Instance, Alias, Type, Canon, Start, Import,
// Export and Value.
type Def any

// Sort is an index space.
type Sort byte

// The sorts. Those of core modules come first.
const (
	SortCoreFunc Sort = iota
	SortCoreTable
	SortCoreMemory
	SortCoreGlobal
	SortCoreTag
	SortCoreType
	SortCoreModule
	SortCoreInstance
	SortFunc
	SortValue
	SortType
	SortComponent
	SortInstance
)

var sortNames = [...]string{
	"core function", "core table", "core memory", "core global", "core tag", "core type", "core module", "core instance",
	"function", "value", "type", "component", "instance",
}

// String names the sort in a word or two.
func (s Sort) String() string { return sortNames[s] }

// Ref is a place in an index space.
type Ref struct {
	Sort  Sort
	Index uint32
}

// Named is something with the name it is passed or exported under.
type Named struct {
	Name string
	Ref  Ref
}

// CoreModule is a core module, whole.
type CoreModule struct{ Wasm []byte }

// CoreInstance is an instance of a core module with Args for its imports, or, with Inline, no more than a bundle of Args
// under their names.
type CoreInstance struct {
	Inline bool
	Module uint32
	Args   []Named
}

// CoreType is a core function type or, if Module is set, the type of a core module.
type CoreType struct {
	Params, Results []byte // value types as in the file
	Module          *ModuleType
}

// ModuleType is what a core module imports and exports.
type ModuleType struct {
	Types   []CoreType
	Imports []CoreExtern
	Exports []CoreExtern
}

// CoreExtern is an import or export of a core module's type. Module is "" for exports; Index is the type of a function.
type CoreExtern struct {
	Module, Name string
	Sort         Sort
	Index        uint32
	Desc         []byte // of what is no function, as in the file
}

// Nested is a component inside the component.
type Nested struct{ Component *Component }

// Instance is an instance of a component with Args for its imports, or, with Inline, a bundle of Args.
type Instance struct {
	Inline    bool
	Component uint32
	Args      []Named
}

// AliasKind says where an alias points.
type AliasKind byte

// The kinds of aliases.
const (
	AliasExport AliasKind = iota
	AliasCoreExport
	AliasOuter
)

// Alias adds something that exists elsewhere to an index space: an export of an instance, or a definition of an
// enclosing component.
type Alias struct {
	Sort     Sort
	Kind     AliasKind
	Instance uint32 // for exports
	Name     string
	Outer    uint32 // how many components outward
	Index    uint32
}

// Start is a component's start function.
type Start struct {
	Func    uint32
	Args    []uint32
	Results uint32
}

// Import is what the component needs under a name.
type Import struct {
	Name string
	Desc Extern
}

// Export gives something a name; with Desc it also gets a type.
type Export struct {
	Name string
	Ref  Ref
	Desc *Extern
}

// Value is a constant.
type Value struct {
	Type  ValType
	Bytes []byte
}

// Extern is the type of an import or export.
type Extern struct {
	Sort  Sort
	Index uint32 // of the type
	// Sub marks a type bound that makes a new, abstract resource type, in place of one equal to Index.
	Sub bool
	// Value is the type of a value import.
	Value ValType
}
