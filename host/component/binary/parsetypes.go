package binary

import (
	"errors"
	"fmt"
)

// valType reads a value type, a number of 33 bits: negative ones are primitive types.
func (r *reader) valType() ValType {
	if r.err == nil && r.off < r.end {
		if c := r.b[r.off]; c >= 0x40 && c < 0x80 {
			r.off++
			p := Prim(c)
			if !p.known() {
				r.fail(fmt.Errorf("the primitive type %#x is unknown", c))
			}
			return ValType{Prim: p}
		}
	}
	return ValType{Index: r.s33()}
}

// s33 reads a signed number of 33 bits that must not be negative.
func (r *reader) s33() uint32 {
	var n uint64
	for shift := 0; r.err == nil; shift += 7 {
		c := r.byte()
		n |= uint64(c&0x7f) << shift
		if c < 0x80 {
			if c&0x40 != 0 || n > 1<<32-1 {
				break
			}
			return uint32(n)
		}
		if shift == 28 {
			break
		}
	}
	r.fail(errors.New("the index of a type is out of range"))
	return 0
}

// optional reads a type that may be missing.
func (r *reader) optional() *ValType {
	if !r.flag() {
		return nil
	}
	t := r.valType()
	return &t
}

// result reads a function's result: one type, or none.
func (r *reader) result() *ValType {
	if !r.flag() {
		t := r.valType()
		return &t
	}
	r.zero("a list of results")
	return nil
}

// deftype reads a definition of a type.
func (r *reader) deftype() (t Type) {
	is := r.byte()
	t.Is = Constructor(is)
	switch {
	case Prim(is).known():
		t.Is, t.Prim = IsPrim, Prim(is)
	case is == asyncFunc:
		t.Is, t.Async = IsFunc, true
		r.function(&t)
	case is == byte(IsFunc):
		r.function(&t)
	case is == asyncResource, is == byte(IsResource):
		t.Is, t.Async = IsResource, is == asyncResource
		r.resource(&t)
	case is == byte(IsComponent), is == byte(IsInstance):
		r.deeper(func() {
			r.vector(func() { t.Decls = append(t.Decls, r.decl(t.Is)) })
		})
	default:
		r.value(&t)
	}
	return t
}

// value reads the rest of the definition of a value type.
func (r *reader) value(t *Type) {
	one := func(name string) {
		v := r.valType()
		t.Fields = append(t.Fields, Field{name, &v})
	}
	switch t.Is {
	case IsRecord:
		r.vector(func() { one(r.name()) })
	case IsVariant:
		r.vector(func() {
			t.Fields = append(t.Fields, Field{r.name(), r.optional()})
			r.zero("a case")
		})
	case IsTuple:
		r.vector(func() { one("") })
	case IsList, IsOption:
		one("")
	case IsFixedList:
		one("")
		t.Is, t.Length = IsList, r.u32()
		if t.Length == 0 {
			r.fail(errors.New("a list has the fixed length 0"))
		}
	case IsMap:
		one("key")
		one("value")
	case IsFlags, IsEnum:
		r.vector(func() { t.Labels = append(t.Labels, r.name()) })
	case IsResult:
		t.Fields = []Field{{"ok", r.optional()}, {"err", r.optional()}}
	case IsOwn, IsBorrow:
		t.Index = r.u32()
	case IsStream, IsFuture:
		t.Fields = []Field{{"", r.optional()}}
	default:
		r.fail(fmt.Errorf("a type begins with the unknown byte %#x", byte(t.Is)))
	}
}

func (r *reader) function(t *Type) {
	r.vector(func() {
		name, v := r.name(), r.valType()
		t.Fields = append(t.Fields, Field{name, &v})
	})
	t.Result = r.result()
}

func (r *reader) resource(t *Type) {
	if rep := r.byte(); rep != 0x7f && r.err == nil {
		r.fail(fmt.Errorf("a resource is represented by the type %#x, not i32", rep))
	}
	index := func() *uint32 {
		n := r.u32()
		return &n
	}
	if t.Async {
		t.Dtor = index()
		if r.flag() {
			index() // its callback
		}
	} else if r.flag() {
		t.Dtor = index()
	}
}

// decl reads a declaration in the type of an instance or component.
func (r *reader) decl(in Constructor) Def {
	switch kind := r.byte(); kind {
	case 0:
		return r.coreType()
	case 1:
		return r.deftype()
	case 2:
		return r.alias()
	case 3:
		if in == IsInstance {
			r.fail(errors.New("the type of an instance has an import"))
		}
		return Import{r.externName(), r.extern()}
	case 4:
		e := Export{Name: r.externName()}
		desc := r.extern()
		e.Desc = &desc
		return e
	default:
		r.fail(fmt.Errorf("the declaration %#x is unknown", kind))
	}
	return nil
}

// Bytes that begin a core type.
const (
	coreFunc   = 0x60
	coreModule = 0x50
	coreSub    = 0x00
)

// coreType reads a core function type or the type of a core module.
func (r *reader) coreType() (t CoreType) {
	switch form := r.byte(); form {
	case coreFunc:
		t.Params, t.Results = r.bytes(r.u32()), r.bytes(r.u32())
	case coreModule:
		r.deeper(func() {
			t.Module = &ModuleType{}
			r.vector(func() { r.moduleDecl(t.Module) })
		})
	case coreSub, 0x4e, 0x4f, 0x5e, 0x5f:
		r.fail(errors.New("core types of garbage collection are not supported"))
	default:
		r.fail(fmt.Errorf("a core type begins with the unknown byte %#x", form))
	}
	return t
}

// moduleDecl reads a declaration in the type of a core module.
func (r *reader) moduleDecl(m *ModuleType) {
	switch kind := r.byte(); kind {
	case 0:
		m.Imports = append(m.Imports, r.coreExtern(r.name()))
	case 1:
		m.Types = append(m.Types, r.coreType())
	case 2:
		r.coreSort()
		if r.byte() != 1 {
			r.fail(errors.New("an alias in the type of a core module does not point outward"))
		}
		r.u32()
		r.u32()
		m.Types = append(m.Types, CoreType{})
	case 3:
		m.Exports = append(m.Exports, r.coreExtern(""))
	default:
		r.fail(fmt.Errorf("the declaration %#x of a core module's type is unknown", kind))
	}
}

// coreExtern reads the name and type of a core module's import or export.
func (r *reader) coreExtern(module string) CoreExtern {
	e := CoreExtern{Module: module, Name: r.name()}
	kind := r.byte()
	at := r.off
	limits := func() {
		flags := r.byte()
		r.u32()
		if flags&1 != 0 {
			r.u32()
		}
	}
	switch e.Sort = SortCoreFunc + Sort(kind); kind {
	case 0:
		e.Index = r.u32()
	case 1:
		r.byte()
		limits()
	case 2:
		limits()
	case 3:
		r.bytes(2)
	case 4:
		r.byte()
		e.Index = r.u32()
	default:
		e.Sort = SortCoreFunc
		r.fail(fmt.Errorf("the core sort %#x cannot be imported", kind))
	}
	if r.err == nil {
		e.Desc = r.b[at:r.off]
	}
	return e
}
