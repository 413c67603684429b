package rewrite

import (
	"bytes"
	"errors"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
)

// body is a module with one function ()->() of the instructions, with an i32, an i64, an f32, an f64 and a v128 as locals, a
// memory, two tables, two globals, and a passive data and element segment.
func body(code ...byte) []byte {
	f := slices.Concat(list([]byte{1, i32}, []byte{1, i64}, []byte{1, f32}, []byte{1, f64}, []byte{1, 0x7b}), code, []byte{0x0b})
	return wasm(
		sect(sectionType, list([]byte{0x60, 0, 0}, []byte{0x60, 1, i32, 1, i32})), sect(sectionFunction, list(uleb(0), uleb(1))),
		sect(sectionTable, list([]byte{0x70, 0, 1}, []byte{0x6f, 0, 1})), sect(sectionMemory, list([]byte{0, 1})),
		sect(sectionGlobal, list([]byte{i32, 1, 0x41, 0, 0x0b}, []byte{i64, 0, 0x42, 0, 0x0b})),
		sect(sectionElement, list([]byte{1, 0, 1, 1})), sect(sectionDataCount, uleb(1)),
		sect(sectionCode, list(append(uleb(len(f)), f...), []byte{4, 0, 0x20, 0, 0x0b})), sect(sectionData, list([]byte{1, 1, 'x'})),
	)
}

// instructions has code with every kind of immediate, all of it valid.
var instructions = map[string][]byte{
	"nop and unreachable":       {0x01, 0x00},
	"blocks":                    {0x02, 0x40, 0x0b, 0x03, 0x40, 0x0b, 0x41, 1, 0x04, 0x40, 0x05, 0x0b},
	"block with a value":        {0x02, 0x7f, 0x41, 0, 0x0b, 0x1a, 0x41, 0, 0x03, 0x01, 0x0b, 0x1a},
	"block with a typed ref":    {0x02, 0x63, 0x00, 0xd0, 0x00, 0x0b, 0x1a},
	"branches":                  {0x02, 0x40, 0x0c, 0, 0x0b, 0x41, 0, 0x0d, 0, 0x41, 0, 0x0e, 2, 0, 0, 0},
	"return":                    {0x0f},
	"calls":                     {0x10, 0, 0x41, 0, 0x11, 0, 0},
	"tail call":                 {0x12, 0},
	"indirect tail call":        {0x41, 0, 0x13, 0, 0},
	"call by reference":         {0xd0, 0x00, 0x14, 0},
	"tail call by reference":    {0xd0, 0x00, 0x15, 0},
	"select":                    {0x41, 0, 0x41, 0, 0x41, 0, 0x1b, 0x1a, 0x41, 0, 0x41, 0, 0x41, 0, 0x1c, 1, 0x7f, 0x1a},
	"variables":                 {0x20, 0, 0x21, 0, 0x20, 1, 0x22, 1, 0x1a, 0x23, 0, 0x24, 0},
	"tables":                    {0x41, 0, 0x41, 0, 0x25, 0, 0x26, 0},
	"loads and stores":          {0x41, 0, 0x28, 2, 0x80, 0x80, 4, 0x1a, 0x41, 0, 0x42, 0, 0x37, 3, 0},
	"memory size and grow":      {0x3f, 0, 0x40, 0, 0x1a},
	"constants":                 {0x41, 0xff, 0xff, 0xff, 0xff, 0x7f, 0x1a, 0x42, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x7f, 0x1a, 0x43, 1, 2, 3, 4, 0x1a, 0x44, 1, 2, 3, 4, 5, 6, 7, 8, 0x1a},
	"sign extension":            {0x41, 0, 0xc0, 0x1a, 0x42, 0, 0xc4, 0x1a},
	"references":                {0xd0, 0x70, 0xd1, 0x1a, 0xd2, 1, 0x1a, 0xd0, 0x6f, 0x1a},
	"references that are typed": {0xd2, 1, 0xd4, 0x1a, 0x02, 0x40, 0xd0, 0x70, 0xd5, 0, 0x1a, 0x0b},
	"saturating conversion":     {0x43, 0, 0, 0, 0, 0xfc, 0, 0x1a},
	"memory.init, data.drop":    {0x41, 0, 0x41, 0, 0x41, 0, 0xfc, 8, 0, 0, 0xfc, 9, 0},
	"memory.copy, memory.fill":  {0x41, 0, 0x41, 0, 0x41, 0, 0xfc, 10, 0, 0, 0x41, 0, 0x41, 0, 0x41, 0, 0xfc, 11, 0},
	"table.init, elem.drop":     {0x41, 0, 0x41, 0, 0x41, 0, 0xfc, 12, 0, 0, 0xfc, 13, 0},
	"table.copy":                {0x41, 0, 0x41, 0, 0x41, 0, 0xfc, 14, 0, 0},
	"table.grow, size, fill":    {0xd0, 0x6f, 0x41, 1, 0xfc, 15, 1, 0x1a, 0xfc, 16, 1, 0x1a, 0x41, 0, 0xd0, 0x70, 0x41, 0, 0xfc, 17, 0},
	"vector constants":          slices.Concat([]byte{0xfd, 12}, make([]byte, 16), []byte{0x20, 4, 0xfd, 13}, make([]byte, 16), []byte{0x21, 4}),
	"vector lanes":              {0x20, 4, 0xfd, 21, 3, 0x1a, 0x20, 4, 0x41, 0, 0xfd, 23, 1, 0x21, 4},
	"vector memory":             {0x41, 0, 0xfd, 0, 4, 0, 0x21, 4, 0x41, 0, 0x20, 4, 0xfd, 84, 0, 0, 1, 0x21, 4, 0x41, 0, 0xfd, 92, 2, 0, 0x21, 4},
	"vector arithmetic":         {0x20, 4, 0x20, 4, 0xfd, 0xae, 1, 0x21, 4},
	"code that is dead":         {0x00, 0x03, 0x40, 0x0b, 0xfc, 10, 0, 0, 0x10, 0},
}

