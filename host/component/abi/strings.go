package abi

import (
	"errors"
	"fmt"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/appserver-go/appserver/host/component/binary"
)

// utf16Tag marks the length of a string of Latin1UTF16 that is UTF-16.
const utf16Tag = 1 << 31

// maxStringBytes is the most that a string may take in memory (MAX_STRING_BYTE_LENGTH in CanonicalABI.md).
const maxStringBytes = 1<<28 - 1

// liftString reads a string of n units: bytes, or the pairs of bytes of UTF-16.
func (c *conv) liftString(ptr, n uint32) string {
	enc := c.opts.Encoding
	if enc == binary.Latin1UTF16 && n&utf16Tag != 0 {
		enc, n = binary.UTF16, n&^utf16Tag
		return c.liftUTF16(ptr, n)
	}
	switch enc {
	case binary.UTF16:
		return c.liftUTF16(ptr, n)
	case binary.Latin1UTF16:
		b := c.stringBytes(ptr, 2, uint64(n))
		runes := make([]rune, n)
		for i, x := range b {
			runes[i] = rune(x)
		}
		return string(runes)
	}
	b := c.stringBytes(ptr, 1, uint64(n))
	if !utf8.Valid(b) {
		panic(errors.New("invalid utf-8 sequence"))
	}
	return string(b)
}

// stringBytes returns the bytes of a string.
func (c *conv) stringBytes(ptr, align uint32, size uint64) []byte {
	if size > maxStringBytes {
		panic(fmt.Errorf("string is %d bytes long, more than %d", size, maxStringBytes))
	}
	c.charge(size)
	return c.aligned(ptr, align, uint32(size))
}

func (c *conv) liftUTF16(ptr, n uint32) string {
	b := c.stringBytes(ptr, 2, 2*uint64(n))
	c.charge(4 * uint64(n))
	out := make([]byte, 0, n)
	for i := 0; i < len(b); i += 2 {
		r := rune(number(b[i : i+2]))
		if utf16.IsSurrogate(r) {
			low := rune(0)
			if i += 2; i < len(b) {
				low = rune(number(b[i : i+2]))
			}
			if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
				panic(errors.New("invalid utf-16 sequence: unpaired surrogate"))
			}
		}
		out = utf8.AppendRune(out, r)
	}
	return string(out)
}

// lowerString allocates and writes a string, and returns where it is and its length in units, tagged where that says
// what they are.
func (c *conv) lowerString(s string) (ptr, n uint32) {
	if len(s) > maxStringBytes {
		panic(fmt.Errorf("string is %d bytes long, more than %d", len(s), maxStringBytes))
	}
	switch c.opts.Encoding {
	case binary.UTF16:
		return c.lowerUTF16(s)
	case binary.Latin1UTF16:
		return c.lowerLatin1(s)
	}
	ptr = c.realloc(1, uint32(len(s)))
	copy(c.view(ptr, uint32(len(s))), s)
	return ptr, uint32(len(s))
}

func (c *conv) lowerUTF16(s string) (ptr, n uint32) {
	units := make([]uint16, 0, len(s))
	for _, r := range s {
		units = utf16.AppendRune(units, r)
	}
	size := 2 * len(units)
	if size > maxStringBytes {
		panic(fmt.Errorf("string is %d bytes long, more than %d", size, maxStringBytes))
	}
	ptr = c.realloc(2, uint32(size))
	b := c.view(ptr, uint32(size))
	for i, u := range units {
		putNumber(b[2*i:2*i+2], uint64(u))
	}
	return ptr, uint32(len(units))
}

// lowerLatin1 writes a string in Latin-1 if that has all of its characters, else in UTF-16.
func (c *conv) lowerLatin1(s string) (ptr, n uint32) {
	for _, r := range s {
		if r > 0xff {
			ptr, n = c.lowerUTF16(s)
			return ptr, n | utf16Tag
		}
		n++
	}
	ptr = c.realloc(2, n)
	b := c.view(ptr, n)
	i := 0
	for _, r := range s {
		b[i] = byte(r)
		i++
	}
	return ptr, n
}
