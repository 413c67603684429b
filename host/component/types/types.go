package types

import "errors"

// Kind says what a type is.
type Kind byte

// The kinds of value types.
const (
	Bool Kind = iota
	S8
	U8
	S16
	U16
	S32
	U32
	S64
	U64
	F32
	F64
	Char
	String
	List
	Record
	Tuple
	Variant
	Enum
	Option
	Result
	Flags
	Own
	Borrow
)

// Core is a value type of core WebAssembly, as its byte in the binary format.
type Core = byte

// The core value types.
const (
	I32  Core = 0x7f
	I64  Core = 0x7e
	CF32 Core = 0x7d
	CF64 Core = 0x7c
)

// Limits of functions' core types (CanonicalABI.md, "Flattening").
const (
	MaxFlatParams  = 16
	MaxFlatResults = 1
)

// Limits of one type. The binary format can define a type that is twice the one before in a few bytes.
const (
	maxNodes = 1_000_000
	maxDepth = 100
	maxSize  = 1 << 28
)

// Field is a member of a record or tuple, or a case, whose Type is nil if it carries nothing.
type Field struct {
	Name string
	Type *Type
}

// Type is a value type. Types are immutable.
type Type struct {
	Kind Kind
	// Elem is the element of a list.
	Elem *Type
	// Length is that of a list of fixed length, 0 for others.
	Length uint32
	// Fields are a record's or tuple's members, or the cases of a variant, enum, option (none, some) or result (ok,
	// error).
	Fields []Field
	// Labels are those of flags.
	Labels []string
	// Resource is that of a handle.
	Resource *Resource

	// Size and Align are those in memory, in bytes.
	Size, Align uint32
	// Offsets are where the members of a record or tuple are.
	Offsets []uint32
	// Payload is where the payload of a case is, and Disc the size of the discriminant before it.
	Payload, Disc uint32
	// Flat are the core values of the type, if there are no more than MaxFlatParams; else FlatCount alone says how many.
	Flat      []Core
	FlatCount int
	// Pointers says that values of the type hold strings or lists, which live elsewhere in memory.
	Pointers bool
	// Handles says that values of the type hold handles.
	Handles bool

	nodes, depth int
}

// Resource is a type of resource. Two are the same if they are at the same address.
type Resource struct {
	// Name is for messages, and is how a resource of the host is known: "interface.name" without a version.
	Name string
	// Host marks those that the host implements.
	Host bool
	// Comp is the component instance that implements it, if it is not the host.
	Comp int
	// Dtor is the core function that destroys one, by its index in the plan; -1 for none.
	Dtor int
}

// Func is the type of a function.
type Func struct {
	Params []Field
	Result *Type // nil for none
}

// ErrTooLarge is the error for a type beyond all measure.
var ErrTooLarge = errors.New("a type is too large")

// Prim returns a primitive type, or nil if the kind is none.
func Prim(k Kind) *Type {
	if k > String {
		return nil
	}
	return &prims[k]
}

var prims = func() (ts [String + 1]Type) {
	sizes := [...]uint32{
		Bool: 1, S8: 1, U8: 1, S16: 2, U16: 2, S32: 4, U32: 4, S64: 8, U64: 8, F32: 4, F64: 8, Char: 4, String: 8,
	}
	for k := range ts {
		t := Type{Kind: Kind(k), Size: sizes[k], Align: sizes[k], Flat: []Core{I32}, nodes: 1, depth: 1}
		switch t.Kind {
		case S64, U64:
			t.Flat = []Core{I64}
		case F32:
			t.Flat = []Core{CF32}
		case F64:
			t.Flat = []Core{CF64}
		case String:
			t.Align, t.Flat, t.Pointers = 4, []Core{I32, I32}, true
		}
		t.FlatCount = len(t.Flat)
		ts[k] = t
	}
	return ts
}()

// NewHandle makes the type of a handle: Own or Borrow.
func NewHandle(k Kind, r *Resource) *Type {
	return &Type{Kind: k, Resource: r, Size: 4, Align: 4, Flat: []Core{I32}, FlatCount: 1, Handles: true, nodes: 1, depth: 1}
}

// NewList makes the type of a list, of fixed length if that is not 0.
func NewList(elem *Type, length uint32) (*Type, error) {
	t := &Type{Kind: List, Elem: elem, Length: length, nodes: elem.nodes + 1, depth: elem.depth + 1, Handles: elem.Handles}
	if length == 0 {
		t.Size, t.Align, t.Flat, t.FlatCount, t.Pointers = 8, 4, []Core{I32, I32}, 2, true
		return t, t.check(8)
	}
	size := uint64(elem.Size) * uint64(length)
	t.Size, t.Align, t.Pointers = uint32(size), elem.Align, elem.Pointers
	if count := uint64(elem.FlatCount) * uint64(length); count <= MaxFlatParams {
		for range length {
			t.Flat = append(t.Flat, elem.Flat...)
		}
		t.FlatCount = int(count)
	} else {
		t.FlatCount = MaxFlatParams + 1
	}
	return t, t.check(size)
}

// check reports types that are too large.
func (t *Type) check(size uint64) error {
	if t.nodes > maxNodes || t.depth > maxDepth || size > maxSize {
		return ErrTooLarge
	}
	return nil
}

