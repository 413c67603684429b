package rewrite

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

// Options say how a module is rewritten.
type Options struct {
	// TableLimit is the maximum of every table, in elements. It is an error for a table to start with more.
	TableLimit uint64
	// Fuel is how many steps guest code may go from one call of yield to the next; 0 for none at all. A step is a
	// turn of a loop, the call of a function that calls others, or 4 KiB of a bulk operation; turns are counted in
	// batches of 32.
	Fuel uint32
	// Reset exports the mutable globals, under the names of GlobalExport, and the start function, takes the maximum
	// of the memory away, and has the guest report the descriptors it closes.
	Reset bool
	// Checkpoint has the guest call the host where it begins and before it calls the host otherwise, for modules with
	// Checkpoints.
	Checkpoint bool
	// DataOut leaves out the data that Module.Data returns: whoever makes instances from an image of their memory has no
	// use for it, and copying it is most of what making one costs.
	DataOut bool
}

// Shift returns how many functions a rewritten module imports more than before. By so much the indices of the functions
// that it defines are higher.
func (m *Module) Shift(o Options) int {
	n := 0
	if o.Fuel > 0 {
		n++
	}
	if o.Reset && len(m.watched) > 0 {
		n++
	}
	if o.Checkpoint {
		n++
	}
	return n
}

// errTooLarge is the error for a module that grows out of all proportion, as only one made for it does.
var errTooLarge = errors.New("the module has too many loops or functions for its size")

// maxGrowth is how many times larger a module may become, beyond what every module is granted.
const (
	maxGrowth = 4
	granted   = 1 << 20
)

// GlobalExport returns the name that the mutable global with the index is exported as.
func GlobalExport(index uint32) string { return fmt.Sprintf("%sglobal.%d", reserved, index) }

// Rewrite encodes the module anew.
func (m *Module) Rewrite(o Options) ([]byte, error) {
	w := m.writer(o)
	w.out = append(w.out, magic...)
	last := 0
	for i := range m.sections {
		s := &m.sections[i]
		if s.id == sectionCustom {
			w.custom(s)
			continue
		}
		w.missing(last, rank[s.id])
		last = rank[s.id]
		w.section(s)
		if len(w.out) > len(m.wasm)*maxGrowth+granted {
			w.err = errTooLarge
		}
		if w.err != nil {
			return nil, w.err
		}
	}
	w.missing(last, rank[sectionData]+1)
	return w.out, w.err
}

func (m *Module) writer(o Options) *writer {
	return &writer{
		m: m, o: o, out: make([]byte, 0, len(m.wasm)+len(m.wasm)/4+128),
		shift: uint32(m.Shift(o)), fuel: m.globals, watch: o.Reset && len(m.watched) > 0, lines: m.Moves(o),
	}
}

// writer writes a module. Functions that the module defines move up by shift.
type writer struct {
	m     *Module
	o     Options
	out   []byte
	shift uint32
	fuel  uint32 // the index of the fuel's global
	flow  flow
	watch bool // functions are watched
	ref   int  // the next of m.refs
	lines bool // places in the code are to be told from stacks
	err   error

	kept func(at, from, to int) // is told where code of the module was written, unless it is nil
}

func (w *writer) u32(n uint32) { w.out = binary.AppendUvarint(w.out, uint64(n)) }

func (w *writer) name(s string) {
	w.u32(uint32(len(s)))
	w.out = append(w.out, s...)
}

// function writes the index of a function.
func (w *writer) function(index uint32) {
	if index >= w.m.imported {
		index += w.shift
	}
	w.u32(index)
}

// framed writes an id and what f writes, with its length before it.
func (w *writer) framed(id byte, f func()) {
	w.out = append(w.out, id)
	w.sized(f)
}

// sized writes what f writes, with its length before it. The length takes five bytes, so that nothing has to move.
func (w *writer) sized(f func()) {
	at := len(w.out)
	w.out = append(w.out, 0x80, 0x80, 0x80, 0x80, 0)
	f()
	n := len(w.out) - at - 5
	for i := range 5 {
		w.out[at+i] |= byte(n>>(7*i)) & 0x7f
	}
}

// missing writes the sections between two ranks that the module does not have and now needs.
func (w *writer) missing(after, before int) {
	for _, id := range [...]byte{sectionType, sectionImport, sectionGlobal, sectionExport} {
		if rank[id] > after && rank[id] < before && w.added(id) > 0 {
			w.framed(id, func() {
				w.u32(w.added(id))
				w.add(id)
			})
		}
	}
}

// added returns how many entries a section gets.
func (w *writer) added(id byte) (n uint32) {
	fuel := w.o.Fuel > 0
	switch {
	case id == sectionType, id == sectionImport:
		n = w.shift
	case id == sectionGlobal && fuel:
		n = 1
	case id == sectionExport:
		if fuel {
			n++
		}
		if w.o.Reset {
			n += uint32(len(w.m.Facts.Globals))
			if w.m.start >= 0 {
				n++
			}
		}
	}
	return n
}

