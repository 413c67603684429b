package rewrite

import "fmt"

// Instructions that the package does something about.
const (
	opBlock              = 0x02
	opLoop               = 0x03
	opIf                 = 0x04
	opEnd                = 0x0b
	opBr                 = 0x0c
	opBrIf               = 0x0d
	opBrTable            = 0x0e
	opCall               = 0x10
	opCallIndirect       = 0x11
	opReturnCall         = 0x12
	opReturnCallIndirect = 0x13
	opCallRef            = 0x14
	opReturnCallRef      = 0x15
	opLocalGet           = 0x20
	opLocalSet           = 0x21
	opLocalTee           = 0x22
	opGlobalGet          = 0x23
	opGlobalSet          = 0x24
	opTableSet           = 0x26
	opI32Const           = 0x41
	opI32LtS             = 0x48
	opI32Add             = 0x6a
	opI32Sub             = 0x6b
	opI32ShrU            = 0x76
	opRefFunc            = 0xd2
	opBrOnNull           = 0xd5
	opBrOnNonNull        = 0xd6
	opBulk               = 0xfc // the prefix of bulk memory and saturating conversions
	opVector             = 0xfd // the prefix of SIMD

	bulkMemoryInit = 8
	bulkDataDrop   = 9
	bulkMemoryCopy = 10
	bulkMemoryFill = 11
	bulkTableInit  = 12
	bulkElemDrop   = 13
	bulkTableCopy  = 14
	bulkTableGrow  = 15
	bulkTableSize  = 16
	bulkTableFill  = 17

	emptyBlock = 0x40 // the type of a block that takes and leaves nothing
)

// immediate says what follows an opcode.
type immediate byte

const (
	immInvalid  immediate = iota
	immNone               // nothing
	immBlock              // a block type
	immIndex              // one index
	immTwo                // two indices
	immTargets            // the targets of br_table
	immTypes              // the types of select
	immMemory             // alignment and offset
	immMemories           // one byte: the memory of memory.size and memory.grow
	immS32                // a signed number of 32 bits
	immS64                // a signed number of 64 bits
	immFour               // four bytes
	immEight              // eight bytes
	immHeap               // a heap type
	immPrefix             // a second opcode
)

// immediates of the instructions of one byte: WebAssembly 2.0, tail calls and typed function references.
var immediates = table(
	run{0x00, 0x01, immNone}, run{0x02, 0x04, immBlock}, run{0x05, 0x05, immNone}, run{0x0b, 0x0b, immNone},
	run{0x0c, 0x0d, immIndex}, run{0x0e, 0x0e, immTargets}, run{0x0f, 0x0f, immNone},
	run{opCall, opCall, immIndex}, run{opCallIndirect, opCallIndirect, immTwo},
	run{opReturnCall, opReturnCall, immIndex}, run{opReturnCallIndirect, opReturnCallIndirect, immTwo},
	run{opCallRef, opReturnCallRef, immIndex}, run{0x1a, 0x1b, immNone}, run{0x1c, 0x1c, immTypes},
	run{0x20, 0x26, immIndex}, run{0x28, 0x3e, immMemory}, run{0x3f, 0x40, immMemories},
	run{0x41, 0x41, immS32}, run{0x42, 0x42, immS64}, run{0x43, 0x43, immFour}, run{0x44, 0x44, immEight},
	run{0x45, 0xc4, immNone}, run{0xd0, 0xd0, immHeap}, run{0xd1, 0xd1, immNone}, run{0xd2, 0xd2, immIndex},
	run{0xd4, 0xd4, immNone}, run{0xd5, 0xd6, immIndex}, run{opBulk, opVector, immPrefix},
)

// run is a run of opcodes with the same kind of immediate.
type run struct {
	first, last byte
	imm         immediate
}

func table(runs ...run) (t [256]immediate) {
	for _, r := range runs {
		for op := int(r.first); op <= int(r.last); op++ {
			t[op] = r.imm
		}
	}
	return t
}

// proposals names what unknown opcodes belong to.
func proposal(op byte) error {
	switch {
	case op >= 0x06 && op <= 0x0a, op == 0x18, op == 0x19, op == 0x1f:
		return Unsupported("exception handling")
	case op == 0xfb, op == 0xd3:
		return Unsupported("garbage-collected types")
	case op == 0xfe:
		return Unsupported("threads (atomic instructions)")
	}
	return fmt.Errorf("the instruction %#x is unknown", op)
}

