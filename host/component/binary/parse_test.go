package binary

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// component puts sections together.
func component(sections ...[]byte) []byte {
	return slices.Concat(append([][]byte{Magic}, sections...)...)
}

// section is a section of one definition.
func section(id byte, def ...byte) []byte { return append([]byte{id, byte(len(def) + 1), 1}, def...) }

func TestParseCommitted(t *testing.T) {
	for _, name := range []string{"hello", "probe"} {
		b := committed(t, name)
		c, err := Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		kinds := map[string]int{}
		for _, d := range c.Defs {
			switch d.(type) {
			case CoreModule:
				kinds["module"]++
			case Canon:
				kinds["canon"]++
			case Import:
				kinds["import"]++
			case Export:
				kinds["export"]++
			}
		}
		if kinds["module"] != 3 || kinds["export"] != 1 || kinds["import"] < 3 || kinds["canon"] < 8 {
			t.Errorf("%s: %v", name, kinds)
		}
	}
}

func committed(t testing.TB, name string) []byte {
	b, err := os.ReadFile(filepath.Join("..", "..", "..", "testdata", "wasm", "component", name+".wasm"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestParseErrors(t *testing.T) {
	deep := Magic
	for range maxDepth + 1 {
		n := len(deep)
		deep = slices.Concat(Magic, []byte{sectionComponent, byte(n&0x7f | 0x80), byte(n>>7&0x7f | 0x80), byte(n >> 14)}, deep)
	}
	tests := []struct {
		name string
		wasm []byte
		err  string
	}{
		{"core module", []byte("\x00asm\x01\x00\x00\x00"), "begins with"},
		{"unknown section", component([]byte{13, 0}), "section id 13"},
		{"bytes left over", component([]byte{sectionAlias, 2, 0, 0}), "too many"},
		{"more than there are", component([]byte{sectionAlias, 1, 9}), ErrTruncated.Error()},
		{"number too large", component([]byte{sectionAlias, 0xff, 0xff, 0xff, 0xff, 0x7f}), "too large"},
		{"bad primitive", component(section(sectionType, byte(IsList), 0x60)), "0x60"},
		{"bad type", component(section(sectionType, 0x20)), "unknown byte 0x20"},
		{"bad canon", component(section(sectionCanon, 0x77)), "0x77"},
		{"option twice", component(section(sectionCanon, 1, 0, 0, 2, 0, 1)), "twice"},
		{"bad flag", component(section(sectionType, byte(IsResult), 2)), "flag"},
		{"name not UTF-8", component(section(sectionImport, 0, 1, 0xff, 1, 0)), "UTF-8"},
		{"import in an instance", component(section(sectionType, byte(IsInstance), 1, 3, 0, 1, 'a', 1, 0)), "has an import"},
		{"core export of a type", component(section(sectionAlias, 3, 1, 0, 1, 'a')), "cannot export"},
		{"too deep", deep, "nested"},
	}
	for _, tt := range tests {
		if _, err := Parse(tt.wasm); err == nil || !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.err)
		}
	}
}

// TestParseTruncated cuts a component at every byte.
func TestParseTruncated(t *testing.T) {
	b := committed(t, "hello")
	for n := range b {
		_, err := Parse(b[:n]) // what ends with a section is a whole component
		if err != nil && !errors.Is(err, ErrTruncated) {
			t.Fatalf("at %d: %v", n, err)
		}
	}
}

func TestEveryBuiltinParses(t *testing.T) {
	for op := range operands {
		var def []byte
		for _, o := range operands[op].operands {
			switch o {
			case 't', 'm', 'a', 'o':
				def = append(def, 0)
			case 'r':
				def = append(def, 1, 0)
			case 'x':
				def = append(def, 0x7f, 0)
			}
		}
		c, err := Parse(component(section(sectionCanon, append([]byte{byte(op)}, def...)...)))
		if err != nil {
			t.Errorf("%s: %v", op, err)
			continue
		}
		if got := c.Defs[0].(Canon); got.Op != op || op.String() == "" || op.Async() != (op > OpResourceRep) {
			t.Errorf("%s is parsed as %+v", op, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(committed(f, "hello"))
	f.Add(committed(f, "probe"))
	f.Add(component(section(sectionType, byte(IsComponent), 1, 1, byte(IsVariant), 1, 1, 'a', 1, 0x7f, 0)))
	f.Fuzz(func(_ *testing.T, b []byte) { _, _ = Parse(b) })
}
