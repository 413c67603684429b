package abi

import (
	"errors"
	"fmt"
	"math"

	"github.com/tetratelabs/wazero/api"

	"github.com/appserver-go/appserver/host/component/link"
	"github.com/appserver-go/appserver/host/component/types"
)

// conv converts values between Go and the memory of a component instance (LiftLowerContext in CanonicalABI.md). Lifting
// is from the guest, lowering to it. All methods panic with what is wrong.
type conv struct {
	in   *Instance
	comp int
	opts *link.Opts
	mem  api.Memory
	task *task // of the call that values are lowered for; nil for results

	alloc func(align, n uint32) uint32 // in place of the guest's realloc, for tests
}

func (in *Instance) conv(comp int, opts *link.Opts) conv {
	return conv{in: in, comp: comp, opts: opts, mem: in.memory(opts.Memory)}
}

// lend is a handle that is borrowed for the time of a call.
type lend struct {
	comp  int
	index uint32
}

// maxLifted is how many bytes of values may be made of what a guest passes in one call. Lists in its memory can overlap,
// so that a list of a million strings of a million bytes each takes it two megabytes.
const maxLifted = 128 << 20

// valueCost is what a value takes on our heap, at least.
const valueCost = 16

func (c *conv) charge(n uint64) {
	if n > maxLifted || c.in.lifted+int(n) > maxLifted {
		panic(fmt.Errorf("the guest passed more than %d bytes in one call", maxLifted))
	}
	c.in.lifted += int(n)
}

var errBounds = errors.New("a pointer is out of bounds of memory")

// view returns n bytes of memory, not a copy.
func (c *conv) view(ptr, n uint32) []byte {
	if c.mem == nil {
		panic(errors.New("the function has no memory"))
	}
	b, ok := c.mem.Read(ptr, n)
	if !ok {
		panic(errBounds)
	}
	return b
}

// aligned returns memory for n bytes at an aligned pointer.
func (c *conv) aligned(ptr, align, n uint32) []byte {
	if ptr&(align-1) != 0 {
		panic(errors.New("unaligned pointer"))
	}
	return c.view(ptr, n)
}

// realloc has the guest allocate n bytes.
func (c *conv) realloc(align, n uint32) uint32 {
	if c.alloc != nil {
		return c.alloc(align, n)
	}
	if c.opts.Realloc < 0 {
		panic(errors.New("the function has no realloc"))
	}
	state := &c.in.comps[c.comp]
	before := state.mayLeave
	state.mayLeave = false
	stack := [4]uint64{0, 0, uint64(align), uint64(n)}
	if err := c.in.call(c.opts.Realloc, stack[:]); err != nil {
		panic(err)
	}
	state.mayLeave = before
	ptr := uint32(stack[0])
	if ptr&(align-1) != 0 {
		panic(errors.New("realloc return: result not aligned"))
	}
	if uint64(ptr)+uint64(n) > uint64(c.mem.Size()) {
		panic(errors.New("realloc return: beyond end of memory"))
	}
	return ptr
}

// liftHandle takes a handle from the guest.
func (c *conv) liftHandle(t *types.Type, index uint32) any {
	tab := &c.in.comps[c.comp].handles
	h, err := tab.get(index, t.Resource)
	if err != nil {
		panic(err)
	}
	v := h.value()
	if t.Kind == types.Own {
		switch {
		case h.lends > 0:
			panic(errLent)
		case !h.own:
			panic(errNotOwn)
		}
		tab.remove(index)
		return v
	}
	h.lends++
	c.in.lends = append(c.in.lends, lend{c.comp, index})
	return v
}

// lowerHandle gives a handle to the guest. The component that implements a resource gets a borrow of its own as the
// representation.
func (c *conv) lowerHandle(t *types.Type, v any) uint32 {
	h := newHandle(t.Resource, v, t.Kind == types.Own)
	if t.Kind == types.Borrow {
		if !t.Resource.Host && t.Resource.Comp == c.comp {
			return h.rep
		}
		h.scope = c.task
		c.task.borrows++
	}
	index, err := c.in.comps[c.comp].handles.add(h)
	if err != nil {
		panic(err)
	}
	return index
}

// endLends gives back what was borrowed since the stack had the length.
func (in *Instance) endLends(length int) {
	for _, l := range in.lends[length:] {
		in.comps[l.comp].handles.entries[l.index].lends--
	}
	in.lends = in.lends[:length]
}

func char(n uint32) rune {
	if n >= 0x110000 || n >= 0xd800 && n <= 0xdfff {
		panic(fmt.Errorf("converted integer out of range for `char`: %#x", n))
	}
	return rune(n)
}

// prim makes a value of a primitive type from its core value; higher bits are ignored.
func prim(k types.Kind, n uint64) any {
	switch k {
	case types.Bool:
		return uint32(n) != 0
	case types.S8:
		return int8(n)
	case types.U8:
		return uint8(n)
	case types.S16:
		return int16(n)
	case types.U16:
		return uint16(n)
	case types.S32:
		return int32(n)
	case types.U32:
		return uint32(n)
	case types.S64:
		return int64(n)
	case types.U64:
		return n
	case types.F32:
		return math.Float32frombits(uint32(n))
	case types.F64:
		return math.Float64frombits(n)
	case types.Char:
		return char(uint32(n))
	}
	panic(fmt.Errorf("%s is no primitive type", k))
}

// bits is the inverse of prim. Negative numbers of 32 bits and fewer are extended to 32.
func bits(k types.Kind, v any) uint64 {
	switch k {
	case types.Bool:
		if v.(bool) {
			return 1
		}
		return 0
	case types.S8:
		return uint64(uint32(int32(v.(int8))))
	case types.U8:
		return uint64(v.(uint8))
	case types.S16:
		return uint64(uint32(int32(v.(int16))))
	case types.U16:
		return uint64(v.(uint16))
	case types.S32:
		return uint64(uint32(v.(int32)))
	case types.U32:
		return uint64(v.(uint32))
	case types.S64:
		return uint64(v.(int64))
	case types.U64:
		return v.(uint64)
	case types.F32:
		return uint64(math.Float32bits(v.(float32)))
	case types.F64:
		return math.Float64bits(v.(float64))
	case types.Char:
		return uint64(uint32(char(uint32(v.(rune)))))
	}
	panic(fmt.Errorf("%s is no primitive type", k))
}
