package rewrite

import "encoding/binary"

// code writes the code section. Its length was checked when it was read.
func (w *writer) code() {
	w.u32(uint32(len(w.m.funcs)))
	for i := range w.m.funcs {
		f := &w.m.funcs[i]
		extra := w.o.Fuel > 0 && (f.loops || f.leaps || f.bulk || f.pays) || w.watch && f.closes
		begins := w.o.Checkpoint && int64(i) == w.m.entry
		if w.shift == 0 || !extra && !f.refs && !begins {
			w.u32(uint32(f.at.end - f.at.start))
			w.keep(int(f.at.start), int(f.at.end))
			continue
		}
		w.sized(func() { w.body(f, extra, begins) })
		if len(w.out) > len(w.m.wasm)*maxGrowth+granted {
			w.err = errTooLarge
			return
		}
	}
}

// body writes the code of a function with its calls moved, its way paid for and what is watched announced, for which
// it may need extra locals. The guest may begin with it.
func (w *writer) body(f *funcInfo, extra, begins bool) {
	wasm := w.m.wasm
	r := &reader{b: wasm[:f.at.end], off: int(f.at.start)}
	var c checks
	if extra {
		groups := r.u32()
		w.u32(groups + 1)
		w.keep(r.off, int(f.code))
		w.out = append(w.out, 2, 0x7f) // two more locals of type i32
		if w.o.Fuel > 0 {
			c = w.checks(f.locals)
		}
	} else {
		w.keep(int(f.at.start), int(f.code))
	}
	if begins {
		w.checkpoint(BeforeStart)
	}
	if f.pays {
		w.out = append(w.out, c.step...)
	}
	copied := int(f.code)
	w.flow.reset()
	for r.off = copied; r.off < int(f.at.end); {
		in := r.next()
		counts := w.flow.step(r.b, &in)
		switch {
		case in.op == opLoop && counts:
			w.keep(copied, in.nextAt)
			w.out = append(w.out, c.turn...)
			copied = in.nextAt
		case in.op == opCall, in.op == opReturnCall, in.op == opRefFunc:
			w.keep(copied, in.start)
			w.announce(in, f.locals)
			if w.o.Checkpoint && in.op == opCall && w.m.pausesAt(in.index) {
				w.checkpoint(max(w.m.pauses[in.index], BeforeCall))
			}
			w.out = append(w.out, in.op)
			w.function(in.index)
			copied = in.nextAt
		case counts, leaps(in.op), costly(&in):
			w.keep(copied, in.start)
			w.out = append(w.out, c.before(&in)...)
			copied = in.start
		}
	}
	w.keep(copied, int(f.at.end))
}

// before returns the code that pays for an instruction that is not a loop.
func (c *checks) before(in *instruction) []byte {
	switch {
	case costly(in):
		return c.bulk
	case leaps(in.op):
		return c.step
	}
	return c.turn
}

// leaps reports whether an instruction calls a function that cannot be known.
func leaps(op byte) bool {
	return op == opCallIndirect || op == opReturnCallIndirect || op == opCallRef || op == opReturnCallRef
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
	w.u32(w.descriptorFunc())
}

// descriptorFunc returns the index of the function that is called with descriptors: the first import of ours, or the next.
func (w *writer) descriptorFunc() uint32 {
	if w.o.Fuel > 0 {
		return w.m.imported + 1
	}
	return w.m.imported
}

// checkpoint calls the host until it returns 0. The stack stays as it is.
//
//	loop; i32.const kind; call $checkpoint; br_if 0; end
func (w *writer) checkpoint(kind byte) {
	w.out = append(w.out, opLoop, 0x40, opI32Const, kind, opCall)
	w.u32(w.m.imported + w.shift - 1) // the last import
	w.out = append(w.out, opBrIf, 0, opEnd)
}

const (
	// bulkShift is the binary logarithm of how many bytes of a bulk operation are a step.
	bulkShift = 12
	// batch is how many turns of loops a function takes before it pays for them. A counter in memory would make a short
	// loop wait for the store of its last turn; this one is in a register. What a function has not paid for when it
	// returns is forgotten: it is less than a batch, and whoever calls it pays for the call.
	batch = 32
)

// checks is code that pays for steps. It leaves the stack as it is.
type checks struct {
	step []byte // at the beginning of a function, and before a call by reference
	turn []byte // at the head of a loop, or before a jump back to it
	bulk []byte // before a bulk operation, whose length is on the stack
}

// checks returns the code for a function, which has two more locals than it had before: the number of turns that its
// loops have taken is in the second.
//
//	step:  global.get $fuel; i32.const 1; i32.sub; local.tee $n; global.set $fuel
//	       local.get $n; i32.const 1; i32.lt_s; if; call $yield; end
//	turn:  local.get $turns; i32.const 1; i32.add; local.tee $turns; i32.const 31; i32.and; i32.eqz; if
//	         the same as for a step with 32 in place of 1
//	       end
//	bulk:  local.tee $n, the same with $n>>12
func (w *writer) checks(locals uint32) (c checks) {
	n, turns := locals, locals+1
	op := func(b []byte, op byte, index uint32) []byte {
		return binary.AppendUvarint(append(b, op), uint64(index))
	}
	// pay takes what is on the stack from what is below it, the fuel, and sees whether it is used up.
	pay := func(b []byte) []byte {
		b = append(b, opI32Sub)
		b = op(b, opLocalTee, n)
		b = op(b, opGlobalSet, w.fuel)
		b = op(b, opLocalGet, n)
		b = append(b, opI32Const, 1, opI32LtS, opIf, 0x40)
		b = op(b, opCall, w.m.imported) // yield, the first import of ours
		return append(b, opEnd)
	}
	c.step = op(c.step, opGlobalGet, w.fuel)
	c.step = pay(append(c.step, opI32Const, 1))

	c.turn = op(c.turn, opLocalGet, turns)
	c.turn = append(c.turn, opI32Const, 1, opI32Add)
	c.turn = op(c.turn, opLocalTee, turns)
	c.turn = append(c.turn, opI32Const, batch-1, 0x71, 0x45, opIf, 0x40) // i32.and, i32.eqz
	c.turn = op(c.turn, opGlobalGet, w.fuel)
	c.turn = pay(append(c.turn, opI32Const, batch))
	c.turn = append(c.turn, opEnd)

	c.bulk = op(c.bulk, opLocalTee, n)
	c.bulk = op(c.bulk, opGlobalGet, w.fuel)
	c.bulk = op(c.bulk, opLocalGet, n)
	c.bulk = pay(append(c.bulk, opI32Const, bulkShift, opI32ShrU))
	return c
}
