package rewrite

import (
	"slices"
	"sort"
	"strings"
)

// Debugging information (DWARF) speaks of places in the code, by their distance from the beginning of the code section,
// and rewriting moves those. It is not translated, which would cost time and memory for every guest, but left out. What
// the rewritten module gets in place of it is the smallest information there can be: one line that all of the code is
// at. With that wazero tells the place of each frame of a stack, and Origins tells where that place was originally.
// There debug/dwarf can look it up, when a stack is to be logged and not before.

// Moves reports whether the module has debugging information for which rewriting moves the places.
func (m *Module) Moves(o Options) bool {
	d := m.Debug()
	return m.Shift(o) > 0 && d[".debug_info"] != nil && d[".debug_line"] != nil && d[".debug_abbrev"] != nil
}

// Debug returns the sections with debugging information, by name. They are parts of the module's bytes.
func (m *Module) Debug() map[string][]byte {
	sections := map[string][]byte{}
	for _, s := range m.sections {
		if s.id != sectionCustom {
			continue
		}
		r := &reader{b: m.wasm[:s.end], off: s.start}
		if name := r.name(); r.err == nil && strings.HasPrefix(name, ".debug_") {
			sections[name] = m.wasm[r.off:s.end]
		}
	}
	return sections
}

// Origins returns where in the code section the places of a module were that Rewrite has made with the same options.
// Places in code that was added are those of the instruction behind it. It takes as long as rewriting the code does.
func (m *Module) Origins(o Options, places []uint64) []uint64 {
	type piece struct{ at, from, to int }
	var pieces []piece
	w := m.writer(o)
	w.kept = func(at, from, to int) { pieces = append(pieces, piece{at, from, to}) }
	w.code()
	start := 0
	for _, s := range m.sections {
		if s.id == sectionCode {
			start = s.start
		}
	}
	origins := slices.Clone(places)
	for n, place := range places {
		i := sort.Search(len(pieces), func(i int) bool { return uint64(pieces[i].at) > place }) - 1
		if i < 0 {
			continue
		}
		p := pieces[i]
		origins[n] = min(uint64(p.from-start)+place-uint64(p.at), uint64(p.to-start))
	}
	return origins
}

// keep writes code of the module as it is.
func (w *writer) keep(from, to int) {
	if w.kept != nil && from < to {
		w.kept(len(w.out), from, to)
	}
	w.out = append(w.out, w.m.wasm[from:to]...)
}

// placeholders are debugging information (DWARF 4) that puts everything from the byte 1 on into line 1 of a file.
var placeholders = map[string]string{
	".debug_abbrev": "\x01\x11\x00" + // 1: a compile unit without children
		"\x10\x17\x11\x01\x12\x06" + // stmt_list: offset; low_pc: address; high_pc: 4 bytes
		"\x00\x00\x00",
	".debug_info": "\x14\x00\x00\x00\x04\x00\x00\x00\x00\x00\x04" + // length, version 4, abbreviations at 0, addresses of 4 bytes
		"\x01\x00\x00\x00\x00\x01\x00\x00\x00\xfe\xff\xff\x7f",
	".debug_line": "\x33\x00\x00\x00\x04\x00\x1c\x00\x00\x00" + // length, version 4, length of the header
		"\x01\x01\x01\xfb\x0e\x0d\x00\x01\x01\x01\x01\x00\x00\x00\x01\x00\x00\x01" + // as LLVM has it
		"\x00" + "wasm\x00\x00\x00\x00" + "\x00" + // no directories, one file
		"\x00\x05\x02\x01\x00\x00\x00" + "\x01" + // address 1, a line
		"\x02\xfe\xff\xff\xff\x07" + "\x00\x01\x01", // as far as it goes, the end
	".debug_str":    "\x00",
	".debug_ranges": "",
}

// placeholder writes what stands for a section of debugging information.
func (w *writer) placeholder(name string) {
	if text, ok := placeholders[name]; ok {
		w.framed(sectionCustom, func() {
			w.name(name)
			w.out = append(w.out, text...)
		})
	}
}
