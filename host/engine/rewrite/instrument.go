package rewrite

import "encoding/binary"

// code writes the code section. Its length was checked when it was read.
func (w *writer) code() {
	w.u32(uint32(len(w.m.funcs)))
	for i := range w.m.funcs {
		f := &w.m.funcs[i]
		extra := w.o.Fuel > 0 && (f.loops || f.entry || f.bulk) || w.watch && f.closes
		if w.shift == 0 || !extra && !f.refs {
			w.u32(uint32(f.at.end - f.at.start))
			w.out = append(w.out, w.m.wasm[f.at.start:f.at.end]...)
			continue
		}
		w.sized(func() { w.body(f, extra) })
		if len(w.out) > len(w.m.wasm)*maxGrowth+granted {
			w.err = errTooLarge
			return
		}
	}
}

// body writes the code of a function with its calls moved, its way paid for and what is watched announced, for which
// it may need an extra local.
func (w *writer) body(f *funcInfo, extra bool) {
	wasm := w.m.wasm
	r := &reader{b: wasm[:f.at.end], off: f.at.start}
	var steps, bulk []byte
	if extra {
		groups := r.u32()
		w.u32(groups + 1)
		w.out = append(w.out, wasm[r.off:f.code]...)
		w.out = append(w.out, 1, 0x7f) // one more local, an i32
		if w.o.Fuel > 0 {
			steps, bulk = w.checks(f.locals)
		}
	} else {
		w.out = append(w.out, wasm[f.at.start:f.code]...)
	}
	if f.entry {
		w.out = append(w.out, steps...)
	}
	copied := f.code
	for r.off = f.code; r.off < f.at.end; {
		in := r.next()
		switch {
		case in.op == opLoop:
			w.out = append(w.out, wasm[copied:in.nextAt]...)
			w.out = append(w.out, steps...)
			copied = in.nextAt
		case in.op == opCall, in.op == opReturnCall, in.op == opRefFunc:
			w.out = append(w.out, wasm[copied:in.start]...)
			w.announce(in, f.locals)
			w.out = append(w.out, in.op)
			w.function(in.index)
			copied = in.nextAt
		case costly(&in):
			w.out = append(w.out, wasm[copied:in.start]...)
			w.out = append(w.out, bulk...)
			copied = in.start
		}
	}
	w.out = append(w.out, wasm[copied:f.at.end]...)
}

// announce calls the host with the descriptor on the stack, which stays there, before a call that is watched.
func (w *writer) announce(in instruction, local uint32) {
	if !w.watch || in.op != opCall {
		return
	}
	switch w.m.watched[in.index] {
	case watchClose:
		w.out = binary.AppendUvarint(append(w.out, opLocalTee), uint64(local))
		w.out = binary.AppendUvarint(append(w.out, opLocalGet), uint64(local))
	case watchRenumber:
		w.out = append(w.out, opI32Const, 0x7f) // -1
	default:
		return
	}
	w.out = append(w.out, opCall)
	w.u32(w.m.imported + w.shift - 1)
}

// bulkShift is the binary logarithm of how many bytes of a bulk operation are a step.
const bulkShift = 12

// checks returns the code that pays for a step and the code that pays for a bulk operation, whose length is on the
// stack. Both leave the stack as it is, and need a local of type i32.
//
//	global.get $fuel; i32.const 1; i32.sub; local.tee $n; global.set $fuel
//	local.get $n; i32.const 1; i32.lt_s; if; call $yield; end
func (w *writer) checks(local uint32) (steps, bulk []byte) {
	op := func(b []byte, op byte, index uint32) []byte {
		return binary.AppendUvarint(append(b, op), uint64(index))
	}
	// rest ends a check: what has been paid is subtracted, and tested.
	rest := func(b []byte) []byte {
		b = append(b, opI32Sub)
		b = op(b, opLocalTee, local)
		b = op(b, opGlobalSet, w.fuel)
		b = op(b, opLocalGet, local)
		b = append(b, opI32Const, 1, opI32LtS, opIf, 0x40)
		b = op(b, opCall, w.m.imported) // yield, the first import of ours
		return append(b, opEnd)
	}
	steps = op(steps, opGlobalGet, w.fuel)
	steps = rest(append(steps, opI32Const, 1))

	bulk = op(bulk, opLocalTee, local)
	bulk = op(bulk, opGlobalGet, w.fuel)
	bulk = op(bulk, opLocalGet, local)
	bulk = append(bulk, opI32Const, bulkShift, opI32ShrU)
	bulk = rest(bulk)
	return steps, bulk
}
