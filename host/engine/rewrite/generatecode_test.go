package rewrite

import "slices"

// statement makes code that leaves the stack as it is.
func (g *generator) statement(counters, loops int) {
	if g.depth > 3 || len(g.code) > 2000 {
		return
	}
	g.depth++
	defer func() { g.depth-- }()
	switch g.IntN(19) {
	case 0, 1:
		t := g.kind()
		if n := g.local(t); n >= 0 {
			g.expr(t, 3)
			g.emit(append([]byte{opLocalSet}, uleb(n)...)...)
		}
	case 2:
		if len(g.globals) > 0 {
			n := g.IntN(len(g.globals))
			g.expr(g.globals[n], 3)
			g.emit(append([]byte{opGlobalSet}, uleb(n)...)...)
		}
	case 3, 4:
		t := g.kind()
		g.address()
		g.expr(t, 3)
		g.emit(map[byte]byte{i32: 0x36, i64: 0x37, f32: 0x38, f64: 0x39}[t], 0, 0)
	case 5:
		g.expr(i32, 3)
		g.emit(opIf, 0x40)
		g.statement(counters, loops)
		if g.IntN(2) == 0 {
			g.emit(0x05)
			g.statement(counters, loops)
		}
		g.emit(opEnd)
	case 6, 7:
		g.loop(counters, loops)
	case 8:
		g.emit(opBlock, 0x40, opBlock, 0x40)
		g.expr(i32, 2)
		g.emit(0x0e, 1, 0, 1) // br_table
		g.emit(opEnd)
		g.statement(counters, loops)
		g.emit(opEnd)
	case 9:
		g.call(loops)
	case 10, 11:
		g.bulk()
	case 12:
		if g.IntN(20) == 0 { // what follows is dead
			g.emit(0x00, opLoop, 0x40, opEnd)
		}
	case 13, 14, 15:
		g.dispatcher(counters, loops)
	case 16:
		g.multi()
	case 17:
		g.address()
		g.vector(3)
		g.emit(opVector, 11, 0, 0) // v128.store
	default:
		g.expr(g.kind(), 4)
		g.emit(0x1a)
	}
}

// counterLocals is how many locals statements use for themselves.
const counterLocals = 5

// dispatcher makes a loop like those that Go programs consist of: three pieces of code that jump to each other by
// number, forward as they like and back so many times.
func (g *generator) dispatcher(counters, loops int) {
	if g.inside {
		return
	}
	g.inside = true
	defer func() { g.inside = false }()
	next, left := uleb(counters+3), uleb(counters+4)
	set := func(local []byte, n int) { g.emit(slices.Concat([]byte{opI32Const, byte(n), opLocalSet}, local)...) }
	set(next, g.IntN(4))
	set(left, 1+g.IntN(8))
	g.emit(opLoop, 0x40, opBlock, 0x40, opBlock, 0x40, opBlock, 0x40)
	g.emit(slices.Concat([]byte{opLocalGet}, next, []byte{opBrTable, 3, 0, 1, 2, 2})...)
	for piece := range 3 {
		g.emit(opEnd)
		g.statement(counters, max(loops, 1))
		if g.IntN(2) == 0 {
			g.emit(slices.Concat([]byte{opLocalGet}, left, []byte{opI32Const, 1, opI32Sub, opLocalTee}, left, []byte{opI32Const, 0, 0x4a, opIf, 0x40})...)
			set(next, g.IntN(4))
			g.emit(opBr, byte(3-piece), opEnd)
		} else if piece < 2 {
			set(next, piece+1+g.IntN(3-piece))
			g.emit(opBr, byte(2-piece))
		}
	}
	g.emit(opEnd)
}

// multi makes a block of the type of a function, which may take and leave several values.
func (g *generator) multi() {
	n := g.IntN(len(g.funcs))
	for _, t := range g.funcs[n].params {
		g.expr(t, 1)
	}
	g.emit(append([]byte{opBlock}, sleb(int64(n))...)...)
	for range g.funcs[n].params {
		g.emit(0x1a)
	}
	for _, t := range g.funcs[n].results {
		g.expr(t, 1)
	}
	g.emit(opEnd)
	for range g.funcs[n].results {
		g.emit(0x1a)
	}
}

// vector puts a v128 on the stack.
func (g *generator) vector(depth int) {
	switch n := g.IntN(6); {
	case depth == 0 || n == 0:
		g.emit(opVector, 12)
		for range 16 {
			g.emit(byte(g.IntN(256)))
		}
	case n == 1:
		g.address()
		g.emit(opVector, 0, 0, 0) // v128.load
	case n == 2:
		g.expr(i32, 1)
		g.emit(opVector, byte(15+g.IntN(3))) // splat
	case n == 3:
		g.vector(depth - 1)
		g.vector(depth - 1)
		g.emit(opVector, 13) // i8x16.shuffle
		for range 16 {
			g.emit(byte(g.IntN(32)))
		}
	default:
		g.vector(depth - 1)
		g.vector(depth - 1)
		g.emit(append([]byte{opVector}, uleb([]int{78, 80, 81, 110, 113, 142, 145, 174, 177, 181, 206, 213}[g.IntN(12)])...)...)
	}
}