// add writes the entries that a section gets.
func (w *writer) add(id byte) {
	fuel := w.o.Fuel > 0
	switch id {
	case sectionExport:
		w.addExports()
	case sectionType:
		if fuel {
			w.out = append(w.out, formFunc, 0, 0)
		}
		if w.watch {
			w.out = append(w.out, formFunc, 1, 0x7f, 0)
		}
		if w.o.Checkpoint {
			w.out = append(w.out, formFunc, 1, 0x7f, 1, 0x7f)
		}
	case sectionImport:
		index := uint32(len(w.m.params))
		if fuel {
			w.addImport(YieldImport, index)
			index++
		}
		if w.watch {
			w.addImport(DescriptorImport, index)
			index++
		}
		if w.o.Checkpoint {
			w.addImport(CheckpointImport, index)
		}
	case sectionGlobal:
		if fuel {
			w.out = append(w.out, 0x7f, 1, opI32Const)
			w.signed(int32(w.o.Fuel))
			w.out = append(w.out, opEnd)
		}
	}
}

func (w *writer) addImport(name string, index uint32) {
	w.name(HostModule)
	w.name(name)
	w.out = append(w.out, 0)
	w.u32(index)
}

func (w *writer) addExports() {
	if w.o.Fuel > 0 {
		w.name(FuelExport)
		w.out = append(w.out, 3)
		w.u32(w.fuel)
	}
	if !w.o.Reset {
		return
	}
	for _, g := range w.m.Facts.Globals {
		w.name(GlobalExport(g))
		w.out = append(w.out, 3)
		w.u32(g)
	}
	if w.m.start >= 0 {
		w.name(StartExport)
		w.out = append(w.out, 0)
		w.function(uint32(w.m.start))
	}
}

// signed writes a signed LEB128 number.
func (w *writer) signed(n int32) {
	for {
		c := byte(n & 0x7f)
		n >>= 7
		if n == 0 && c&0x40 == 0 || n == -1 && c&0x40 != 0 {
			w.out = append(w.out, c)
			return
		}
		w.out = append(w.out, c|0x80)
	}
}

// section writes a section of the module.
func (w *writer) section(s *section) {
	switch s.id {
	case sectionTable:
		w.framed(s.id, func() { w.tables(s) })
	case sectionMemory:
		w.framed(s.id, func() { w.memories(s) })
	case sectionStart:
		if !w.o.Reset {
			w.framed(s.id, func() { w.function(uint32(w.m.start)) })
		}
	case sectionCode:
		w.framed(s.id, w.code)
	case sectionImport:
		w.framed(s.id, func() { w.imports(s) })
	case sectionData:
		w.framed(s.id, func() { w.data(s) })
	default:
		w.framed(s.id, func() { w.extended(s) })
	}
}

// extended writes a section with the entries it gets after its own.
func (w *writer) extended(s *section) {
	r := &reader{b: w.m.wasm[:s.end], off: s.start}
	if n := w.added(s.id); n > 0 {
		w.u32(r.u32() + n)
	}
	w.copy(r.off, s.end)
	w.add(s.id)
}

// copy writes a part of the module outside of code, with the indices of functions moved.
func (w *writer) copy(from, to int) {
	refs := w.m.refs
	for ; w.shift > 0 && w.ref < len(refs) && int(refs[w.ref]) < to; w.ref++ {
		r := &reader{b: w.m.wasm, off: int(refs[w.ref])}
		w.out = append(w.out, w.m.wasm[from:r.off]...)
		w.function(r.u32())
		from = r.off
	}
	w.out = append(w.out, w.m.wasm[from:to]...)
}

func (w *writer) tables(s *section) {
	at := s.start
	for i, t := range w.m.tables {
		l := t.limits
		if l.Min > w.o.TableLimit {
			w.err = &TableError{Index: i, Min: l.Min, Limit: w.o.TableLimit}
		}
		if !l.HasMax || l.Max > w.o.TableLimit {
			l.HasMax, l.Max = true, w.o.TableLimit
		}
		w.copy(at, t.at.start)
		w.limits(l)
		at = t.at.end
	}
	w.copy(at, s.end)
}

// TableError is the error for a table that starts with more elements than it may have.
type TableError struct {
	Index      int
	Min, Limit uint64
}

func (e *TableError) Error() string {
	return fmt.Sprintf("table %d starts with %d elements, more than the table limit of %d", e.Index, e.Min, e.Limit)
}

func (w *writer) memories(s *section) {
	if !w.o.Reset {
		w.copy(s.start, s.end)
		return
	}
	w.u32(uint32(len(w.m.Memories)))
	for _, l := range w.m.Memories {
		w.limits(Limits{Min: l.Min})
	}
}

func (w *writer) limits(l Limits) {
	if !l.HasMax {
		w.out = append(w.out, 0)
		w.u32(uint32(l.Min))
		return
	}
	w.out = append(w.out, 1)
	w.u32(uint32(l.Min))
	w.u32(uint32(l.Max))
}

// custom writes a custom section, unless it speaks of places in the code.
func (w *writer) custom(s *section) {
	r := &reader{b: w.m.wasm[:s.end], off: s.start}
	name := r.name()
	switch {
	case r.err != nil: // it has no name, which is wazero's to refuse
	case name == "name":
		w.names(s, r)
		return
	case strings.HasPrefix(name, ".debug_"), strings.HasPrefix(name, "reloc."), strings.HasPrefix(name, "metadata.code."),
		name == "linking", name == "sourceMappingURL", name == "external_debug_info":
		if w.lines {
			w.placeholder(name)
		}
		if w.shift > 0 {
			return
		}
	}
	w.framed(s.id, func() { w.copy(s.start, s.end) })
}
