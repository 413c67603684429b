package rewrite

import (
	"errors"
	"fmt"
	"unicode/utf8"
)

// ErrTruncated is the error for a module whose bytes end too early.
var ErrTruncated = errors.New("the file ends too early")

// reader reads the binary format. After the first error every method returns zero values.
type reader struct {
	b   []byte
	off int
	err error

	heap *int64 // the highest type index of a heap type so far; nil if that does not matter
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

func (r *reader) byte() byte {
	if r.err != nil || r.off >= len(r.b) {
		r.fail(ErrTruncated)
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

// u32 reads an unsigned LEB128 number of 32 bits; those of one byte, nearly all, on the short way.
func (r *reader) u32() uint32 {
	if r.err == nil && r.off < len(r.b) && r.b[r.off] < 0x80 {
		r.off++
		return uint32(r.b[r.off-1])
	}
	return uint32(r.leb(32))
}

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
		r.fail(ErrTruncated)
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
	return &reader{b: r.b[:start+int(n)], off: start, heap: r.heap}
}

// vector reads a count, calls item so many times and returns the count. It is checked against the bytes there are, so
// that a short file cannot make anyone reserve memory for billions of entries.
func (r *reader) vector(item func()) uint32 {
	n := r.u32()
	if uint64(n) > uint64(len(r.b)-r.off) {
		r.fail(ErrTruncated)
	}
	for range n {
		if r.err != nil {
			return 0
		}
		item()
	}
	return n
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