func TestInstructions(t *testing.T) {
	l := newLab(t, 1)
	for name, code := range instructions {
		t.Run(name, func(t *testing.T) {
			module := body(code...)
			if _, err := l.runtime.CompileModule(t.Context(), module); err != nil {
				t.Fatalf("the original: %v", err)
			}
			d, err := Decode(module)
			if err != nil {
				t.Fatal(err)
			}
			got, err := d.Rewrite(Options{TableLimit: 100, Fuel: 1, Reset: true})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := l.runtime.CompileModule(t.Context(), got); err != nil {
				t.Errorf("%v\n%x", err, got)
			}
		})
	}
}

func TestDecodeRefuses(t *testing.T) {
	for _, test := range []struct {
		name string
		wasm []byte
		err  string
	}{
		{"no module", []byte("text"), "does not begin with"},
		{"unknown instruction", body(0x27), "instruction 0x27 is unknown"},
		{"legacy exceptions", body(0x06, 0x40, 0x0b), "exception handling"},
		{"garbage-collected types", body(0xfb, 0), "garbage-collected"},
		{"atomics", body(0xfe, 3, 0), "threads"},
		{"relaxed SIMD", body(0xfd, 0x80, 2), "relaxed SIMD"},
		{"unknown bulk", body(0xfc, 18), "0xfc 0x12 is unknown"},
		{"second memory", body(0x41, 0, 0x28, 0x42, 1, 0), "multi-memory"},
		{"second memory grows", body(0x3f, 1), "multi-memory"},
		{"our global", body(0x23, 2, 0x1a), "unknown index 2"},
		{"our local", body(0x20, 5, 0x1a), "unknown index 5"},
		{"a function too many", body(0x10, 2), "unknown index 2"},
		{"a reference too many", body(0xd2, 2, 0x1a), "unknown index 2"},
		{"our type", body(0x41, 0, 0x11, 2, 0), "unknown index 2"},
		{"our type as a block's", body(0x02, 2, 0x0b), "unknown index 2"},
		{"no end", wasm(sect(1, list([]byte{0x60, 0, 0})), sect(3, list(uleb(0))), sect(10, list([]byte{2, 0, 1}))), "no end"},
		{"code after the end", body(0x0b, 0x01), "code follows its end"},
		{"locals without end", wasm(sect(1, list([]byte{0x60, 0, 0})), sect(3, list(uleb(0))), sect(10, list([]byte{8, 1, 0xff, 0xff, 0xff, 0xff, 0x0f, i32, 0x0b}))), "4294967295 locals"},
		{"code without a type", wasm(sect(10, list([]byte{2, 0, 0x0b}))), "no type"},
		{"a type without code", wasm(sect(1, list([]byte{0x60, 0, 0})), sect(3, list(uleb(0)))), "1 functions have a type and 0 have code"},
		{"unknown type", wasm(sect(3, list(uleb(7))), sect(10, list([]byte{2, 0, 0x0b}))), "type 7 does not exist"},
		{"sections out of order", wasm(sect(5, list()), sect(1, list())), "out of order"},
		{"start of nothing", wasm(sect(8, uleb(0))), "function 0 does not exist"},
		{"export of nothing", wasm(sect(7, list(slices.Concat(text("a"), []byte{0, 0})))), "function 0 does not exist"},
		{"export of our global", wasm(sect(7, list(slices.Concat(text("a"), []byte{3, 0})))), "unknown global 0"},
		{"our import", wasm(sect(1, list([]byte{0x60, 0, 0})), sect(2, list(slices.Concat(text(HostModule), text(YieldImport), []byte{0, 0})))), "reserved"},
		{"our type as an import's", wasm(sect(2, list(slices.Concat(text("a"), text("b"), []byte{0, 0})))), "type 0 of the import"},
		{"our export", wasm(sect(5, list([]byte{0, 1})), sect(7, list(slices.Concat(text(FuelExport), []byte{2, 0})))), "reserved"},
		{"element of unknown form", wasm(sect(9, list(uleb(8)))), "unknown flags 8"},
		{"global of unknown mutability", wasm(sect(6, list([]byte{i32, 2, 0x41, 0, 0x0b}))), "unknown mutability 2"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, err := Decode(test.wasm); err == nil || !strings.Contains(err.Error(), test.err) {
				t.Errorf("got %v, want %q in it", err, test.err)
			}
		})
	}
}

