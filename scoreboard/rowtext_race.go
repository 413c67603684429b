//go:build race

package scoreboard

import "encoding/binary"

// putTexts writes the texts of a call a word at a time: the race detector knows no seqlocks.
func (r Row) putTexts(c *Call) {
	var text [textSize]byte
	n := c.encode(text[:])
	for w := 0; w*8 < n; w++ {
		r.word(rowText + w).Store(binary.LittleEndian.Uint64(text[w*8:]))
	}
}
