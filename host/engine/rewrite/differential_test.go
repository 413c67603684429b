package rewrite

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
)

const features = api.CoreFeaturesV2 | experimental.CoreFeaturesTailCall |
	experimental.CoreFeaturesExtendedConst | experimental.CoreFeaturesTypedFunctionReferences

// lab runs modules with a host function host.f and a yield that counts.
type lab struct {
	runtime wazero.Runtime
	calls   []uint64 // of host.f
	yields  int
	fuel    uint32

	checkpoints int
}

func newLab(t testing.TB, fuel uint32) *lab {
	t.Helper()
	ctx := context.Background()
	l := &lab{runtime: wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfig().WithCoreFeatures(features)), fuel: fuel}
	t.Cleanup(func() { _ = l.runtime.Close(ctx) })
	b := l.runtime.NewHostModuleBuilder("host")
	b.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(_ context.Context, _ api.Module, stack []uint64) {
		l.calls = append(l.calls, uint64(uint32(stack[0]))) // the rest is garbage
		stack[0] = uint64(uint32(stack[0] * 3))
	}), []api.ValueType{api.ValueTypeI32}, []api.ValueType{api.ValueTypeI32}).Export("f")
	if _, err := b.Instantiate(ctx); err != nil {
		t.Fatal(err)
	}
	b = l.runtime.NewHostModuleBuilder(HostModule)
	b.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(_ context.Context, m api.Module, _ []uint64) {
		l.yields++
		m.ExportedGlobal(FuelExport).(api.MutableGlobal).Set(uint64(l.fuel))
	}), nil, nil).Export(YieldImport)
	b.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(_ context.Context, _ api.Module, stack []uint64) {
		l.checkpoints++
		stack[0] = uint64(l.checkpoints % 2) // every other time again
	}), []api.ValueType{api.ValueTypeI32}, []api.ValueType{api.ValueTypeI32}).Export(CheckpointImport)
	b.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(context.Context, api.Module, []uint64) {}),
		[]api.ValueType{api.ValueTypeI32}, nil).Export(DescriptorImport)
	if _, err := b.Instantiate(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := wasi_snapshot_preview1.Instantiate(ctx, l.runtime); err != nil {
		t.Fatal(err)
	}
	return l
}

// report is all that can be seen of a run of a generated module: results, traps, memory, globals and calls.
func (l *lab) report(t testing.TB, module []byte, params [][]byte, globals int) string {
	t.Helper()
	ctx := context.Background()
	var out strings.Builder
	l.calls = nil
	compiled, err := l.runtime.CompileModule(ctx, module)
	if err != nil {
		t.Fatalf("compile: %v\n%x", err, module)
	}
	defer compiled.Close(ctx)
	mod, err := l.runtime.InstantiateModule(ctx, compiled, wazero.NewModuleConfig().WithName("").WithStartFunctions(StartExport))
	fmt.Fprintf(&out, "instance: %s\n", first(err))
	if err != nil {
		return out.String()
	}
	defer mod.Close(ctx)
	for round := range 2 {
		for i, types := range params {
			args := make([]uint64, len(types))
			for n, t := range types {
				args[n] = uint64(n+round) * 77
				if t == f32 || t == f64 {
					args[n] = 0
				}
			}
			results, err := mod.ExportedFunction(fmt.Sprintf("f%d", i)).Call(ctx, args...)
			fmt.Fprintf(&out, "f%d: %v %s\n", i, results, first(err))
		}
	}
	if mem := mod.Memory(); mem != nil {
		sum := fnv.New64a()
		b, _ := mem.Read(0, mem.Size())
		sum.Write(b)
		fmt.Fprintf(&out, "memory: %d %x\n", mem.Size(), sum.Sum64())
	}
	for i := range globals {
		if g := mod.ExportedGlobal(fmt.Sprintf("g%d", i)); g != nil {
			fmt.Fprintf(&out, "g%d: %x\n", i, g.Get())
		}
	}
	fmt.Fprintf(&out, "calls: %v\n", l.calls)
	return out.String()
}