func TestTables(t *testing.T) {
	for _, test := range []struct {
		name  string
		table []byte // an entry of the table section
		want  Limits
	}{
		{"without maximum", []byte{0x70, 0, 1}, Limits{1, 100, true}},
		{"with a larger maximum", []byte{0x70, 1, 1, 101}, Limits{1, 100, true}},
		{"with a smaller maximum", []byte{0x70, 1, 1, 99}, Limits{1, 99, true}},
		{"externref", []byte{0x6f, 0, 100}, Limits{100, 100, true}},
		{"typed reference", []byte{refNull, 0, 0, 1}, Limits{1, 100, true}},
		{"with a start value", []byte{tableWithInit, 0, refNull, 0x70, 0, 5, 0xd2, 0, 0x0b}, Limits{5, 100, true}},
	} {
		t.Run(test.name, func(t *testing.T) {
			d, err := Decode(wasm(sect(1, list([]byte{0x60, 0, 0})), sect(3, list(uleb(0))), sect(4, list(test.table)), sect(10, list([]byte{2, 0, 0x0b}))))
			if err != nil {
				t.Fatal(err)
			}
			got, err := d.Rewrite(Options{TableLimit: 100})
			if err != nil {
				t.Fatal(err)
			}
			again, err := Decode(got)
			if err != nil || len(again.Tables) != 1 || again.Tables[0] != test.want {
				t.Errorf("%v, %v", again.Tables, err)
			}
			if _, err := newLab(t, 1).runtime.CompileModule(t.Context(), got); err != nil {
				t.Error(err)
			}
		})
	}
	d, err := Decode(wasm(sect(4, list([]byte{0x70, 0, 101}))))
	if err != nil {
		t.Fatal(err)
	}
	var table *TableError
	if _, err := d.Rewrite(Options{TableLimit: 100}); !errors.As(err, &table) || table.Min != 101 {
		t.Errorf("a table that starts over the limit: %v", err)
	}
}

