package binary

// ValType is a value type: a primitive one, or the index of a type.
type ValType struct {
	Prim  Prim // 0 for an index
	Index uint32
}

// Prim is a primitive value type, as its byte in the format.
type Prim byte

// The primitive value types.
const (
	PrimBool         Prim = 0x7f
	PrimS8           Prim = 0x7e
	PrimU8           Prim = 0x7d
	PrimS16          Prim = 0x7c
	PrimU16          Prim = 0x7b
	PrimS32          Prim = 0x7a
	PrimU32          Prim = 0x79
	PrimS64          Prim = 0x78
	PrimU64          Prim = 0x77
	PrimF32          Prim = 0x76
	PrimF64          Prim = 0x75
	PrimChar         Prim = 0x74
	PrimString       Prim = 0x73
	PrimErrorContext Prim = 0x64
)

func (p Prim) known() bool { return p >= PrimString && p <= PrimBool || p == PrimErrorContext }

// Type is a definition of a type: Is says which, and the fields that go with it are set.
type Type struct {
	Is Constructor
	// Prim is for IsPrim.
	Prim Prim
	// Fields are a record's, a variant's cases, a tuple's elements, a function's parameters; a result has two, ok and
	// err; a map key and value; lists, options, streams and futures one.
	Fields []Field
	// Labels are those of flags and enums.
	Labels []string
	// Length is that of a list of fixed length, 0 for others.
	Length uint32
	// Index is the resource of an own or borrow handle.
	Index uint32
	// Result is that of a function.
	Result *ValType
	// Async marks asynchronous functions and destructors.
	Async bool
	// Dtor is the core function that destroys a resource, nil for none.
	Dtor *uint32
	// Decls are those of the type of an instance or component.
	Decls []Def
}

// Field is a named type. Type is nil where a case has none.
type Field struct {
	Name string
	Type *ValType
}

// Constructor says how a type is made.
type Constructor byte

// The constructors of types, as their bytes in the format where these differ; primitive types have one for all.
const (
	IsPrim      Constructor = 0x7f
	IsRecord    Constructor = 0x72
	IsVariant   Constructor = 0x71
	IsList      Constructor = 0x70
	IsTuple     Constructor = 0x6f
	IsFlags     Constructor = 0x6e
	IsEnum      Constructor = 0x6d
	IsOption    Constructor = 0x6b
	IsResult    Constructor = 0x6a
	IsOwn       Constructor = 0x69
	IsBorrow    Constructor = 0x68
	IsFixedList Constructor = 0x67
	IsStream    Constructor = 0x66
	IsFuture    Constructor = 0x65
	IsMap       Constructor = 0x63
	IsFunc      Constructor = 0x40
	IsComponent Constructor = 0x41
	IsInstance  Constructor = 0x42
	IsResource  Constructor = 0x3f

	asyncFunc     = 0x43
	asyncResource = 0x3e
)
