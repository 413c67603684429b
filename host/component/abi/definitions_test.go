package abi

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"unicode/utf16"

	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental/wazerotest"

	"github.com/appserver-go/appserver/host/component/binary"
	"github.com/appserver-go/appserver/host/component/link"
	"github.com/appserver-go/appserver/host/component/types"
)

// The definitions of CanonicalABI.md once more, as it has them: every rule by itself, over despecialized types and bytes.
// FuzzConversion compares them with what the package does.

// cases returns the cases of what is a variant in the end, nil for others.
func cases(t *types.Type) []types.Field {
	switch t.Kind {
	case types.Variant, types.Enum, types.Option, types.Result:
		return t.Fields
	}
	return nil
}

// members returns the members of what is a record in the end, nil for others.
func members(t *types.Type) []*types.Type {
	var ms []*types.Type
	switch {
	case t.Kind == types.Record || t.Kind == types.Tuple:
		for _, f := range t.Fields {
			ms = append(ms, f.Type)
		}
	case t.Kind == types.List && t.Length > 0:
		for range t.Length {
			ms = append(ms, t.Elem)
		}
	}
	return ms
}

func refAlign(t *types.Type) int {
	if ms := members(t); ms != nil {
		a := 1
		for _, m := range ms {
			a = max(a, refAlign(m))
		}
		return a
	}
	if cs := cases(t); cs != nil {
		return max(refDisc(cs), refPayloadAlign(cs))
	}
	switch t.Kind {
	case types.String, types.List:
		return 4
	}
	return refSize(t)
}

func refDisc(cs []types.Field) int {
	n := math.Ceil(math.Log2(float64(len(cs))) / 8)
	return map[float64]int{0: 1, 1: 1, 2: 2, 3: 4}[n]
}

func refPayloadAlign(cs []types.Field) int {
	a := 1
	for _, c := range cs {
		if c.Type != nil {
			a = max(a, refAlign(c.Type))
		}
	}
	return a
}

func up(n, align int) int { return (n + align - 1) / align * align }

func refSize(t *types.Type) int {
	if ms := members(t); ms != nil {
		s := 0
		for _, m := range ms {
			s = up(s, refAlign(m)) + refSize(m)
		}
		return up(s, refAlign(t))
	}
	if cs := cases(t); cs != nil {
		most := 0
		for _, c := range cs {
			if c.Type != nil {
				most = max(most, refSize(c.Type))
			}
		}
		return up(up(refDisc(cs), refPayloadAlign(cs))+most, refAlign(t))
	}
	switch t.Kind {
	case types.Bool, types.S8, types.U8:
		return 1
	case types.S16, types.U16:
		return 2
	case types.S64, types.U64, types.F64, types.String, types.List:
		return 8
	case types.Flags:
		return map[bool]int{true: 1}[len(t.Labels) <= 8] + map[bool]int{true: 2}[len(t.Labels) > 8 && len(t.Labels) <= 16] +
			map[bool]int{true: 4}[len(t.Labels) > 16]
	}
	return 4
}

func refFlat(t *types.Type) []byte {
	if ms := members(t); ms != nil {
		var flat []byte
		for _, m := range ms {
			flat = append(flat, refFlat(m)...)
		}
		return flat
	}
	if cs := cases(t); cs != nil {
		var flat []byte
		for _, c := range cs {
			if c.Type == nil {
				continue
			}
			for i, f := range refFlat(c.Type) {
				switch {
				case i == len(flat):
					flat = append(flat, f)
				case flat[i] == f:
				case flat[i]+f == types.I32+types.CF32:
					flat[i] = types.I32
				default:
					flat[i] = types.I64
				}
			}
		}
		return append([]byte{types.I32}, flat...)
	}
	switch t.Kind {
	case types.S64, types.U64:
		return []byte{types.I64}
	case types.F32:
		return []byte{types.CF32}
	case types.F64:
		return []byte{types.CF64}
	case types.String, types.List:
		return []byte{types.I32, types.I32}
	}
	return []byte{types.I32}
}

// memoryView is a memory as the definitions see it.
type memoryView struct {
	bytes []byte
	enc   binary.Encoding
}

func (m *memoryView) number(at, size int) (n uint64) {
	for i := range size {
		n |= uint64(m.bytes[at+i]) << (8 * i)
	}
	return n
}

