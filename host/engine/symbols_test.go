package engine

import "testing"

// TestFindCode fails when another version of wazero keeps its code elsewhere.
func TestFindCode(t *testing.T) {
	m, _ := compileGuest(t, Options{Interrupt: InterruptOff})
	c, ok := findCode(m.compiled)
	if !ok {
		t.Fatal("the code was not found")
	}
	last := -1
	for n, offset := range c.offsets {
		if offset <= last || offset >= c.size {
			t.Errorf("function %d begins at %d of %d, the one before at %d", n, offset, c.size, last)
		}
		last = offset
	}
	if c.imported != len(m.imports) {
		t.Errorf("%d functions are imported, not %d", len(m.imports), c.imported)
	}
	if m.symbols == nil {
		t.Error("nothing was published")
	}
	if m, _ := compileGuest(t, Options{Interrupt: InterruptFuel}); m.symbols != nil {
		t.Error("with fuel there is nothing to publish")
	}
}
