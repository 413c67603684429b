package engine

import (
	_ "embed"
	"errors"
	"strings"
	"testing"
)

var (
	//go:embed testdata/group1.wasm
	groupFirst []byte
	//go:embed testdata/group2.wasm
	groupSecond []byte
)

// group compiles the two modules in which the second imports from the first.
func group(t *testing.T, eng *Engine) *Group {
	t.Helper()
	names := map[string]string{"m": "mem", "add": "add", "g": "g"}
	g, err := eng.CompileGroup(t.Context(), []Member{
		{Wasm: groupFirst},
		{Wasm: groupSecond, Import: func(module, name string, kind Kind) (Source, error) {
			if (module == "glob") != (kind == KindGlobal) {
				return Source{}, errors.New("unexpected import")
			}
			return Source{Member: 0, Name: names[name]}, nil
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
	return g
}

// twice calls the function of that name.
func twice(t *testing.T, gi *GroupInstance) uint64 {
	t.Helper()
	stack := []uint64{0}
	if err := gi.Member(1).Call(t.Context(), gi.Member(1).Function("twice"), stack); err != nil {
		t.Fatal(err)
	}
	return stack[0]
}

// TestGroup sees that members share memory and globals, and that reset and adoption concern all of them.
func TestGroup(t *testing.T) {
	eng := newEngine(t, Options{Reset: true, VerifyReset: true, Interrupt: InterruptFuel})
	g := group(t, eng)
	gi := g.New()
	if err := gi.Instantiate(t.Context(), Spec{}); err != nil {
		t.Fatal(err)
	}
	img, err := gi.Capture()
	if err != nil {
		t.Fatal(err)
	}
	other := g.New()
	if err := other.Adopt(t.Context(), img, Spec{}); err != nil {
		t.Fatal(err)
	}
	if n := eng.Stats().Instances; n != 2 {
		t.Errorf("%d instances, want 2", n)
	}
	for range 3 {
		for _, i := range []*GroupInstance{gi, other} {
			if got := twice(t, i); got != 5+2*3 { // the start function and two calls, on both counters
				t.Errorf("twice returned %d", got)
			}
			if got := twice(t, i); got != 5+2*5 {
				t.Errorf("the second time, twice returned %d", got)
			}
			grown, ok := i.Member(0).Memory().Grow(1)
			if !ok || grown != 1 {
				t.Errorf("the memory had %d pages, %v", grown, ok)
			}
			if err := i.Reset(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := errors.Join(gi.Close(), other.Close(), img.Close()); err != nil {
		t.Error(err)
	}
	if st := eng.Stats(); st.Instances != 0 || st.MemoryBytes != 0 {
		t.Errorf("left over: %+v", st)
	}
}

// TestGroupQuota sees that the memories of a group together have no more than one instance may.
func TestGroupQuota(t *testing.T) {
	eng := newEngine(t, Options{MemoryLimit: 3 << 16})
	g, err := eng.CompileGroup(t.Context(), []Member{{Wasm: groupFirst}, {Wasm: groupFirst}})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close(t.Context())
	gi := g.New()
	if err := gi.Instantiate(t.Context(), Spec{}); err != nil {
		t.Fatal(err)
	}
	defer gi.Close()
	grow := func(n int) bool {
		_, ok := gi.Member(n).Memory().Grow(1)
		return ok
	}
	if !grow(0) || grow(1) {
		t.Error("two members have four pages, with a limit of three")
	}
	if st := eng.Stats(); st.MemoryBytes != 3<<16 || st.DeniedGrows == 0 {
		t.Errorf("%+v", st)
	}
}

func TestGroupErrors(t *testing.T) {
	eng := newEngine(t, Options{})
	for _, tt := range []struct {
		name   string
		source Source
		err    error
		want   string
	}{
		{"refused", Source{}, errors.New("nobody has it"), "nobody has it"},
		{"itself", Source{Member: 1}, nil, "comes later"},
		{"absent", Source{Member: 0, Name: "absent"}, nil, "do not fit together"},
	} {
		g, err := eng.CompileGroup(t.Context(), []Member{
			{Wasm: groupFirst},
			{Wasm: groupSecond, Import: func(string, string, Kind) (Source, error) { return tt.source, tt.err }},
		})
		if err == nil {
			gi := g.New()
			err = errors.Join(gi.Instantiate(t.Context(), Spec{}), gi.Close(), g.Close(t.Context()))
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}