func TestFacts(t *testing.T) {
	for name, lasting := range map[string]string{
		"tables": "tables", "table.copy": "tables", "table.init, elem.drop": "tables", "table.grow, size, fill": "tables",
		"memory.init, data.drop": "segments", "variables": "", "memory.copy, memory.fill": "",
	} {
		d, err := Decode(body(instructions[name]...))
		if err != nil {
			t.Fatal(err)
		}
		if got := d.Facts.Lasting(); !strings.Contains(got, lasting) || (got == "") != (lasting == "") {
			t.Errorf("%s: %q", name, got)
		}
		if !slices.Equal(d.Facts.Globals, []uint32{0}) {
			t.Errorf("%s: mutable globals %v", name, d.Facts.Globals)
		}
	}
	for _, valueType := range [][]byte{{0x70, 1, 0xd0, 0x70, 0x0b}, slices.Concat([]byte{0x7b, 1, 0xfd, 12}, make([]byte, 16), []byte{0x0b})} {
		d, err := Decode(wasm(sect(6, list(valueType))))
		if err != nil || d.Facts.Lasting() == "" {
			t.Errorf("a global of type %#x: %v", valueType[0], err)
		}
	}
}

// TestWatched looks at modules that close descriptors: a call by name is announced, one by reference cannot be.
func TestWatched(t *testing.T) {
	closer := func(elements ...[]byte) []byte {
		return wasm(sect(1, list([]byte{0x60, 1, i32, 1, i32})),
			sect(2, list(slices.Concat(text("wasi_snapshot_preview1"), text("fd_close"), []byte{0, 0}))), sect(3, list(uleb(0))),
			sect(4, list([]byte{0x70, 0, 1})), sect(9, list(elements...)), sect(10, list([]byte{6, 0, opLocalGet, 0, opCall, 0, opEnd})))
	}
	d, err := Decode(closer())
	if err != nil || d.Facts.Lasting() != "" {
		t.Fatalf("%q, %v", d.Facts.Lasting(), err)
	}
	for o, shift := range map[Options]int{{TableLimit: 9}: 0, {TableLimit: 9, Fuel: 1}: 1, {TableLimit: 9, Reset: true}: 1, {TableLimit: 9, Fuel: 1, Reset: true}: 2} {
		got, err := d.Rewrite(o)
		if err != nil || d.Shift(o) != shift {
			t.Fatalf("%+v: shift %d, %v", o, d.Shift(o), err)
		}
		if _, err := newLab(t, 1).runtime.CompileModule(t.Context(), got); err != nil {
			t.Errorf("%+v: %v", o, err)
		}
		announced := bytes.Contains(got, []byte{opLocalGet, 0, opLocalTee, 1, opLocalGet, 1, opCall, byte(shift), opCall, 0, opEnd})
		if announced != o.Reset {
			t.Errorf("%+v: announced %v\n%x", o, announced, got)
		}
	}
	d, err = Decode(closer([]byte{1, 0, 1, 0}))
	if err != nil || !strings.Contains(d.Facts.Lasting(), "by reference") {
		t.Errorf("%q, %v", d.Facts.Lasting(), err)
	}
}

// TestCheckpoints looks at commands: calls of the host are preceded by a checkpoint, save those that tell the guest nothing,
// and so is the beginning. A command that can call the host by reference has none.
func TestCheckpoints(t *testing.T) {
	command := func(module, name, export string, elements ...[]byte) []byte {
		return wasm(sect(1, list([]byte{0x60, 0, 0})),
			sect(2, list(slices.Concat(text(module), text(name), []byte{0, 0}))), sect(3, list(uleb(0))), sect(4, list([]byte{0x70, 0, 1})),
			sect(7, list(slices.Concat(text(export), []byte{0, 1}))), sect(9, list(elements...)), sect(10, list([]byte{4, 0, opCall, 0, opEnd})))
	}
	const wasi = "wasi_snapshot_preview1"
	for _, c := range []struct {
		module, name, export string
		elements             [][]byte
		checkpoints          bool
		call                 byte // the kind of checkpoint before the call, 0 for none
	}{
		{wasi, "environ_get", "_start", nil, true, BeforeCall},
		{wasi, "sched_yield", "_start", nil, true, BeforeYield},
		{wasi, "proc_exit", "_start", nil, true, 0},
		{wasi, "environ_get", "run", nil, false, 0},
		{"http_handler", "log", "_start", nil, false, 0},
		{wasi, "environ_get", "_start", [][]byte{{0, opI32Const, 0, opEnd, 1, 0}}, false, 0},
		{wasi, "proc_exit", "_start", [][]byte{{0, opI32Const, 0, opEnd, 1, 0}}, true, 0},
	} {
		d, err := Decode(command(c.module, c.name, c.export, c.elements...))
		if err != nil {
			t.Fatal(err)
		}
		if d.Checkpoints() != c.checkpoints {
			t.Errorf("%+v: checkpoints %v", c, d.Checkpoints())
			continue
		}
		got, err := d.Rewrite(Options{TableLimit: 9, Checkpoint: c.checkpoints})
		if err != nil {
			t.Fatal(err)
		}
		at := func(kind byte) []byte { return []byte{opLoop, 0x40, opI32Const, kind, opCall, 1, opBrIf, 0, opEnd} }
		code := slices.Clone(at(BeforeStart))
		if c.call > 0 {
			code = append(code, at(c.call)...)
		}
		if code = append(code, opCall, 0, opEnd); bytes.Contains(got, code) != c.checkpoints {
			t.Errorf("%+v: the code is not %x in\n%x", c, code, got)
		}
	}
}