// rare makes an i32 in one of the ways that compilers use less.
func (g *generator) rare(depth int) {
	switch g.IntN(6) {
	case 0:
		g.vector(2)
		g.emit(opVector, 27, byte(g.IntN(4))) // i32x4.extract_lane
	case 1:
		g.emit(opI32Const, byte(g.IntN(8)), 0x25, 0, 0xd1) // table.get, ref.is_null
	case 2:
		g.expr(i32, depth-1)
		g.expr(i32, depth-1)
		g.expr(i32, depth-1)
		g.emit(0x1c, 1, i32) // select
	case 3:
		g.expr(f64, depth-1)
		g.emit(opBulk, byte(2+g.IntN(2))) // i32.trunc_sat_f64
	case 4:
		g.expr(i32, depth-1)
		g.emit(byte(0xc0 + g.IntN(2))) // i32.extend
	case 5:
		g.emit(opBulk, bulkTableSize, 0)
	}
}

// loop makes a loop that counts down; now and then one whose label takes a value (type 0 is (i32)->(i32)).
func (g *generator) loop(counters, loops int) {
	if loops > 2 {
		return
	}
	counter := uleb(counters + loops)
	turns := 1 + g.IntN(5)
	if loops == 0 && g.IntN(4) == 0 {
		turns = 20 + g.IntN(40)
	}
	g.emit(opI32Const, byte(turns))
	g.emit(append([]byte{opLocalSet}, counter...)...)
	if g.IntN(3) == 0 {
		g.expr(i32, 2)
		g.emit(opLoop, 0)
	} else {
		g.emit(opLoop, 0x40)
	}
	typed := g.code[len(g.code)-1] == 0
	for range g.IntN(3) {
		g.statement(counters, loops+1)
	}
	g.emit(slices.Concat([]byte{opLocalGet}, counter, []byte{opI32Const, 1, opI32Sub, opLocalTee}, counter, []byte{0x0d, 0, opEnd})...)
	if typed {
		g.emit(0x1a)
	}
}

// call makes a call, by name or by the table, whose results are dropped.
func (g *generator) call(loops int) {
	if g.calls == 0 || loops > 1 {
		return
	}
	g.calls--
	n := g.IntN(min(len(g.funcs), g.index))
	for _, t := range g.funcs[n].params {
		g.expr(t, 2)
	}
	switch {
	case n <= 1 && g.index > 1 && g.IntN(2) == 0:
		g.expr(i32, 1)
		g.emit(opI32Const, 3, 0x71, opCallIndirect, 0, 0)
	default:
		g.emit(append([]byte{opCall}, uleb(n)...)...)
	}
	for range g.funcs[n].results {
		g.emit(0x1a)
	}
}

// bulk makes a bulk operation.
func (g *generator) bulk() {
	switch g.IntN(6) {
	case 0:
		g.address()
		g.expr(i32, 1)
		g.address()
		g.emit(opBulk, bulkMemoryFill, 0)
	case 1:
		g.address()
		g.address()
		g.address()
		g.emit(opBulk, bulkMemoryCopy, 0, 0)
	case 2:
		g.address()
		g.emit(opI32Const, byte(g.IntN(8)), opI32Const, byte(g.IntN(8)), opBulk, bulkMemoryInit, 1, 0)
	case 3:
		g.emit(opI32Const, byte(g.IntN(2)), 0x40, 0, 0x1a) // memory.grow
	case 4:
		if g.writes {
			g.emit(opI32Const, byte(g.IntN(8)), opRefFunc, byte(g.IntN(2)), opTableSet, 0)
		}
	case 5:
		if g.writes {
			g.emit(opI32Const, byte(g.IntN(6)), opI32Const, 0, opI32Const, byte(g.IntN(3)), opBulk, bulkTableInit, 2, 0)
			g.emit(opI32Const, byte(g.IntN(6)), opI32Const, byte(g.IntN(6)), opI32Const, byte(g.IntN(3)), opBulk, bulkTableCopy, 0, 0)
			g.emit(0xd0, 0x70, opI32Const, byte(g.IntN(3)), opBulk, bulkTableGrow, 0, 0x1a)
		}
	}
}

// expr makes code that puts a value of the type on the stack.
func (g *generator) expr(t byte, depth int) {
	switch n := g.local(t); {
	case n >= 0 && g.IntN(2) == 0:
		g.emit(append([]byte{opLocalGet}, uleb(n)...)...)
		return
	case depth == 0 || g.IntN(4) == 0:
		g.emit(g.constant(t)...)
		return
	}
	if n := slices.Index(g.globals, t); n >= 0 && g.IntN(3) == 0 {
		g.emit(append([]byte{opGlobalGet}, uleb(n)...)...)
		return
	}
	switch t {
	case i32:
		if g.IntN(6) == 0 {
			g.rare(depth)
			return
		}
		if g.IntN(6) == 0 {
			g.emit(opI32Const, 7)
			g.emit(opCall, 0)
			return
		}
		g.expr(i32, depth-1)
		g.expr(i32, depth-1)
		g.emit([]byte{0x6a, 0x6b, 0x6c, 0x6d, 0x71, 0x72, 0x73, 0x74, 0x75, 0x76, 0x46, 0x48}[g.IntN(12)])
	case i64:
		if g.IntN(3) == 0 {
			g.expr(i32, depth-1)
			g.emit(0xac)
			return
		}
		g.expr(i64, depth-1)
		g.expr(i64, depth-1)
		g.emit(byte(0x7c + g.IntN(14)))
	case f32:
		g.expr(f64, depth-1)
		g.emit(0xb6)
	case f64:
		g.expr(f64, depth-1)
		g.expr(f64, depth-1)
		g.emit(byte(0xa0 + g.IntN(3)))
	}
}
