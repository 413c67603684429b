package rewrite

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// suite is a file of the core specification's tests, as wast2json writes them.
type suite struct {
	Commands []struct {
		Type     string `json:"type"`
		Line     int    `json:"line"`
		Filename string `json:"filename"`
		Module   string `json:"module_type"`
		Action   struct {
			Type   string      `json:"type"`
			Module string      `json:"module"`
			Field  string      `json:"field"`
			Args   []specValue `json:"args"`
		} `json:"action"`
	} `json:"commands"`
}

type specValue struct {
	Type  string          `json:"type"`
	Lane  string          `json:"lane_type"`
	Value json.RawMessage `json:"value"`
}

// words returns a value as wazero takes it.
func (v *specValue) words() []uint64 {
	if v.Type != "v128" {
		var text string
		_ = json.Unmarshal(v.Value, &text)
		return []uint64{specNumber(v.Type, text)}
	}
	var lanes []string
	_ = json.Unmarshal(v.Value, &lanes)
	var words [2]uint64
	bits := 128 / max(len(lanes), 1)
	for i, text := range lanes {
		at := i * bits
		words[at/64] |= specNumber(v.Lane, text) & (math.MaxUint64 >> (64 - min(bits, 64))) << (at % 64)
	}
	return words[:]
}

func specNumber(kind, text string) uint64 {
	switch {
	case strings.HasPrefix(text, "nan") && strings.HasSuffix(kind, "32"):
		return uint64(math.Float32bits(float32(math.NaN())))
	case strings.HasPrefix(text, "nan"):
		return math.Float64bits(math.NaN())
	case text == "null":
		return 0
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		signed, _ := strconv.ParseInt(text, 10, 64)
		n = uint64(signed)
	}
	if kind == "externref" {
		n++ // 0 is null
	}
	return n
}

// specSuites returns the files of the specification's tests that come with wazero's module, if they do.
func specSuites(t *testing.T) []string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/tetratelabs/wazero").Output()
	if err != nil {
		t.Skipf("go list: %v", err)
	}
	base := filepath.Join(strings.TrimSpace(string(out)), "internal", "integration_test", "spectest")
	var names []string
	for _, dir := range []string{"v1", "v2", "tail-call", "extended-const", "typed-function-references"} {
		found, _ := filepath.Glob(filepath.Join(base, dir, "testdata", "*.json"))
		names = append(names, found...)
	}
	if len(names) == 0 {
		t.Skipf("no tests of the specification in %s", base)
	}
	return names
}

// lenient names tests of modules that should be refused and that wazero accepts as soon as there is a function in them:
// it does not look at what a table of references that cannot be null begins with.
var lenient = map[string][]int{"typed-function-references/testdata/table.json": {57, 61}}

// TestSpecification runs the tests of the core specification with each module as it is and rewritten, and compares all
// results and traps.
func TestSpecification(t *testing.T) {
	names := specSuites(t)
	every := 7
	if os.Getenv("TORTURE") != "" {
		every = 1
	}
	calls := 0
	for n, name := range names {
		if n%every != 0 && !strings.Contains(name, "tail-call") {
			continue
		}
		var s suite
		b, err := os.ReadFile(name)
		if err != nil || json.Unmarshal(b, &s) != nil {
			t.Fatalf("%s: %v", name, err)
		}
		want, made := s.run(t, name, nil)
		calls += made
		for file, lines := range lenient {
			for _, line := range lines {
				if strings.HasSuffix(name, file) {
					delete(want, line)
				}
			}
		}
		for _, o := range []Options{{TableLimit: 1<<32 - 1, Fuel: 3}, {TableLimit: 1<<32 - 1, Fuel: 50, Reset: true}} {
			have, _ := s.run(t, name, &o)
			for line := range slices.Values(s.differences(want, have)) {
				t.Errorf("%s, %+v, %s", filepath.Base(name), o, line)
			}
		}
	}
	t.Logf("%d calls compared", calls)
	if calls < 1000 {
		t.Errorf("only %d calls were made", calls)
	}
}

func (s *suite) differences(want, have map[int]string) (lines []string) {
	for _, c := range s.Commands {
		w, compare := want[c.Line]
		if h, ok := have[c.Line]; ok && compare && h != w {
			lines = append(lines, fmt.Sprintf("line %d: %s, originally %s", c.Line, have[c.Line], want[c.Line]))
		}
	}
	return lines[:min(len(lines), 5)]
}

// run returns what each line gives, with modules rewritten if there are options, and how many calls were made.
func (s *suite) run(t *testing.T, name string, o *Options) (results map[int]string, calls int) {
	t.Helper()
	ctx := context.Background()
	l := newLab(t, 3)
	defer l.runtime.Close(ctx)
	results = map[int]string{}
	var mod api.Module
	for _, c := range s.Commands {
		switch c.Type {
		case "module", "assert_invalid", "assert_uninstantiable":
			if c.Type != "module" && (c.Module != "binary" || o != nil && o.Reset) {
				continue // Reset exports the start function, which makes ref.func of it valid; that harms nobody
			}
			wasm, err := os.ReadFile(filepath.Join(filepath.Dir(name), c.Filename))
			if err != nil {
				t.Fatal(err)
			}
			m, said := l.instantiate(wasm, o)
			results[c.Line] = said
			if c.Type == "module" {
				mod = m
			}
		case "assert_return", "assert_trap", "action":
			if mod == nil || c.Action.Type != "invoke" || c.Action.Module != "" {
				continue
			}
			var args []uint64
			for _, a := range c.Action.Args {
				args = append(args, a.words()...)
			}
			calls++
			results[c.Line] = invoke(ctx, mod, c.Action.Field, args)
		}
	}
	return results, calls
}

// instantiate makes an instance of a module of the specification's tests. One that the host cannot serve, or whose memory
// has a maximum that Reset would lift, gives none.
func (l *lab) instantiate(wasm []byte, o *Options) (api.Module, string) {
	ctx := context.Background()
	d, err := Decode(wasm)
	if err != nil {
		if compiled, own := l.runtime.CompileModule(ctx, wasm); own == nil {
			_ = compiled.Close(ctx)
			return nil, "valid, but cannot be decoded: " + err.Error()
		}
		return nil, "invalid"
	}
	for _, m := range d.Memories {
		if m.HasMax {
			plain := Options{TableLimit: 1<<32 - 1}
			if o != nil {
				plain.Fuel = o.Fuel
				o = &plain
			}
		}
	}
	if o != nil {
		if wasm, err = d.Rewrite(*o); err != nil {
			return nil, err.Error()
		}
	}
	compiled, err := l.runtime.CompileModule(ctx, wasm)
	if err != nil {
		return nil, "invalid"
	}
	m, err := l.runtime.InstantiateModule(ctx, compiled, wazero.NewModuleConfig().WithName("").WithStartFunctions(StartExport))
	if err != nil {
		return nil, "no instance"
	}
	return m, "an instance"
}

// invoke calls a function and says what came of it, but for references, which are addresses.
func invoke(ctx context.Context, mod api.Module, field string, args []uint64) string {
	fn := mod.ExportedFunction(field)
	if fn == nil {
		return "no such function"
	}
	results, err := fn.Call(ctx, args...)
	if slices.Contains(fn.Definition().ResultTypes(), 0x70) {
		results = nil
	}
	return fmt.Sprintf("%x %s", results, first(err))
}
