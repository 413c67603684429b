package engine

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

// recType passes over an entry of the type section.
func (r *reader) recType() {
	switch form := r.byte(); form {
	case formFunc:
		r.vector(r.valueType)
		r.vector(r.valueType)
	case formStruct, formArray, formSub, formSubFinal, formRec:
		r.fail(unsupported("garbage-collected types"))
	default:
		r.fail(fmt.Errorf("a type begins with the unknown byte %#x", form))
	}
}

// valueType passes over a value type; a reference type names its heap type in a number of 33 bits.
func (r *reader) valueType() {
	if c := r.byte(); c == refNull || c == refNonNull {
		r.skipSigned(5)
	}
}

// limits reads the limits of a table or memory.
func (r *reader) limits() limits {
	flags := r.byte()
	switch {
	case flags&0x04 != 0:
		r.fail(unsupported("64-bit memory (memory64)"))
	case flags&0x08 != 0:
		r.fail(unsupported("custom page sizes"))
	case flags&0x02 != 0:
		r.fail(unsupported("shared memory (threads)"))
	case flags > 0x0f:
		r.fail(fmt.Errorf("limits begin with the unknown byte %#x", flags))
	}
	l := limits{min: r.leb(32), hasMax: flags&0x01 != 0}
	if l.hasMax {
		l.max = r.leb(32)
	}
	return l
}

// table reads a table, which may come with the expression that its elements start with.
func (r *reader) table() tableDef {
	var t tableDef
	start := r.off
	withInit := r.off < len(r.b) && r.b[r.off] == tableWithInit
	if withInit {
		r.skip(2)
	}
	r.valueType()
	if r.err != nil {
		return t
	}
	t.prefix = r.b[start:r.off]
	t.limits = r.limits()
	start = r.off
	if withInit {
		r.constExpr()
	}
	if r.err == nil {
		t.init = r.b[start:r.off]
	}
	return t
}

// constExpr passes over a constant expression (core specification 3.3.13, with extended constants).
func (r *reader) constExpr() {
	for r.err == nil {
		switch op := r.byte(); op {
		case 0x0b: // end
			return
		case 0x41, 0xd0: // i32.const, ref.null
			r.skipSigned(5)
		case 0x42: // i64.const
			r.skipSigned(10)
		case 0x43: // f32.const
			r.skip(4)
		case 0x44: // f64.const
			r.skip(8)
		case 0x23, 0xd2: // global.get, ref.func
			r.u32()
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
func (r *reader) imported() external {
	e := external{module: r.name(), name: r.name()}
	switch kind := r.byte(); kind {
	case 0:
		e.kind = KindFunc
		r.u32()
	case 1:
		e.kind = KindTable
		r.valueType()
		r.limits()
	case 2:
		e.kind = KindMemory
		r.limits()
	case 3:
		e.kind = KindGlobal
		r.valueType()
		r.byte()
	case 4:
		r.fail(unsupported("exception handling"))
	default:
		r.fail(fmt.Errorf("the import %q %q is of the unknown kind %d", e.module, e.name, kind))
	}
	return e
}

// exported reads an export.
func (r *reader) exported() external {
	e := external{name: r.name()}
	kinds := [...]Kind{KindFunc, KindTable, KindMemory, KindGlobal, KindTag}
	kind := r.byte()
	if int(kind) >= len(kinds) {
		r.fail(fmt.Errorf("the export %q is of the unknown kind %d", e.name, kind))
		return e
	}
	e.kind = kinds[kind]
	r.u32()
	return e
}
