package rewrite

import (
	"encoding/binary"
	"slices"
)

// flow follows the blocks of a function, instruction by instruction, to find where it can go round in circles.
//
// A loop is counted at its head, save for a dispatcher: a loop that begins with nothing but blocks, a local and br_table,
// which is how compilers write code that jumps to and fro. In Go's every jump within a function is
//
//	i32.const K; local.set $pc; br $dispatcher
//
// of which most go forward. These are free: between two that are not, code can only go from its beginning to its end.
type flow struct {
	open   []block // innermost last
	serial int
	before [2]instruction // the last instructions, the last one first
}

// block is a block, loop or if that has begun and not ended.
type block struct {
	serial     int
	loop       bool
	dispatcher *dispatcher // of a loop that is one
}

// dispatcher is a loop that jumps where a local says.
type dispatcher struct {
	local   uint32
	blocks  int      // that follow the loop at once
	targets []uint32 // the labels of its br_table; the last is the one for all other values
}

// reset begins a function, whose body is a block.
func (f *flow) reset() {
	*f = flow{open: append(f.open[:0], block{})}
}

// step takes the next instruction of wasm and reports whether it has to be paid for: the jump to a dispatcher that may
// go back, or the loop that is none.
func (f *flow) step(wasm []byte, in *instruction) (counts bool) {
	switch in.op {
	case opBlock, opIf, opLoop:
		f.serial++
		b := block{serial: f.serial, loop: in.op == opLoop}
		if b.loop {
			b.dispatcher = dispatch(wasm[in.nextAt:])
			counts = b.dispatcher == nil
		}
		f.open = append(f.open, b)
	case opEnd:
		if len(f.open) > 0 {
			f.open = f.open[:len(f.open)-1]
		}
	case opBr:
		counts = f.back(wasm, in.index)
	case opBrIf, opBrOnNull, opBrOnNonNull:
		counts = f.dispatches(in.index)
	case opBrTable:
		r := reader{b: wasm[:in.nextAt], off: in.start + 1}
		for range uint64(r.u32()) + 1 {
			counts = f.dispatches(r.u32()) || counts
		}
	}
	f.before[1], f.before[0] = f.before[0], *in
	return counts
}

// depth is how many blocks are open, the function's own included.
func (f *flow) depth() int { return len(f.open) }

// dispatches reports whether a label is a dispatcher's.
func (f *flow) dispatches(label uint32) bool {
	at := len(f.open) - 1 - int(label)
	return at >= 0 && f.open[at].dispatcher != nil
}

// back reports whether an unconditional jump to a label is one to a dispatcher that may go back from there.
func (f *flow) back(wasm []byte, label uint32) bool {
	if !f.dispatches(label) {
		return false
	}
	at := len(f.open) - 1 - int(label)
	d := f.open[at].dispatcher
	set, value := &f.before[0], &f.before[1]
	if set.op != opLocalSet || set.index != d.local || value.op != opI32Const {
		return true
	}
	target := d.targets[min(uint64(len(d.targets)-1), uint64(constant(wasm[value.start+1:])))]
	// It goes to the end of a block, which lies ahead if the block has not ended yet.
	n := d.blocks - int(target)
	return target >= uint32(d.blocks) || at+n >= len(f.open) || f.open[at+n].serial != f.open[at].serial+n
}

// dispatch reads on from a loop and returns what makes it a dispatcher, if it is one.
func dispatch(wasm []byte) *dispatcher {
	d := &dispatcher{}
	r := reader{b: wasm}
	for r.off+1 < len(wasm) && wasm[r.off] == opBlock && wasm[r.off+1] == emptyBlock {
		d.blocks++
		r.off += 2
	}
	if d.blocks == 0 || r.byte() != opLocalGet {
		return nil
	}
	if d.local = r.u32(); r.byte() != opBrTable {
		return nil
	}
	n := r.vector(func() { d.targets = append(d.targets, r.u32()) })
	if d.targets = append(d.targets, r.u32()); r.err != nil || int(n) != len(d.targets)-1 {
		return nil
	}
	d.targets = slices.Clip(d.targets)
	return d
}

// constant reads a signed LEB128 number of 32 bits that is known to be well-formed, as an index of br_table.
func constant(b []byte) uint32 {
	u, n := binary.Uvarint(b[:min(5, len(b))])
	if n > 0 && n < 5 && b[n-1]&0x40 != 0 {
		u |= ^uint64(0) << (7 * n)
	}
	return uint32(u)
}
