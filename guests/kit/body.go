package kit

import (
	"io"
	"net/http"
)

// body reads a request's body from the host as the handler asks for it.
type body struct {
	host   host
	peeked []byte
	eof    bool
	closed bool
	atEOF  func() // called once, when the end is reached
}

func (b *body) Read(p []byte) (int, error) {
	if b.closed {
		return 0, http.ErrBodyReadAfterClose
	}
	if len(p) == 0 {
		return 0, nil
	}
	if len(b.peeked) > 0 {
		n := copy(p, b.peeked)
		b.peeked = b.peeked[n:]
		return n, nil
	}
	if b.eof {
		return 0, io.EOF
	}
	n := b.fill(p)
	if n == 0 && b.eof {
		return 0, io.EOF
	}
	return n, nil
}

// Close makes later reads fail. The host disposes of what was not read.
func (b *body) Close() error {
	b.closed = true
	return nil
}

// peek reports whether there is a body at all, which takes reading its beginning.
func (b *body) peek() bool {
	buf := make([]byte, 512)
	for len(b.peeked) == 0 && !b.eof {
		b.peeked = buf[:b.fill(buf)]
	}
	return len(b.peeked) > 0
}

func (b *body) fill(p []byte) int {
	n, eof := b.host.readBody(ofRequest, p)
	if eof && !b.eof {
		b.eof = true
		b.atEOF()
	}
	return n
}
