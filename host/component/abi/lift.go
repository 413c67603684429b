package abi

import (
	"encoding/binary"
	"fmt"

	"github.com/appserver-go/appserver/host/component/types"
)

// number reads a little-endian number of the length of b.
func number(b []byte) uint64 {
	switch len(b) {
	case 1:
		return uint64(b[0])
	case 2:
		return uint64(binary.LittleEndian.Uint16(b))
	case 4:
		return uint64(binary.LittleEndian.Uint32(b))
	}
	return binary.LittleEndian.Uint64(b)
}

// loadAt makes a value of what is in memory at a pointer from the guest.
func (c *conv) loadAt(t *types.Type, ptr uint32) any {
	return c.load(t, c.aligned(ptr, t.Align, t.Size))
}

// load makes a value of the bytes it has in memory.
func (c *conv) load(t *types.Type, b []byte) any {
	switch t.Kind {
	case types.String, types.List:
		if t.Length > 0 {
			return c.loadElems(t, b, uint64(t.Length))
		}
		return c.liftList(t, uint32(number(b[:4])), uint32(number(b[4:8])))
	case types.Record, types.Tuple:
		vs := make([]any, len(t.Fields))
		c.charge(uint64(len(vs)) * valueCost)
		for i, f := range t.Fields {
			vs[i] = c.load(f.Type, b[t.Offsets[i]:][:f.Type.Size])
		}
		return vs
	case types.Variant, types.Enum, types.Option, types.Result:
		f, v := c.oneOf(t, number(b[:t.Disc]))
		if f != nil {
			v.Value = c.load(f, b[t.Payload:][:f.Size])
		}
		return v
	case types.Flags:
		return uint32(number(b[:t.Size])) & flagMask(t)
	case types.Own, types.Borrow:
		return c.liftHandle(t, uint32(number(b[:4])))
	}
	return prim(t.Kind, number(b[:t.Size]))
}

// oneOf returns the type of what a case carries, and the value without it.
func (c *conv) oneOf(t *types.Type, disc uint64) (*types.Type, Variant) {
	if disc >= uint64(len(t.Fields)) {
		panic(fmt.Errorf("unexpected discriminant: %d", disc))
	}
	return t.Fields[disc].Type, Variant{Case: uint32(disc)}
}

// flagMask has a bit for each of the flags.
func flagMask(t *types.Type) uint32 { return uint32(1<<len(t.Labels) - 1) }

// liftList makes a value of a string or list that is n units or elements long.
func (c *conv) liftList(t *types.Type, ptr, n uint32) any {
	if t.Kind == types.String {
		return c.liftString(ptr, n)
	}
	size := uint64(n) * uint64(t.Elem.Size)
	if size > maxListBytes {
		panic(fmt.Errorf("list is %d bytes long, more than %d", size, maxListBytes))
	}
	return c.loadElems(t, c.aligned(ptr, t.Elem.Align, uint32(size)), uint64(n))
}

// maxListBytes is the most that a list may take in memory (MAX_LIST_BYTE_LENGTH in CanonicalABI.md).
const maxListBytes = 1<<28 - 1

func (c *conv) loadElems(t *types.Type, b []byte, n uint64) any {
	if t.Elem.Kind == types.U8 {
		c.charge(n)
		return append(make([]byte, 0, n), b...)
	}
	c.charge(n * valueCost)
	vs := make([]any, n)
	for i := range vs {
		vs[i] = c.load(t.Elem, b[uint32(i)*t.Elem.Size:][:t.Elem.Size])
	}
	return vs
}

// flatReader hands out core values.
type flatReader struct{ values []uint64 }

func (r *flatReader) next() uint64 {
	v := r.values[0]
	r.values = r.values[1:]
	return v
}

// liftFlat makes a value of core values. Where a variant has joined types, the value of a narrower type is in the lower
// bits, as for all functions of the host.
func (c *conv) liftFlat(t *types.Type, r *flatReader) any {
	switch t.Kind {
	case types.String, types.List:
		if t.Length > 0 {
			return c.liftElems(t, r)
		}
		ptr := uint32(r.next())
		return c.liftList(t, ptr, uint32(r.next()))
	case types.Record, types.Tuple:
		vs := make([]any, len(t.Fields))
		for i, f := range t.Fields {
			vs[i] = c.liftFlat(f.Type, r)
		}
		return vs
	case types.Variant, types.Enum, types.Option, types.Result:
		f, v := c.oneOf(t, uint64(uint32(r.next())))
		payload := flatReader{r.values[:t.FlatCount-1]}
		r.values = r.values[t.FlatCount-1:]
		if f != nil {
			v.Value = c.liftFlat(f, &payload)
		}
		return v
	case types.Flags:
		return uint32(r.next()) & flagMask(t)
	case types.Own, types.Borrow:
		return c.liftHandle(t, uint32(r.next()))
	}
	return prim(t.Kind, r.next())
}

// liftElems makes a list of fixed length of core values.
func (c *conv) liftElems(t *types.Type, r *flatReader) any {
	if t.Elem.Kind == types.U8 {
		b := make([]byte, t.Length)
		for i := range b {
			b[i] = byte(r.next())
		}
		return b
	}
	vs := make([]any, t.Length)
	for i := range vs {
		vs[i] = c.liftFlat(t.Elem, r)
	}
	return vs
}

// liftParams appends the arguments of a call by a guest.
func (c *conv) liftParams(f *types.Func, stack []uint64, args []any) []any {
	if flat, spill := f.FlatParams(); !spill {
		r := flatReader{stack[:len(flat)]}
		for _, p := range f.Params {
			args = append(args, c.liftFlat(p.Type, &r))
		}
		return args
	}
	layout := layoutOf(f.Params)
	b := c.aligned(uint32(stack[0]), layout.align, layout.size)
	for i, p := range f.Params {
		args = append(args, c.load(p.Type, b[layout.offsets[i]:][:p.Type.Size]))
	}
	return args
}

// layout is where values are that are passed in memory.
type layout struct {
	size, align uint32
	offsets     []uint32
}

func layoutOf(params []types.Field) layout {
	l := layout{align: 1}
	for _, p := range params {
		l.size = types.AlignTo(l.size, p.Type.Align)
		l.offsets = append(l.offsets, l.size)
		l.size += p.Type.Size
		l.align = max(l.align, p.Type.Align)
	}
	l.size = types.AlignTo(l.size, l.align)
	return l
}