// contains counts what a type is made of.
func (t *Type) contains(f *Type) {
	t.nodes = min(t.nodes+f.nodes, maxNodes+1)
	t.depth = max(t.depth, f.depth+1)
	t.Pointers = t.Pointers || f.Pointers
	t.Handles = t.Handles || f.Handles
}

// NewRecord makes the type of a record or, with Kind Tuple, a tuple.
func NewRecord(k Kind, fields []Field) (*Type, error) {
	t := &Type{Kind: k, Fields: fields, Align: 1, nodes: 1, depth: 1}
	size := uint64(0)
	for _, f := range fields {
		t.contains(f.Type)
		t.Align = max(t.Align, f.Type.Align)
		size = uint64(AlignTo(uint32(min(size, maxSize)), f.Type.Align))
		t.Offsets = append(t.Offsets, uint32(size))
		size += uint64(f.Type.Size)
		t.addFlat(f.Type)
	}
	size = uint64(AlignTo(uint32(min(size, maxSize+1)), t.Align))
	t.Size = uint32(size)
	return t, t.check(size)
}

// addFlat appends the core values of a member.
func (t *Type) addFlat(f *Type) {
	if t.FlatCount = min(t.FlatCount+f.FlatCount, MaxFlatParams+1); t.FlatCount > MaxFlatParams {
		t.Flat = nil
		return
	}
	t.Flat = append(t.Flat, f.Flat...)
}

// NewVariant makes the type of a variant, enum, option or result from its cases.
func NewVariant(k Kind, cases []Field) (*Type, error) {
	t := &Type{Kind: k, Fields: cases, Disc: discSize(len(cases)), nodes: 1, depth: 1}
	align, size := uint32(1), uint32(0)
	flat := []Core{I32}
	count := 0
	for _, c := range cases {
		if c.Type == nil {
			continue
		}
		t.contains(c.Type)
		align, size = max(align, c.Type.Align), max(size, c.Type.Size)
		count = max(count, c.Type.FlatCount)
		for i, f := range c.Type.Flat {
			if i+1 < len(flat) {
				flat[i+1] = join(flat[i+1], f)
			} else {
				flat = append(flat, f)
			}
		}
	}
	t.Align = max(align, t.Disc)
	t.Payload = AlignTo(t.Disc, align)
	t.Size = AlignTo(t.Payload+size, t.Align)
	if t.FlatCount = min(count+1, MaxFlatParams+1); t.FlatCount <= MaxFlatParams {
		t.Flat = flat
	}
	return t, t.check(uint64(t.Size))
}

// NewOption makes the type of an option.
func NewOption(elem *Type) (*Type, error) {
	return NewVariant(Option, []Field{{"none", nil}, {"some", elem}})
}

// NewResult makes the type of a result; either type may be nil.
func NewResult(ok, err *Type) (*Type, error) {
	return NewVariant(Result, []Field{{"ok", ok}, {"error", err}})
}

// NewEnum makes the type of an enum.
func NewEnum(labels []string) (*Type, error) {
	cases := make([]Field, len(labels))
	for i, l := range labels {
		cases[i].Name = l
	}
	return NewVariant(Enum, cases)
}

// NewFlags makes the type of flags, of which there are 32 at most.
func NewFlags(labels []string) (*Type, error) {
	t := &Type{Kind: Flags, Labels: labels, Flat: []Core{I32}, FlatCount: 1, nodes: 1, depth: 1}
	switch n := len(labels); {
	case n > 32:
		return nil, errors.New("flags have more than 32 labels")
	case n > 16:
		t.Size = 4
	case n > 8:
		t.Size = 2
	default:
		t.Size = 1
	}
	t.Align = t.Size
	return t, nil
}

// discSize returns the size of a discriminant for n cases.
func discSize(n int) uint32 {
	switch {
	case n <= 1<<8:
		return 1
	case n <= 1<<16:
		return 2
	}
	return 4
}

// AlignTo rounds n up to a multiple of align.
func AlignTo(n, align uint32) uint32 { return (n + align - 1) &^ (align - 1) }

// join returns the core type that holds values of two (CanonicalABI.md, "Flattening").
func join(a, b Core) Core {
	switch {
	case a == b:
		return a
	case a == I32 && b == CF32, a == CF32 && b == I32:
		return I32
	}
	return I64
}

// FlatParams returns the core types of the function's parameters, and true if they are too many, so that a pointer to
// them in memory is passed instead.
func (f *Func) FlatParams() (flat []Core, spill bool) {
	for _, p := range f.Params {
		if len(flat)+p.Type.FlatCount > MaxFlatParams {
			return []Core{I32}, true
		}
		flat = append(flat, p.Type.Flat...)
	}
	return flat, false
}

// FlatResult returns the core types of the function's result, and true if they are too many, so that they are passed in
// memory.
func (f *Func) FlatResult() (flat []Core, spill bool) {
	switch {
	case f.Result == nil:
		return nil, false
	case f.Result.FlatCount > MaxFlatResults:
		return []Core{I32}, true
	}
	return f.Result.Flat, false
}
