package rewrite

import "fmt"

// Segment is data that belongs into an instance's memory before anything of it runs.
type Segment struct {
	Offset uint32
	Bytes  []byte // a part of the module's
}

// dataSegments reads the data section (core specification 5.5.14) and returns the active segments whose places are known
// and in the memory as it begins, if those are all, with the number of segments. A module of which it cannot be said,
// because its memory is another's or a place is that of a global, keeps its data.
func (m *Module) dataSegments(s *section) (active []Segment, kept map[int][]byte, count uint32, ok bool) {
	r := &reader{b: m.wasm[:s.end], off: s.start}
	kept = map[int][]byte{}
	n := 0
	ok = len(m.Memories) == 1
	count = r.vector(func() {
		at := r.off
		flags := r.u32()
		if flags > 2 {
			r.fail(fmt.Errorf("a data segment has the unknown flags %d", flags))
			return
		}
		if flags == 2 {
			ok = ok && r.u32() == 0
		}
		var offset uint32
		if flags != 1 {
			var known bool
			offset, known = r.constant()
			ok = ok && known
			if !known {
				return
			}
		}
		b := r.sub(r.u32())
		if r.err != nil {
			return
		}
		if flags == 1 {
			kept[n] = m.wasm[at:r.off]
		} else {
			bytes := b.b[b.off:]
			active = append(active, Segment{offset, bytes})
			ok = ok && uint64(offset)+uint64(len(bytes)) <= m.Memories[0].Min*memoryPage
		}
		n++
	})
	return active, kept, count, ok && r.err == nil
}

// memoryPage is the size of a page of memory in bytes (core specification 4.2.8).
const memoryPage = 64 << 10

// constant reads a constant expression that is one i32.const.
func (r *reader) constant() (value uint32, ok bool) {
	if r.byte() != opI32Const {
		return 0, false
	}
	shift := uint(0)
	for r.err == nil && shift < 35 {
		c := r.byte()
		value |= uint32(c&0x7f) << shift
		shift += 7
		if c < 0x80 {
			if c&0x40 != 0 && shift < 32 {
				value |= ^uint32(0) << shift
			}
			return value, r.byte() == opEnd
		}
	}
	return 0, false
}

// Data returns the active segments that a rewrite with Options.DataOut leaves out, for the host to put into memory.
func (m *Module) Data() []Segment {
	for i := range m.sections {
		if s := &m.sections[i]; s.id == sectionData {
			active, _, _, ok := m.dataSegments(s)
			if ok {
				return active
			}
		}
	}
	return nil
}

// data writes the data section. Segments that are left out become empty, so that the others keep their indices.
func (w *writer) data(s *section) {
	_, kept, count, ok := w.m.dataSegments(s)
	if !ok || !w.o.DataOut {
		w.copy(s.start, s.end)
		return
	}
	w.u32(count)
	for n := range int(count) {
		if passive, ok := kept[n]; ok {
			w.out = append(w.out, passive...)
			continue
		}
		w.out = append(w.out, 0, opI32Const, 0, opEnd, 0)
	}
}
