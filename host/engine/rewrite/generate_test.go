package rewrite

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
)

// Value types.
const (
	i32 = 0x7f
	i64 = 0x7e
	f32 = 0x7d
	f64 = 0x7c
)

func uleb(n int) []byte { return binary.AppendUvarint(nil, uint64(n)) }

func sleb(n int64) (b []byte) {
	for {
		c := byte(n & 0x7f)
		n >>= 7
		if n == 0 && c&0x40 == 0 || n == -1 && c&0x40 != 0 {
			return append(b, c)
		}
		b = append(b, c|0x80)
	}
}

func text(s string) []byte { return append(uleb(len(s)), s...) }

// list is a vector of items.
func list(items ...[]byte) []byte { return append(uleb(len(items)), slices.Concat(items...)...) }

func sect(id byte, body []byte) []byte { return slices.Concat([]byte{id}, uleb(len(body)), body) }

func wasm(sections ...[]byte) []byte { return slices.Concat(magic, slices.Concat(sections...)) }

// signature of a generated function.
type signature struct{ params, results []byte }

// generator makes valid modules whose functions end: a function calls only those before it, and loops count down.
type generator struct {
	*rand.Rand
	funcs   []signature // those imported, then those defined
	globals []byte      // the types of the mutable ones
	locals  []byte
	code    []byte
	depth   int
	index   int  // of the function being made
	calls   int  // that it may still make
	inside  bool // a dispatcher
	writes  bool
	names   bool
}

// generated returns a module with functions "f0" and so on, the memory "m" and the globals "g0" and so on as exports,
// and the parameters of each function. It imports host.f of type (i32)->(i32).
func generated(seed uint64) (module []byte, params [][]byte) {
	g := &generator{Rand: rand.New(rand.NewPCG(seed, 1))}
	g.writes, g.names = g.IntN(3) == 0, g.IntN(2) == 0
	g.funcs = []signature{{[]byte{i32}, []byte{i32}}}
	types := [][]byte{{0x60, 1, i32, 1, i32}}
	var defined, bodies, exports, globals, names [][]byte
	for range g.IntN(4) {
		t := g.kind()
		globals = append(globals, slices.Concat([]byte{t, 1}, g.constant(t), []byte{0x0b}))
		exports = append(exports, slices.Concat(text("g"+string(rune('0'+len(g.globals)))), []byte{3}, uleb(len(g.globals))))
		g.globals = append(g.globals, t)
	}
	n := 2 + g.IntN(6)
	for i := range n {
		s := signature{g.kinds(4), g.kinds(3)}
		if i == 0 {
			s = g.funcs[0] // there is always one to call indirectly
		}
		types = append(types, slices.Concat([]byte{0x60}, list(split(s.params)...), list(split(s.results)...)))
		defined = append(defined, uleb(i+1))
		g.index = i + 1
		bodies = append(bodies, g.function(s))
		g.funcs = append(g.funcs, s)
		exports = append(exports, slices.Concat(text("f"+string(rune('0'+i))), []byte{0}, uleb(i+1)))
		names = append(names, slices.Concat(uleb(i+1), text("name")))
		params = append(params, s.params)
	}
	start := -1
	if g.IntN(3) == 0 {
		types = append(types, []byte{0x60, 0, 0})
		defined = append(defined, uleb(len(types)-1))
		g.index = n + 1
		bodies = append(bodies, g.function(signature{}))
		start = n + 1
	}
	return g.assemble(types, defined, bodies, exports, globals, names, start), params
}

