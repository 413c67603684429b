package abi

import (
	"encoding/binary"
	"fmt"

	"github.com/appserver-go/appserver/host/component/types"
)

// putNumber writes a little-endian number of the length of b.
func putNumber(b []byte, n uint64) {
	switch len(b) {
	case 1:
		b[0] = byte(n)
	case 2:
		binary.LittleEndian.PutUint16(b, uint16(n))
	case 4:
		binary.LittleEndian.PutUint32(b, uint32(n))
	default:
		binary.LittleEndian.PutUint64(b, n)
	}
}

// storeAt writes a value to memory. What it refers to is allocated first, while memory may still move.
func (c *conv) storeAt(t *types.Type, v any, ptr uint32) {
	if ptr&(t.Align-1) != 0 {
		panic(fmt.Errorf("unaligned pointer"))
	}
	c.store(t, v, ptr)
}

// store writes a value to memory at a pointer that is aligned. Each number is looked up in memory anew: allocating for
// a string or list can make it grow.
func (c *conv) store(t *types.Type, v any, ptr uint32) {
	switch t.Kind {
	case types.String, types.List:
		if t.Length > 0 {
			c.storeElems(t, v, ptr)
			return
		}
		p, n := c.lowerList(t, v)
		b := c.view(ptr, 8)
		putNumber(b[:4], uint64(p))
		putNumber(b[4:], uint64(n))
	case types.Record, types.Tuple:
		for i, f := range t.Fields {
			c.store(f.Type, v.([]any)[i], ptr+t.Offsets[i])
		}
	case types.Variant, types.Enum, types.Option, types.Result:
		x := v.(Variant)
		putNumber(c.view(ptr, t.Disc), uint64(x.Case))
		if f := t.Fields[x.Case].Type; f != nil {
			c.store(f, x.Value, ptr+t.Payload)
		}
	case types.Flags:
		putNumber(c.view(ptr, t.Size), uint64(v.(uint32)))
	case types.Own, types.Borrow:
		putNumber(c.view(ptr, 4), uint64(c.lowerHandle(t, v)))
	default:
		putNumber(c.view(ptr, t.Size), bits(t.Kind, v))
	}
}

// elements returns how many elements a list has, and a function that returns one.
func elements(v any) (n int, at func(int) any) {
	switch v := v.(type) {
	case []any:
		return len(v), func(i int) any { return v[i] }
	case []byte:
		return len(v), func(i int) any { return v[i] }
	}
	panic(fmt.Errorf("a %T is passed for a list", v))
}

// lowerList allocates and writes a string or list, and returns where it is and its length in units or elements.
func (c *conv) lowerList(t *types.Type, v any) (ptr, n uint32) {
	if t.Kind == types.String {
		return c.lowerString(v.(string))
	}
	count, _ := elements(v)
	size := uint64(count) * uint64(t.Elem.Size)
	if size > maxListBytes {
		panic(fmt.Errorf("list is %d bytes long, more than %d", size, maxListBytes))
	}
	ptr = c.realloc(t.Elem.Align, uint32(size))
	c.storeElems(t, v, ptr)
	return ptr, uint32(count)
}

func (c *conv) storeElems(t *types.Type, v any, ptr uint32) {
	if b, ok := v.([]byte); ok && t.Elem.Kind == types.U8 {
		copy(c.view(ptr, uint32(len(b))), b)
		return
	}
	n, at := elements(v)
	for i := range n {
		c.store(t.Elem, at(i), ptr+uint32(i)*t.Elem.Size)
	}
}

// lowerFlat appends the core values of a value.
func (c *conv) lowerFlat(t *types.Type, v any, out []uint64) []uint64 {
	switch t.Kind {
	case types.String, types.List:
		if t.Length > 0 {
			_, at := elements(v)
			for i := range int(t.Length) {
				out = c.lowerFlat(t.Elem, at(i), out)
			}
			return out
		}
		ptr, n := c.lowerList(t, v)
		return append(out, uint64(ptr), uint64(n))
	case types.Record, types.Tuple:
		for i, f := range t.Fields {
			out = c.lowerFlat(f.Type, v.([]any)[i], out)
		}
		return out
	case types.Variant, types.Enum, types.Option, types.Result:
		x := v.(Variant)
		end := len(out) + t.FlatCount
		out = append(out, uint64(x.Case))
		if f := t.Fields[x.Case].Type; f != nil {
			out = c.lowerFlat(f, x.Value, out)
		}
		for len(out) < end {
			out = append(out, 0)
		}
		return out
	case types.Flags:
		return append(out, uint64(v.(uint32)))
	case types.Own, types.Borrow:
		return append(out, uint64(c.lowerHandle(t, v)))
	}
	return append(out, bits(t.Kind, v))
}

// lowerFlatValues appends the core values of arguments.
func (c *conv) lowerFlatValues(params []types.Field, args []any, out []uint64) {
	for i, p := range params {
		out = c.lowerFlat(p.Type, args[i], out)
	}
}

// lowerSpilled writes arguments to memory that the guest allocates, because they are too many to be passed otherwise.
func (c *conv) lowerSpilled(params []types.Field, args []any) uint64 {
	l := layoutOf(params)
	ptr := c.realloc(l.align, l.size)
	for i, p := range params {
		c.store(p.Type, args[i], ptr+l.offsets[i])
	}
	return uint64(ptr)
}
