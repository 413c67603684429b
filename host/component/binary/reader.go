package binary

import (
	"errors"
	"fmt"
	"unicode/utf8"
)

// Limits of what is parsed. Real components stay far below: those that compilers and composition tools make have some
// thousand definitions and are nested five deep.
const (
	maxDepth = 100     // of components and types in each other
	maxDefs  = 200_000 // definitions, declarations, fields, labels and options of the whole file
	maxName  = 100_000 // bytes
)

// ErrTruncated is the error for a file that ends too early.
var ErrTruncated = errors.New("the file ends too early")

// reader reads the binary format. After the first error every method returns zero values.
type reader struct {
	b     []byte
	off   int // of the next byte, in the whole file
	end   int
	depth int
	items *int // how many more may be read
	err   error
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = fmt.Errorf("at byte %#x: %w", r.off, err)
	}
}

func (r *reader) byte() byte {
	if r.err != nil || r.off >= r.end {
		r.fail(ErrTruncated)
		return 0
	}
	r.off++
	return r.b[r.off-1]
}

// u32 reads an unsigned LEB128 number of 32 bits (core specification 5.2.2).
func (r *reader) u32() uint32 {
	var n uint32
	for shift := 0; r.err == nil; shift += 7 {
		c := r.byte()
		if shift == 28 && c > 0x0f {
			r.fail(errors.New("a number is too large"))
			break
		}
		n |= uint32(c&0x7f) << shift
		if c < 0x80 {
			return n
		}
	}
	return 0
}

// zero reads a byte that has to be zero.
func (r *reader) zero(of string) {
	if c := r.byte(); c != 0 && r.err == nil {
		r.fail(fmt.Errorf("%s has the unknown byte %#x", of, c))
	}
}

// flag reads a byte that is 0 or 1.
func (r *reader) flag() bool {
	c := r.byte()
	if c > 1 {
		r.fail(fmt.Errorf("a flag is %#x", c))
	}
	return c == 1
}

// bytes returns the next n bytes.
func (r *reader) bytes(n uint32) []byte {
	if r.err != nil || uint64(n) > uint64(r.end-r.off) {
		r.fail(ErrTruncated)
		return nil
	}
	r.off += int(n)
	return r.b[r.off-int(n) : r.off : r.off]
}

// sub returns a reader of the next n bytes and passes over them.
func (r *reader) sub(n uint32) *reader {
	s := &reader{b: r.b, off: r.off, depth: r.depth, items: r.items}
	r.bytes(n)
	s.end, s.err = r.off, r.err
	return s
}

// vector reads a count and calls item so many times.
func (r *reader) vector(item func()) {
	n := r.u32()
	if uint64(n) > uint64(r.end-r.off) { // each takes a byte at least
		r.fail(ErrTruncated)
	}
	if *r.items -= int(n); *r.items < 0 {
		r.fail(fmt.Errorf("the component has more than %d definitions", maxDefs))
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
	if n > maxName {
		r.fail(fmt.Errorf("a name has %d bytes, more than %d", n, maxName))
	}
	s := r.bytes(n)
	if !utf8.Valid(s) {
		r.fail(errors.New("a name is not UTF-8"))
	}
	return string(s)
}

// deeper bounds how deep definitions are nested while f reads one.
func (r *reader) deeper(f func()) {
	if r.depth++; r.depth > maxDepth {
		r.fail(fmt.Errorf("definitions are nested more than %d deep", maxDepth))
	}
	if r.err == nil {
		f()
	}
	r.depth--
}