// TestNames looks at the stack of a trap: functions keep their names, though their indices move.
func TestNames(t *testing.T) {
	names := slices.Concat(text("name"), []byte{0}, uleb(4), text("mod"), []byte{1}, uleb(12), list(slices.Concat(uleb(0), text("main")), slices.Concat(uleb(1), text("foo"))))
	debug := slices.Concat(text(".debug_info"), []byte("something"))
	kept := slices.Concat(text("producers"), []byte("someone"))
	module := slices.Concat(body(0x10, 0), sect(0, names), sect(0, debug), sect(0, kept))
	d, err := Decode(module)
	if err != nil {
		t.Fatal(err)
	}
	got, err := d.Rewrite(Options{TableLimit: 10, Fuel: 100})
	if err != nil {
		t.Fatal(err)
	}
	compiled, err := newLab(t, 1).runtime.CompileModule(t.Context(), got)
	if err != nil {
		t.Fatal(err)
	}
	if compiled.Name() != "mod" || !bytes.Contains(got, slices.Concat([]byte{1}, text("main"), []byte{2}, text("foo"))) {
		t.Errorf("module %q\n%q", compiled.Name(), got)
	}
	if bytes.Contains(got, []byte(".debug")) || !bytes.Contains(got, kept) {
		t.Error("the wrong custom sections were kept")
	}
}

// TestGrowthIsBounded rewrites a module of nothing but loops.
func TestGrowthIsBounded(t *testing.T) {
	d, err := Decode(body(bytes.Repeat([]byte{0x03, 0x40, 0x0b}, 200_000)...))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Rewrite(Options{TableLimit: 10, Fuel: 100}); !errors.Is(err, errTooLarge) {
		t.Errorf("got %v", err)
	}
}

// FuzzRewrite decodes and rewrites. A module is as valid rewritten as it was before, and nobody takes memory out of
// proportion to its size.
func FuzzRewrite(f *testing.F) {
	for seed := range uint64(20) {
		module, _ := generated(seed)
		f.Add(module)
	}
	for _, code := range instructions {
		f.Add(body(code...))
	}
	for _, module := range testModules(f) {
		f.Add(module)
	}
	f.Fuzz(func(t *testing.T, module []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		d, err := Decode(module)
		if err != nil {
			return
		}
		got, err := d.Rewrite(Options{TableLimit: 1<<32 - 1, Fuel: 100, Reset: true})
		if err != nil {
			return
		}
		runtime.ReadMemStats(&after)
		if grown := after.TotalAlloc - before.TotalAlloc; grown > uint64(200*len(module)+8<<20) {
			t.Fatalf("%d bytes of memory for a module of %d bytes", grown, len(module))
		}
		ctx := t.Context()
		r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter().WithCoreFeatures(features))
		defer r.Close(ctx)
		_, originalErr := r.CompileModule(ctx, module)
		if d.start >= 0 || originalErr != nil && (strings.Contains(originalErr.Error(), "memory") || strings.Contains(originalErr.Error(), "section custom")) {
			return // by which we are more lenient: names that cannot be read are left out, the engine bounds the memory
		}
		if _, err := r.CompileModule(ctx, got); (err == nil) != (originalErr == nil) {
			t.Fatalf("rewritten: %v\noriginal: %v", err, originalErr)
		}
	})
}
