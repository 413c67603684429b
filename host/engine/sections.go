package engine

import (
	"errors"
	"fmt"
	"unicode/utf8"
)

// Section ids of the binary format (core specification 5.5.2; 13 is exception handling's).
const (
	sectionCustom = 0
	sectionType   = 1
	sectionImport = 2
	sectionTable  = 4
	sectionMemory = 5
	sectionExport = 7
	sectionTag    = 13
	sectionLast   = sectionTag
)

// unsupported is the error for a module that uses a proposal which wazero does not implement or we leave off.
type unsupported string

func (u unsupported) Error() string {
	return "the module uses " + string(u) + ", which is not supported"
}

// limits are the bounds of a table or memory (core specification 5.3.7).
type limits struct {
	min, max uint64
	hasMax   bool
}

// external is an import or export as the binary spells it.
type external struct {
	module, name string // module is "" for exports
	kind         Kind
}

// tableDef is a table as its bytes in the module, so that it can be written again with other limits.
type tableDef struct {
	prefix, init []byte // what comes before and after the limits
	limits       limits
}

// span is a part of the module's bytes.
type span struct{ start, end int }

// layout is what the engine has to know of a module before wazero gets to see it.
type layout struct {
	imports  []external
	exports  []external
	tables   []tableDef
	memories []limits
	tableSec span // the table section with its id and size, empty without one
}

// scan reads the sections that the engine has limits for. It is no validator, that is wazero's business, but it
// refuses what it cannot follow, so nothing slips past the limits; and it checks counts against the bytes they come
// from, so that a short file cannot make wazero reserve memory for billions of entries.
func scan(wasm []byte) (*layout, error) {
	r := &reader{b: wasm, off: len(magic)}
	l := &layout{}
	var seen [sectionLast + 1]bool
	for r.err == nil && r.off < len(r.b) {
		start := r.off
		id := r.byte()
		size := r.u32()
		body := r.sub(size)
		if r.err != nil {
			return nil, fmt.Errorf("section %d: %w", id, r.err)
		}
		if id > sectionLast {
			return nil, fmt.Errorf("section id %d at byte %d is unknown", id, start)
		}
		if id != sectionCustom {
			if seen[id] {
				return nil, fmt.Errorf("section %d occurs twice", id)
			}
			seen[id] = true
		}
		l.section(id, body)
		if body.err != nil {
			return nil, fmt.Errorf("section %d at byte %d: %w", id, start, body.err)
		}
		if id == sectionTable {
			l.tableSec = span{start, r.off}
		}
	}
	return l, r.err
}

func (l *layout) section(id byte, r *reader) {
	switch id {
	case sectionType:
		r.vector(func() { r.recType() })
	case sectionImport:
		r.vector(func() { l.imports = append(l.imports, r.imported()) })
	case sectionTable:
		r.vector(func() { l.tables = append(l.tables, r.table()) })
	case sectionMemory:
		r.vector(func() { l.memories = append(l.memories, r.limits()) })
	case sectionExport:
		r.vector(func() { l.exports = append(l.exports, r.exported()) })
	case sectionTag:
		r.fail(unsupported("exception handling"))
	default:
		return // wazero's to read
	}
	if r.err == nil && r.off != len(r.b) {
		r.fail(fmt.Errorf("%d bytes are left over", len(r.b)-r.off))
	}
}

var errTruncated = errors.New("the file ends too early")

// reader reads the binary format. After the first error every method returns zero values.
type reader struct {
	b   []byte
	off int
	err error
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

func (r *reader) byte() byte {
	if r.err != nil || r.off >= len(r.b) {
		r.fail(errTruncated)
		return 0
	}
	r.off++
	return r.b[r.off-1]
}

// leb reads an unsigned LEB128 number of at most the given bits (core specification 5.2.2).
func (r *reader) leb(bits uint) uint64 {
	var n uint64
	for shift := uint(0); r.err == nil; shift += 7 {
		c := r.byte()
		part := uint64(c & 0x7f)
		if shift >= bits || bits-shift < 7 && part>>(bits-shift) != 0 {
			r.fail(fmt.Errorf("a number at byte %d is too large", r.off))
			break
		}
		n |= part << shift
		if c < 0x80 {
			return n
		}
	}
	return 0
}

func (r *reader) u32() uint32 { return uint32(r.leb(32)) }

// skipSigned passes over a signed LEB128 number of at most n bytes.
func (r *reader) skipSigned(n int) {
	for range n {
		if r.byte() < 0x80 {
			return
		}
	}
	r.fail(fmt.Errorf("a number at byte %d is too large", r.off))
}

func (r *reader) skip(n uint32) {
	if r.err != nil || uint64(n) > uint64(len(r.b)-r.off) {
		r.fail(errTruncated)
		return
	}
	r.off += int(n)
}

// sub returns a reader of the next n bytes and passes over them.
func (r *reader) sub(n uint32) *reader {
	start := r.off
	r.skip(n)
	if r.err != nil {
		return &reader{err: r.err}
	}
	return &reader{b: r.b[:start+int(n)], off: start}
}

// vector reads a count and calls item so many times.
func (r *reader) vector(item func()) {
	n := r.u32()
	if uint64(n) > uint64(len(r.b)-r.off) {
		r.fail(errTruncated)
	}
	for range n {
		if r.err != nil {
			return
		}
		item()
	}
}

func (r *reader) name() string {
	n := r.u32()
	start := r.off
	r.skip(n)
	if r.err != nil {
		return ""
	}
	s := r.b[start:r.off]
	if !utf8.Valid(s) {
		r.fail(fmt.Errorf("a name at byte %d is not UTF-8", start))
	}
	return string(s)
}