// refLoad makes a value of memory.
func (m *memoryView) refLoad(t *types.Type, at int) any {
	if at%refAlign(t) != 0 {
		panic(fmt.Sprintf("%s at %d", t, at))
	}
	if ms := members(t); ms != nil {
		vs := []any{}
		for _, f := range ms {
			at = up(at, refAlign(f))
			vs = append(vs, m.refLoad(f, at))
			at += refSize(f)
		}
		return asList(t, vs)
	}
	if cs := cases(t); cs != nil {
		v := Variant{Case: uint32(m.number(at, refDisc(cs)))}
		if c := cs[v.Case]; c.Type != nil {
			v.Value = m.refLoad(c.Type, up(at+refDisc(cs), refPayloadAlign(cs)))
		}
		return v
	}
	switch t.Kind {
	case types.String:
		return m.refString(int(m.number(at, 4)), uint32(m.number(at+4, 4)))
	case types.List:
		return m.refList(t, int(m.number(at, 4)), int(m.number(at+4, 4)))
	}
	return refPrim(t, m.number(at, refSize(t)))
}

func (m *memoryView) refList(t *types.Type, at, n int) any {
	vs := []any{}
	for i := range n {
		vs = append(vs, m.refLoad(t.Elem, at+i*refSize(t.Elem)))
	}
	return asList(t, vs)
}

// asList makes bytes of a list of bytes.
func asList(t *types.Type, vs []any) any {
	if t.Kind != types.List || t.Elem.Kind != types.U8 {
		return vs
	}
	b := []byte{}
	for _, v := range vs {
		b = append(b, v.(byte))
	}
	return b
}

func (m *memoryView) refString(at int, n uint32) string {
	enc := m.enc
	if enc == binary.Latin1UTF16 && n>>31 == 1 {
		enc, n = binary.UTF16, n<<1>>1
	}
	switch enc {
	case binary.UTF8:
		return string(m.bytes[at : at+int(n)])
	case binary.UTF16:
		var units []uint16
		for i := range int(n) {
			units = append(units, uint16(m.number(at+2*i, 2)))
		}
		return string(utf16.Decode(units))
	}
	var rs []rune
	for _, b := range m.bytes[at : at+int(n)] {
		rs = append(rs, rune(b))
	}
	return string(rs)
}

func refPrim(t *types.Type, n uint64) any {
	switch t.Kind {
	case types.Bool:
		return n != 0
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
	case types.U32, types.Flags:
		return uint32(n)
	case types.S64:
		return int64(n)
	case types.U64:
		return n
	case types.F32:
		return math.Float32frombits(uint32(n))
	case types.F64:
		return math.Float64frombits(n)
	}
	return rune(n)
}

// refLift makes a value of core values, of which it takes those that it needs from the front.
func (m *memoryView) refLift(t *types.Type, flat *[]uint64) any {
	next := func() uint64 {
		v := (*flat)[0]
		*flat = (*flat)[1:]
		return v
	}
	if ms := members(t); ms != nil {
		vs := []any{}
		for _, f := range ms {
			vs = append(vs, m.refLift(f, flat))
		}
		return asList(t, vs)
	}
	if cs := cases(t); cs != nil {
		rest := slices.Clone((*flat)[1:len(refFlat(t))])
		v := Variant{Case: uint32(next())}
		*flat = (*flat)[len(rest):]
		if c := cs[v.Case]; c.Type != nil {
			v.Value = m.refLift(c.Type, &rest)
		}
		for _, unused := range rest {
			if unused != 0 {
				panic("a core value that a case does not use is not zero")
			}
		}
		return v
	}
	switch t.Kind {
	case types.String:
		at := int(next())
		return m.refString(at, uint32(next()))
	case types.List:
		at := int(next())
		return m.refList(t, at, int(next()))
	}
	return refPrim(t, next())
}

// chooser makes types and values of random numbers.
type chooser struct{ *rand.Rand }

func (c chooser) typ(depth int) *types.Type {
	must := func(t *types.Type, err error) *types.Type {
		if err != nil {
			panic(err)
		}
		return t
	}
	if depth == 0 || c.IntN(3) == 0 {
		return types.Prim(types.Kind(c.IntN(int(types.String) + 1)))
	}
	labels := make([]string, 1+c.IntN(32))
	fields := func(n int, none bool) (fs []types.Field) {
		for i := range n {
			f := types.Field{Name: fmt.Sprint("f", i)}
			if !none || c.IntN(3) > 0 {
				f.Type = c.typ(depth - 1)
			}
			fs = append(fs, f)
		}
		return fs
	}
	switch c.IntN(9) {
	case 0:
		return must(types.NewList(c.typ(depth-1), 0))
	case 1:
		return must(types.NewList(c.typ(depth-1), 1+uint32(c.IntN(4))))
	case 2:
		return must(types.NewRecord(types.Record, fields(1+c.IntN(5), false)))
	case 3:
		return must(types.NewRecord(types.Tuple, fields(1+c.IntN(5), false)))
	case 4:
		return must(types.NewVariant(types.Variant, fields(1+c.IntN(300), true)))
	case 5:
		return must(types.NewEnum(make([]string, 1+c.IntN(300))))
	case 6:
		return must(types.NewOption(c.typ(depth - 1)))
	case 7:
		return must(types.NewFlags(labels))
	}
	f := fields(2, true)
	return must(types.NewResult(f[0].Type, f[1].Type))
}