// instruction is a decoded instruction.
type instruction struct {
	op     byte
	sub    uint32 // the second opcode after a prefix
	index  uint32 // the first index or the block's type, if it has one
	start  int
	nextAt int
}

// next reads an instruction.
func (r *reader) next() (in instruction) {
	in.start = r.off
	in.op = r.byte()
	switch immediates[in.op] {
	case immNone:
	case immIndex:
		in.index = r.u32()
	case immS32:
		r.skipSigned(5)
	case immMemory:
		r.memoryArgument()
	case immBlock:
		in.index = r.blockType()
	case immTwo:
		in.index = r.u32()
		r.u32()
	case immTargets:
		r.vector(func() { r.u32() })
		r.u32()
	case immTypes:
		r.vector(func() { r.valueType() })
	case immMemories:
		r.zero()
	case immS64:
		r.skipSigned(10)
	case immFour:
		r.skip(4)
	case immEight:
		r.skip(8)
	case immHeap:
		r.heapType()
	case immPrefix:
		in.sub = r.u32()
		in.index = r.prefixed(in.op, in.sub)
	default:
		if r.err == nil {
			r.fail(proposal(in.op))
		}
	}
	in.nextAt = r.off
	return in
}

// noType is the index of a block's type that is no index.
const noType = ^uint32(0)

// blockType reads the type of a block: a type index as a signed number of 33 bits, which is returned, or a value type
// or 0x40 for nothing, both of which are negative as such a number.
func (r *reader) blockType() uint32 {
	if r.err == nil && r.off < len(r.b) && (r.b[r.off] == refNull || r.b[r.off] == refNonNull) {
		r.valueType()
		return noType
	}
	return r.typeIndex()
}

// typeIndex reads the index of a type that is written as a signed number of 33 bits, and returns noType if it is
// negative, which stands for something else.
func (r *reader) typeIndex() uint32 {
	n := uint64(0)
	for shift := uint(0); shift < 35; shift += 7 {
		c := r.byte()
		n |= uint64(c&0x7f) << shift
		switch {
		case c >= 0x80:
		case c&0x40 != 0:
			return noType
		default:
			return uint32(min(n, uint64(noType-1)))
		}
	}
	r.fail(fmt.Errorf("a number at byte %d is too large", r.off))
	return noType
}

func (r *reader) memoryArgument() {
	if align := r.u32(); align >= 1<<6 {
		r.fail(Unsupported("several memories (multi-memory)"))
	}
	r.u32()
}

// zero reads the byte that stands for the one memory.
func (r *reader) zero() {
	if b := r.byte(); b != 0 && r.err == nil {
		r.fail(Unsupported("several memories (multi-memory)"))
	}
}

// prefixed reads the immediates of an instruction of two opcodes and returns the first index.
func (r *reader) prefixed(op byte, sub uint32) (index uint32) {
	if op == opVector {
		r.vectorImmediates(sub)
		return 0
	}
	switch {
	case sub < bulkMemoryInit: // saturating conversions
	case sub == bulkMemoryInit:
		index = r.u32()
		r.zero()
	case sub == bulkMemoryCopy:
		r.zero()
		r.zero()
	case sub == bulkMemoryFill:
		r.zero()
	case sub == bulkTableInit, sub == bulkTableCopy:
		index = r.u32()
		r.u32()
	case sub <= bulkTableFill:
		index = r.u32()
	default:
		r.fail(fmt.Errorf("the instruction 0xfc %#x is unknown", sub))
	}
	return index
}

// vectorImmediates reads the immediates of a SIMD instruction (core specification 5.4.9).
func (r *reader) vectorImmediates(sub uint32) {
	switch {
	case sub <= 11, sub == 92, sub == 93: // loads and stores
		r.memoryArgument()
	case sub == 12, sub == 13: // v128.const, i8x16.shuffle
		r.skip(16)
	case sub >= 21 && sub <= 34: // lanes
		r.byte()
	case sub >= 84 && sub <= 91: // loads and stores of lanes
		r.memoryArgument()
		r.byte()
	case sub >= 0x100:
		r.fail(Unsupported("relaxed SIMD"))
	}
}
