//go:build !race

package scoreboard

// putTexts writes the texts of a call. The caller has made the sequence odd.
func (r Row) putTexts(c *Call) { c.encode(r.mem[rowText*8:]) }