// first is an error's message without the stack, which differs where functions have no names.
func first(err error) string {
	if err == nil {
		return "ok"
	}
	text, _, _ := strings.Cut(err.Error(), "\n")
	_, text, found := strings.Cut(text, " failed: ")
	if !found {
		text, _, _ = strings.Cut(err.Error(), "\n")
	}
	return text
}

// TestGenerated runs generated modules as they are and rewritten in every way.
func TestGenerated(t *testing.T) {
	count := uint64(200)
	if testing.Short() {
		count = 50
	}
	l := newLab(t, 3)
	yields, trapped := 0, 0
	for seed := range count {
		module, params := generated(seed)
		d, err := Decode(module)
		if err != nil {
			t.Fatalf("seed %d: %v\n%x", seed, err, module)
		}
		want := l.report(t, module, params, 4)
		trapped += strings.Count(want, "wasm error")
		for _, o := range []Options{
			{TableLimit: 1 << 20},
			{TableLimit: 1 << 20, Fuel: 3},
			{TableLimit: 1 << 20, Fuel: 3, Reset: true},
			{TableLimit: 1 << 20, Reset: true},
			{TableLimit: 1 << 20, Checkpoint: true},
			{TableLimit: 1 << 20, Fuel: 3, Checkpoint: true},
		} {
			if o.Reset && !strings.HasPrefix(want, "instance: ok") {
				continue // the start function traps, which now happens at another moment
			}
			got, err := d.Rewrite(o)
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			l.yields = 0
			if o.Reset {
				got = bound(t, got) // the host's part of a module without a maximum
			}
			if have := l.report(t, got, params, 4); have != want {
				t.Fatalf("seed %d, %+v:\n%s\nwant\n%s\n%x", seed, o, have, want, module)
			}
			if o.Fuel == 0 && l.yields > 0 {
				t.Fatalf("seed %d: %d yields without fuel", seed, l.yields)
			}
			yields += l.yields
		}
	}
	if yields < int(count) || trapped == 0 {
		t.Errorf("%d yields and %d traps: the modules test nothing", yields, trapped)
	}
}

// bound gives the memory of a rewritten module its maximum of three pages back.
func bound(t *testing.T, module []byte) []byte {
	t.Helper()
	d, err := Decode(bytes.ReplaceAll(bytes.ReplaceAll(module, []byte(reserved), []byte("appservex.")), []byte("\x10"+HostModule), []byte("\x10appserver_enginx")))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range d.sections {
		if s.id == sectionMemory {
			body := append(binary.AppendUvarint([]byte{1, 1}, d.Memories[0].Min), 3)
			start := bytes.LastIndexByte(module[:s.start], sectionMemory)
			return append(append(bytes.Clone(module[:start]), sect(sectionMemory, body)...), module[s.end:]...)
		}
	}
	return module
}

// testModules returns all modules in the test data of the repository.
func testModules(t testing.TB) map[string][]byte {
	t.Helper()
	modules := map[string][]byte{}
	for _, pattern := range []string{"../../../testdata/wasm/*.wasm", "../testdata/*.wasm", "../../*/testdata/*.wasm"} {
		names, err := filepath.Glob(pattern)
		if err != nil || len(names) == 0 {
			t.Fatalf("no modules in %s, %v", pattern, err)
		}
		for _, name := range names {
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			modules[filepath.Base(name)] = b
		}
	}
	return modules
}

// TestTestModules compiles each module of the test data as it is and rewritten: one is as valid as the other.
func TestTestModules(t *testing.T) {
	l := newLab(t, 100)
	for name, module := range testModules(t) {
		_, originalErr := l.runtime.CompileModule(t.Context(), module)
		d, err := Decode(module)
		if err != nil {
			if originalErr == nil {
				t.Errorf("%s is valid, but cannot be decoded: %v", name, err)
			}
			continue
		}
		for _, o := range []Options{{TableLimit: 1 << 30}, {TableLimit: 1 << 30, Fuel: 100}, {TableLimit: 1 << 30, Fuel: 100, Reset: true}} {
			got, err := d.Rewrite(o)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if _, err := l.runtime.CompileModule(t.Context(), got); (err == nil) != (originalErr == nil) {
				t.Errorf("%s with %+v: %v, originally %v", name, o, err, originalErr)
			}
		}
	}
}
