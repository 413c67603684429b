package rewrite

import "fmt"

// funcInfo is what has to be known of a function's code to write it again.
type funcInfo struct {
	at     part   // locals and instructions
	code   uint32 // where the instructions begin
	locals uint32 // the number of locals, parameters included
	calls  part   // of Module.calls: the functions it calls by name
	loops  bool   // has loops or jumps that are counted
	leaps  bool   // calls functions by reference
	bulk   bool   // has instructions that take time in proportion to an operand
	refs   bool   // names functions
	closes bool   // calls functions that are watched
	pays   bool   // pays on entry
}

// part is a part of something that has less than 4 G elements.
type part struct{ start, end uint32 }

// Facts are what the code does that a reset of memory and globals does not undo, and what takes part in one.
type Facts struct {
	// TableWrites says that a table can change after instantiation.
	TableWrites bool
	// DataDrops says that a data segment can be dropped that memory.init could use.
	DataDrops bool
	// Globals are the mutable globals, by index.
	Globals []uint32
	// OpaqueGlobals says that one of them is a vector or a reference, which the host cannot set.
	OpaqueGlobals bool
	// PassesClose says that fd_close or fd_renumber can be called in other ways than by its name.
	PassesClose bool
	// PassesImports says the same of functions that the host gives answers by.
	PassesImports bool
	// Loops is the number of loops.
	Loops int

	drops, inits bool
}

// maxGlobals is how many globals are set back after a request. Compilers make fewer than ten.
const maxGlobals = 1000

// Lasting returns why instances cannot be reset, in a few words, or "" if they can.
func (f *Facts) Lasting() string {
	switch {
	case f.TableWrites:
		return "its tables can change"
	case f.DataDrops:
		return "it drops data segments"
	case f.PassesClose:
		return "it calls fd_close or fd_renumber by reference"
	case f.OpaqueGlobals:
		return "it has mutable globals that are vectors or references"
	case len(f.Globals) > maxGlobals:
		return fmt.Sprintf("it has more than %d mutable globals", maxGlobals)
	}
	return ""
}

// code reads the code section.
func (m *Module) code(r *reader) {
	r.vector(func() {
		size := r.u32()
		body := r.sub(size)
		if r.err != nil {
			return
		}
		f := funcInfo{at: part{uint32(body.off), uint32(len(body.b))}}
		m.function(body, &f)
		if body.err != nil {
			r.fail(fmt.Errorf("function %d: %w", int(m.imported)+len(m.funcs), body.err))
			return
		}
		m.funcs = append(m.funcs, f)
	})
	m.Facts.DataDrops = m.Facts.drops && m.Facts.inits
	if r.err == nil && len(m.funcs) == len(m.types) {
		m.price()
	}
}

// function reads the code of a function.
func (m *Module) function(r *reader, f *funcInfo) {
	if len(m.funcs) >= len(m.types) {
		r.fail(fmt.Errorf("it has no type"))
		return
	}
	t := m.types[len(m.funcs)]
	if uint64(t) >= uint64(len(m.params)) {
		r.fail(fmt.Errorf("its type %d does not exist", t))
		return
	}
	locals := uint64(m.params[t])
	r.vector(func() {
		locals += uint64(r.u32())
		r.valueType()
	})
	if locals >= 1<<32-2 {
		r.fail(fmt.Errorf("it has %d locals", locals))
		return
	}
	f.locals = uint32(locals)
	f.code = uint32(r.off)
	f.calls.start = uint32(len(m.calls))
	m.flow.reset()
	for r.err == nil && r.off < len(r.b) {
		if m.flow.depth() == 0 {
			r.fail(fmt.Errorf("code follows its end"))
			return
		}
		in := r.next()
		if r.err != nil {
			return
		}
		if in.op == opLoop {
			m.Facts.Loops++
		}
		f.loops = m.flow.step(r.b, &in) || f.loops
		m.note(r, &in, f)
	}
	f.calls.end = uint32(len(m.calls))
	if r.err == nil && m.flow.depth() != 0 {
		r.fail(fmt.Errorf("it has no end"))
	}
}

// note takes down what an instruction means for rewriting and checks the index it has.
func (m *Module) note(r *reader, in *instruction, f *funcInfo) {
	known := true
	switch in.op {
	case opCall, opReturnCall:
		f.refs = true
		f.closes = f.closes || m.watched[in.index] != 0
		if in.op == opReturnCall {
			m.notePassed(in.index)
		}
		known = uint64(in.index) < uint64(m.imported)+uint64(len(m.types))
		if known && in.index >= m.imported {
			m.calls = append(m.calls, in.index-m.imported)
		}
	case opRefFunc:
		f.refs = true
		m.notePassed(in.index)
		known = uint64(in.index) < uint64(m.imported)+uint64(len(m.types))
	case opCallIndirect, opReturnCallIndirect, opCallRef, opReturnCallRef:
		f.leaps = true
		known = uint64(in.index) < uint64(len(m.params))
	case opBlock, opLoop, opIf:
		known = in.index == noType || uint64(in.index) < uint64(len(m.params))
	case opLocalGet, opLocalSet, opLocalTee:
		known = in.index < f.locals
	case opGlobalGet, opGlobalSet:
		known = uint64(in.index) < uint64(m.globals)
	case opTableSet:
		m.Facts.TableWrites = true
	case opBulk:
		m.noteBulk(in, f)
	}
	if !known && r.err == nil {
		r.fail(fmt.Errorf("the instruction %#x at byte %d has the unknown index %d", in.op, in.start, in.index))
	}
}

func (m *Module) noteBulk(in *instruction, f *funcInfo) {
	switch in.sub {
	case bulkTableInit, bulkTableCopy, bulkTableGrow, bulkTableFill:
		m.Facts.TableWrites = true
	case bulkDataDrop:
		m.Facts.drops = true
	case bulkMemoryInit:
		m.Facts.inits = true
	}
	f.bulk = f.bulk || costly(in)
}

// costly reports whether an instruction takes time in proportion to its last operand.
func costly(in *instruction) bool {
	if in.op != opBulk {
		return false
	}
	switch in.sub {
	case bulkMemoryInit, bulkMemoryCopy, bulkMemoryFill, bulkTableInit, bulkTableCopy, bulkTableGrow, bulkTableFill:
		return true
	}
	return false
}
