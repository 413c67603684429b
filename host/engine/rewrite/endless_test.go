package rewrite

import (
	"context"
	"errors"
	"runtime/debug"
	"slices"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// threePieces is a dispatcher of three pieces of code, whose br_table has the targets for 0, 1, 2 and all else. Locals 0
// and 1 are i32; 0 is the dispatcher's.
func threePieces(targets [4]byte, pieces ...[]byte) []byte {
	code := []byte{opLoop, 0x40, opBlock, 0x40, opBlock, 0x40, opBlock, 0x40, opLocalGet, 0, opBrTable, 3}
	code = append(code, targets[:]...)
	for n := range 3 {
		code = append(code, opEnd)
		if n < len(pieces) {
			code = append(code, pieces[n]...)
		}
	}
	return append(code, opEnd)
}

// to sets a local to a number and jumps.
func to(local, number, label byte) []byte {
	return []byte{opI32Const, number, opLocalSet, local, opBr, label}
}

// TestEndless proves that whatever goes on for ever comes by yield, above all through jumps that look as if they led
// forward and calls that look as if they were few.
func TestEndless(t *testing.T) {
	order := [4]byte{0, 1, 2, 2}
	nop, twice := []byte{0x01}, func(n byte) []byte { return []byte{opCall, n, opCall, n} }
	tree := [][]byte{}
	for n := range 60 {
		tree = append(tree, twice(byte(n+1)))
	}
	for name, bodies := range map[string][][]byte{
		"back":                   {threePieces(order, nop, nop, to(0, 0, 0))},
		"to itself":              {threePieces(order, nop, to(0, 1, 1))},
		"targets the other way":  {threePieces([4]byte{2, 1, 0, 0}, nop, nop, to(0, 2, 0))},
		"all else is the first":  {threePieces([4]byte{0, 1, 2, 0}, nop, nop, to(0, 3, 0))},
		"a negative number":      {threePieces([4]byte{0, 1, 2, 0}, nop, nop, to(0, 0x7f, 0))},
		"a target is the loop":   {threePieces([4]byte{0, 1, 3, 3}, to(0, 2, 2))},
		"another local":          {threePieces(order, to(1, 2, 2))},
		"only a jump":            {threePieces(order, []byte{opBr, 2})},
		"a conditional jump":     {threePieces(order, []byte{opI32Const, 1, opBrIf, 2})},
		"br_table":               {threePieces(order, []byte{opI32Const, 0, opBrTable, 1, 2, 1})},
		"the block has ended":    {threePieces(order, nop, slices.Concat([]byte{opBlock, 0x40, opEnd, opBlock, 0x40}, to(0, 0, 2), []byte{opEnd}))},
		"in a dispatcher's code": {threePieces(order, slices.Concat([]byte{opLoop, 0x40}, to(0, 2, 0), []byte{opEnd}))},
		"a plain loop":           {{opLoop, 0x40, opBr, 0, opEnd}},
		"a tree of calls":        append(tree, nop),
		"a tree by reference":    {{opI32Const, 1, opCallIndirect, 0, 0}, {opLoop, 0x40, opCall, 2, opBr, 0, opEnd}, nop},
		"tail call":              {{opReturnCall, 0}},
		"tail calls in a ring":   {{opReturnCall, 1}, {opReturnCall, 2}, {opReturnCall, 0}},
		"tail call by reference": {{opI32Const, 0, opReturnCallIndirect, 0, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			var types, codes [][]byte
			for _, b := range bodies {
				types = append(types, uleb(0))
				b = slices.Concat([]byte{1, 2, i32}, b, []byte{opEnd})
				codes = append(codes, append(uleb(len(b)), b...))
			}
			var elements [][]byte
			for n := range min(2, len(bodies)) {
				elements = append(elements, uleb(n))
			}
			module := wasm(sect(sectionType, list([]byte{0x60, 0, 0})), sect(sectionFunction, list(types...)),
				sect(sectionTable, list([]byte{0x70, 0, 2})), sect(sectionExport, list(slices.Concat(text("f"), []byte{0, 0}))),
				sect(sectionElement, list(slices.Concat([]byte{0, opI32Const, 0, opEnd}, list(elements...)))), sect(sectionCode, list(codes...)))
			untilYields(t, module, 1000)
		})
	}
}

var errEnough = errors.New("enough")

// untilYields runs the function "f" of a module until it has called yield so many times, which it has to.
func untilYields(t *testing.T, module []byte, enough int) {
	t.Helper()
	d, err := Decode(module)
	if err != nil {
		t.Fatal(err)
	}
	got, err := d.Rewrite(Options{TableLimit: 100, Fuel: 100})
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfig().WithCoreFeatures(features))
	defer r.Close(ctx)
	yields := 0
	_, err = r.NewHostModuleBuilder(HostModule).NewFunctionBuilder().
		WithGoModuleFunction(api.GoModuleFunc(func(_ context.Context, m api.Module, _ []uint64) {
			if yields++; yields == enough {
				panic(errEnough)
			}
			m.ExportedGlobal(FuelExport).(api.MutableGlobal).Set(100)
		}), nil, nil).Export(YieldImport).Instantiate(ctx)
	if err != nil {
		t.Fatal(err)
	}
	mod, err := r.Instantiate(ctx, got)
	if err != nil {
		t.Fatal(err)
	}
	// Code that never yields cannot be stopped, nor can the collector while it runs; the test process can be ended.
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	name := t.Name()
	defer time.AfterFunc(time.Minute, func() { panic(name + " has gone on for a minute") }).Stop()
	if _, err := mod.ExportedFunction("f").Call(ctx); !errors.Is(err, errEnough) {
		t.Errorf("after %d yields: %v", yields, err)
	}
}