// assemble puts the sections together.
func (g *generator) assemble(types, defined, bodies, exports, globals, names [][]byte, start int) []byte {
	exports = append(exports, slices.Concat(text("m"), []byte{2, 0}))
	offset := []byte{opI32Const, 1, 0x0b}
	segments := [][]byte{
		slices.Concat([]byte{0}, offset, list(uleb(0), uleb(1))),                                                 // active, functions
		slices.Concat([]byte{4}, offset, list([]byte{opRefFunc, 1, 0x0b}, []byte{0xd0, 0x70, 0x0b})),             // active, expressions
		slices.Concat([]byte{1, 0}, list(uleb(1))),                                                               // passive
		slices.Concat([]byte{3, 0}, list(uleb(0), uleb(1))),                                                      // declarative
		slices.Concat([]byte{2, 0}, offset, []byte{0}, list(uleb(1), uleb(0))),                                   // active with a table
		slices.Concat([]byte{6, 0}, offset, []byte{0x70}, list([]byte{opRefFunc, 0, 0x0b})),                      // and expressions
		slices.Concat([]byte{5, 0x70}, list([]byte{opRefFunc, 1, 0x0b})), slices.Concat([]byte{7, 0x70}, list()), // passive, declarative
	}
	// An immutable global that names a function comes last, so that the indices of the others stay.
	globals = append(globals, []byte{0x70, 0, opRefFunc, 1, 0x0b})
	sections := [][]byte{
		sect(sectionType, list(types...)),
		sect(sectionImport, list(slices.Concat(text("host"), text("f"), []byte{0, 0}))),
		sect(sectionFunction, list(defined...)),
		sect(sectionTable, list([]byte{0x70, 0, 6})),
		sect(sectionMemory, list([]byte{1, 1, 3})),
		sect(sectionGlobal, list(globals...)),
		sect(sectionExport, list(exports...)),
	}
	if start >= 0 {
		sections = append(sections, sect(sectionStart, uleb(start)))
	}
	sections = append(sections, sect(sectionElement, list(segments...)), sect(sectionDataCount, uleb(2)), sect(sectionCode, list(bodies...)),
		sect(sectionData, list(slices.Concat([]byte{0}, []byte{opI32Const, 8, 0x0b}, text("active data")), slices.Concat([]byte{1}, text("passive data")))))
	if g.names {
		functions := list(names...)
		sections = append(sections, sect(sectionCustom, slices.Concat(text("name"), []byte{1}, uleb(len(functions)), functions)))
	}
	return wasm(sections...)
}

func split(b []byte) (items [][]byte) {
	for i := range b {
		items = append(items, b[i:i+1])
	}
	return items
}

func (g *generator) kind() byte { return byte(f64 + g.IntN(4)) }

func (g *generator) kinds(n int) (b []byte) {
	for range g.IntN(n) {
		b = append(b, g.kind())
	}
	return b
}

func (g *generator) emit(b ...byte) { g.code = append(g.code, b...) }

// function makes a body.
func (g *generator) function(s signature) []byte {
	g.locals = slices.Concat(s.params, g.kinds(5))
	// Counters for loops, one for each depth, and two locals for a dispatcher.
	counters := len(g.locals)
	g.code, g.depth, g.calls = nil, 0, 3
	for range 1 + g.IntN(5) {
		g.statement(counters, 0)
	}
	if n := g.IntN(min(len(g.funcs), g.index)); g.IntN(6) == 0 && slices.Equal(g.funcs[n].results, s.results) {
		for _, t := range g.funcs[n].params {
			g.expr(t, 2)
		}
		g.emit(append([]byte{opReturnCall}, uleb(n)...)...)
	} else {
		for _, t := range s.results {
			g.expr(t, 3)
		}
	}
	groups := list(append(prefixed(g.locals[len(s.params):]), []byte{counterLocals, i32})...)
	body := slices.Concat(groups, g.code, []byte{0x0b})
	return append(uleb(len(body)), body...)
}

func prefixed(types []byte) (groups [][]byte) {
	for _, t := range types {
		groups = append(groups, []byte{1, t})
	}
	return groups
}

// local returns a local of the type, -1 without one.
func (g *generator) local(t byte) int {
	for range 4 {
		if len(g.locals) == 0 {
			break
		}
		if n := g.IntN(len(g.locals)); g.locals[n] == t {
			return n
		}
	}
	return -1
}

func (g *generator) constant(t byte) []byte {
	switch t {
	case i32:
		return append([]byte{0x41}, sleb(int64(int32(g.Uint32())>>g.IntN(32)))...)
	case i64:
		return append([]byte{0x42}, sleb(int64(g.Uint64())>>g.IntN(64))...)
	case f32:
		return []byte{0x43, 0, 0, byte(g.IntN(128)), byte(g.IntN(0x7f))}
	}
	return []byte{0x44, 0, 0, 0, 0, 0, 0, byte(g.IntN(240)), byte(g.IntN(0x7f))}
}

// address puts an address that is in bounds, most of the time, on the stack.
func (g *generator) address() {
	g.expr(i32, 2)
	g.emit(0x41)
	g.emit(sleb(int64(0xfff << (g.IntN(40) / 8)))...)
	g.emit(0x71) // i32.and
}
