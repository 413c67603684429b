package rewrite

import (
	"slices"
	"testing"

	"github.com/tetratelabs/wazero"
)

// TestDataOut takes data out of modules and puts it back by hand.
func TestDataOut(t *testing.T) {
	active := func(offset int64, data string) []byte {
		return slices.Concat([]byte{0, opI32Const}, sleb(offset), []byte{opEnd}, text(data))
	}
	explicit := slices.Concat([]byte{2, 0, opI32Const}, sleb(65533), []byte{opEnd}, text("end"))
	passive := slices.Concat([]byte{1}, text("passive"))
	ofGlobal := slices.Concat([]byte{0, opGlobalGet, 0, opEnd}, text("x"))
	memory := sect(sectionMemory, list([]byte{0, 1}))
	global := sect(sectionGlobal, list([]byte{i32, 0, opI32Const, 1, opEnd}))
	export := sect(sectionExport, list(slices.Concat(text("memory"), []byte{2, 0})))
	for _, tt := range []struct {
		name     string
		segments [][]byte
		out      int // segments that are left out
	}{
		{"active", [][]byte{active(8, "data"), passive, explicit, active(8, "over")}, 3},
		{"none", [][]byte{passive}, 0},
		{"beyond the memory", [][]byte{active(65533, "too far")}, 0},
		{"negative", [][]byte{active(-1, "x")}, 0},
		{"at a global", [][]byte{active(8, "data"), ofGlobal}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, err := Decode(wasm(memory, global, export, sect(sectionDataCount, uleb(len(tt.segments))), sect(sectionData, list(tt.segments...))))
			if err != nil {
				t.Fatal(err)
			}
			if got := len(m.Data()); got != tt.out {
				t.Fatalf("%d segments are left out, want %d", got, tt.out)
			}
			whole, cut := memoryOf(t, m, Options{TableLimit: 1}), memoryOf(t, m, Options{TableLimit: 1, DataOut: true})
			for _, s := range m.Data() {
				copy(cut[s.Offset:], s.Bytes)
			}
			if !slices.Equal(whole, cut) {
				t.Error("the memory is another one")
			}
		})
	}
}

// memoryOf returns what an instance of the rewritten module begins with, nil if it cannot be made.
func memoryOf(t *testing.T, m *Module, o Options) []byte {
	t.Helper()
	code, err := m.Rewrite(o)
	if err != nil {
		t.Fatal(err)
	}
	r := wazero.NewRuntimeWithConfig(t.Context(), wazero.NewRuntimeConfigInterpreter())
	defer r.Close(t.Context())
	inst, err := r.Instantiate(t.Context(), code)
	if err != nil {
		return nil
	}
	b, _ := inst.Memory().Read(0, inst.Memory().Size())
	return slices.Clone(b)
}