func (c chooser) value(t *types.Type) any {
	switch t.Kind {
	case types.Bool:
		return c.IntN(2) == 1
	case types.Char:
		return c.char()
	case types.F32:
		return math.Float32frombits(c.Uint32() &^ (1 << 30)) // no NaN, which is not equal to itself
	case types.F64:
		return math.Float64frombits(c.Uint64() &^ (1 << 62))
	case types.String:
		rs := make([]rune, c.IntN(6))
		for i := range rs {
			rs[i] = c.char()
		}
		return string(rs)
	case types.Flags:
		return c.Uint32() & flagMask(t)
	case types.List:
		n := int(t.Length)
		if n == 0 {
			n = c.IntN(4)
		}
		vs := []any{}
		for range n {
			vs = append(vs, c.value(t.Elem))
		}
		return asList(t, vs)
	case types.Record, types.Tuple:
		vs := []any{}
		for _, f := range t.Fields {
			vs = append(vs, c.value(f.Type))
		}
		return vs
	case types.Variant, types.Enum, types.Option, types.Result:
		v := Variant{Case: uint32(c.IntN(len(t.Fields)))}
		if f := t.Fields[v.Case]; f.Type != nil {
			v.Value = c.value(f.Type)
		}
		return v
	}
	return refPrim(t, c.Uint64())
}

func (c chooser) char() rune {
	for {
		limit := []rune{0x80, 0x100, 0xffff, 0x110000}[c.IntN(4)]
		if r := c.Int32N(limit); r < 0xd800 || r > 0xdfff {
			return r
		}
	}
}

// FuzzConversion writes values to memory and to core values, and has the definitions and the package read them.
func FuzzConversion(f *testing.F) {
	for seed := range uint64(500) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		c := chooser{rand.New(rand.NewPCG(seed, 1))}
		typ := c.typ(3)
		v := c.value(typ)
		m := &memoryView{bytes: make([]byte, 1<<16), enc: binary.Encoding(c.IntN(3))}
		if int(typ.Size) != refSize(typ) || int(typ.Align) != refAlign(typ) {
			t.Fatalf("%s has size %d and alignment %d, not %d and %d", typ, typ.Size, typ.Align, refSize(typ), refAlign(typ))
		}
		var memory api.Memory = &wazerotest.Memory{Bytes: m.bytes}
		top := up(refSize(typ), 8)
		cx := &conv{in: &Instance{comps: make([]comp, 1)}, opts: &link.Opts{Encoding: m.enc}, mem: memory}
		cx.alloc = func(align, n uint32) uint32 {
			at := up(top, int(align))
			if top = at + int(n); top > len(m.bytes) {
				t.Skip("a value too large for the memory")
			}
			return uint32(at)
		}
		if top > len(m.bytes) {
			t.Skip("a type too large for the memory")
		}
		cx.storeAt(typ, v, 0)
		if got := m.refLoad(typ, 0); !reflect.DeepEqual(got, v) {
			t.Errorf("%s: stored %v, which is %v by the definitions", typ, v, got)
		}
		if got := cx.loadAt(typ, 0); !reflect.DeepEqual(got, v) {
			t.Errorf("%s: stored %v, loaded %v", typ, v, got)
		}
		if flat := refFlat(typ); len(flat) != typ.FlatCount && len(flat) <= types.MaxFlatParams || len(flat) <= types.MaxFlatParams && !slices.Equal(flat, typ.Flat) {
			t.Fatalf("%s flattens to %x, not %x", typ, typ.Flat, flat)
		} else if len(flat) > types.MaxFlatParams {
			return
		}
		core := cx.lowerFlat(typ, v, nil)
		rest := slices.Clone(core)
		if got := m.refLift(typ, &rest); !reflect.DeepEqual(got, v) || len(rest) != 0 {
			t.Errorf("%s: lowered %v, which is %v by the definitions", typ, v, got)
		}
		if got := cx.liftFlat(typ, &flatReader{core}); !reflect.DeepEqual(got, v) {
			t.Errorf("%s: lowered %v, lifted %v", typ, v, got)
		}
	})
}
