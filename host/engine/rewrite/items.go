package rewrite

import "fmt"

// Bytes of the binary format that begin a type (core specification 5.3).
const (
	formFunc      = 0x60
	formStruct    = 0x5f
	formArray     = 0x5e
	formSub       = 0x50
	formSubFinal  = 0x4f
	formRec       = 0x4e
	refNull       = 0x63
	refNonNull    = 0x64
	tableWithInit = 0x40
)

// funcType reads an entry of the type section and returns the number of parameters.
func (r *reader) funcType() (params uint32) {
	switch form := r.byte(); form {
	case formFunc:
		r.vector(func() { r.valueType(); params++ })
		r.vector(func() { r.valueType() })
	case formStruct, formArray, formSub, formSubFinal, formRec:
		r.fail(Unsupported("garbage-collected types"))
	default:
		r.fail(fmt.Errorf("a type begins with the unknown byte %#x", form))
	}
	return params
}

// valueType passes over a value type and returns its first byte; a reference type names its heap type in a number of
// 33 bits after it.
func (r *reader) valueType() byte {
	c := r.byte()
	if c == refNull || c == refNonNull {
		r.heapType()
	}
	return c
}

// heapType passes over a heap type: the index of a type, which is remembered, or a negative number.
func (r *reader) heapType() {
	if index := r.typeIndex(); index != noType && r.heap != nil {
		*r.heap = max(*r.heap, int64(index))
	}
}

// limits reads the limits of a table or memory.
func (r *reader) limits() Limits {
	flags := r.byte()
	switch {
	case flags&0x04 != 0:
		r.fail(Unsupported("64-bit memory (memory64)"))
	case flags&0x08 != 0:
		r.fail(Unsupported("custom page sizes"))
	case flags&0x02 != 0:
		r.fail(Unsupported("shared memory (threads)"))
	case flags > 0x0f:
		r.fail(fmt.Errorf("limits begin with the unknown byte %#x", flags))
	}
	l := Limits{Min: r.leb(32), HasMax: flags&0x01 != 0}
	if l.HasMax {
		l.Max = r.leb(32)
	}
	return l
}

// addTable reads a table, which may come with the expression that its elements start with.
func (m *Module) addTable(r *reader) {
	withInit := r.off < len(r.b) && r.b[r.off] == tableWithInit
	if withInit {
		r.skip(2)
	}
	r.valueType()
	t := tableDef{at: span{start: r.off}}
	t.limits = r.limits()
	t.at.end = r.off
	if withInit {
		m.constExpr(r)
	}
	m.tables = append(m.tables, t)
	m.Tables = append(m.Tables, t.limits)
}

// constExpr passes over a constant expression (core specification 3.3.13, with extended constants).
func (m *Module) constExpr(r *reader) {
	for r.err == nil {
		switch op := r.byte(); op {
		case 0x0b: // end
			return
		case 0x41: // i32.const
			r.skipSigned(5)
		case 0xd0: // ref.null
			r.heapType()
		case 0x42: // i64.const
			r.skipSigned(10)
		case 0x43: // f32.const
			r.skip(4)
		case 0x44: // f64.const
			r.skip(8)
		case 0x23: // global.get
			if n := r.u32(); n >= m.globals {
				r.fail(fmt.Errorf("a constant expression has the unknown global %d", n))
			}
		case 0xd2: // ref.func
			m.funcRef(r)
		case 0x6a, 0x6b, 0x6c, 0x7c, 0x7d, 0x7e: // add, sub and mul of i32 and i64
		case 0xfd:
			if r.u32() != 12 { // v128.const
				r.fail(fmt.Errorf("a constant expression has an unknown instruction"))
			}
			r.skip(16)
		default:
			r.fail(fmt.Errorf("a constant expression has the unknown instruction %#x", op))
		}
	}
}

// imported reads an import.
func (r *reader) imported() External {
	e := External{Module: r.name(), Name: r.name()}
	r.importDesc(&e)
	return e
}

// importDesc reads what an import is, after its names.
func (r *reader) importDesc(e *External) {
	switch kind := r.byte(); kind {
	case 0:
		e.Kind = KindFunc
		e.index = r.u32()
	case 1:
		e.Kind = KindTable
		r.valueType()
		r.limits()
	case 2:
		e.Kind = KindMemory
		e.limits = r.limits()
	case 3:
		e.Kind = KindGlobal
		r.valueType()
		r.byte()
	case 4:
		r.fail(Unsupported("exception handling"))
	default:
		r.fail(fmt.Errorf("the import %q %q is of the unknown kind %d", e.Module, e.Name, kind))
	}
}
