package http1

import "unsafe"

const (
	// minInput is the size of a new buffer. It holds the head of a common request and much of a small body.
	minInput = 4 << 10
	// minRoom is the least room worth a read.
	minRoom = 512
	// keepInput is the size of the largest buffer kept for the next request. A prefetched body and its head fit.
	keepInput = prefetchSize + minInput
)

// input is a buffer of bytes read from a connection and not yet consumed. Strings of the running request point into what
// was consumed, so nothing below floor moves or is written over before reset: when room runs out, the rest moves to
// a new buffer, and the old one lives as long as the strings do.
type input struct {
	buf   []byte
	floor int
	r, w  int // buf[r:w] is unread
}

// unread returns the bytes that are unread, valid until the next room or reserve.
func (in *input) unread() []byte { return in.buf[in.r:in.w] }

// consume marks n bytes as read; what strings may point to.
func (in *input) consume(n int) {
	in.r += n
	in.floor = in.r
}

// skip marks n bytes as read that nothing points to.
func (in *input) skip(n int) { in.r += n }

// room returns free space behind the unread bytes, at least minRoom.
func (in *input) room() []byte {
	if in.r == in.w {
		in.r, in.w = in.floor, in.floor
	}
	if len(in.buf)-in.w < minRoom {
		in.reserve(2*(in.w-in.r) + minRoom)
	}
	return in.buf[in.w:]
}

// reserve makes the unread bytes the beginning of at least n contiguous ones.
func (in *input) reserve(n int) {
	unread := in.w - in.r
	switch {
	case len(in.buf)-in.r >= n:
		return
	case len(in.buf)-in.floor >= n && in.r-in.floor >= unread: // moving is worth it
		copy(in.buf[in.floor:], in.buf[in.r:in.w])
		in.r = in.floor
	default:
		grown := make([]byte, n+minInput-minRoom)
		copy(grown, in.buf[in.r:in.w])
		in.buf, in.floor, in.r = grown, 0, 0
	}
	in.w = in.r + unread
}

// filled counts n bytes that were read into room.
func (in *input) filled(n int) { in.w += n }

// reset prepares for the next request. Nothing may use strings of the last one any more.
func (in *input) reset() {
	in.floor = 0
	unread := in.w - in.r
	if len(in.buf) > keepInput {
		kept := make([]byte, max(unread, minInput))
		copy(kept, in.buf[in.r:in.w])
		in.buf = kept
	} else if in.r > 0 {
		copy(in.buf, in.buf[in.r:in.w])
	}
	in.r, in.w = 0, unread
}

// text returns the bytes as a string without copying them.
func text(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	return unsafe.String(&b[0], len(b))
}
