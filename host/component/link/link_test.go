package link

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/appserver-go/appserver/host/component/binary"
)

func committed(t testing.TB, name string) []byte {
	b, err := os.ReadFile(filepath.Join("..", "..", "..", "testdata", "wasm", "component", name+".wasm"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestPlan(t *testing.T) {
	c, err := binary.Parse(committed(t, "hello"))
	if err != nil {
		t.Fatal(err)
	}
	p, err := Link(c)
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Steps) != 3 || p.Comps != 2 || len(p.Memories) != 1 {
		t.Errorf("%d steps, %d component instances, %d memories", len(p.Steps), p.Comps, len(p.Memories))
	}
	names := map[string]bool{}
	for _, f := range p.Imports {
		names[f.String()] = true
	}
	if !names["wasi:http/types#[constructor]fields"] || !names["wasi:io/streams#[method]output-stream.blocking-write-and-flush"] {
		t.Errorf("imports are %v", names)
	}
	h, ok := p.Exports.Exports["wasi:http/incoming-handler@0.2.10"].(*Instance)
	if !ok || h.Func("handle") == nil || h.Func("handle").Imported() {
		t.Errorf("exports are %v", p.Exports.Exports)
	}
}

func TestCanonical(t *testing.T) {
	for in, want := range map[string]string{
		"wasi:io/streams@0.2.0": "wasi:io/streams", "wasi:io/streams@0.2.17": "wasi:io/streams", "wasi:io/streams": "wasi:io/streams",
		"wasi:io/streams@0.3.0": "wasi:io/streams@0.3.0", "wasi:io/streams@0.2.0-rc-2023-11-10": "wasi:io/streams@0.2.0-rc-2023-11-10",
		"wasi:io/streams@0.2.": "wasi:io/streams@0.2.", "f": "f",
	} {
		if got := canonical(in); got != want {
			t.Errorf("canonical(%q) = %q", in, got)
		}
	}
}

func TestLinkErrors(t *testing.T) {
	u32 := &binary.ValType{Prim: binary.PrimU32}
	fn := binary.Type{Is: binary.IsFunc, Result: u32}
	var bomb []binary.Def // each component instantiates the one before twice
	inner := &binary.Component{}
	for range 20 {
		inner = &binary.Component{Defs: []binary.Def{
			binary.Nested{Component: inner}, binary.Instance{Component: 0}, binary.Instance{Component: 0},
		}}
	}
	bomb = inner.Defs
	var large []binary.Def // each tuple holds the one before twice
	large = append(large, binary.Type{Is: binary.IsTuple, Fields: []binary.Field{{Type: u32}}})
	for i := range uint32(40) {
		v := &binary.ValType{Index: i}
		large = append(large, binary.Type{Is: binary.IsTuple, Fields: []binary.Field{{Type: v}, {Type: v}}})
	}
	tests := []struct {
		name string
		defs []binary.Def
		err  string
	}{
		{"async function", []binary.Def{binary.Type{Is: binary.IsFunc, Async: true}}, "needs WASI 0.3 async"},
		{"async built-in", []binary.Def{binary.Canon{Op: 0x1f}}, "needs WASI 0.3 async (waitable-set.new)"},
		{"stream", []binary.Def{binary.Type{Is: binary.IsStream}}, "needs WASI 0.3 async"},
		{"unknown index", []binary.Def{binary.Alias{Kind: binary.AliasExport, Sort: binary.SortFunc, Name: "x"}}, "does not exist"},
		{"outer of the outermost", []binary.Def{binary.Alias{Kind: binary.AliasOuter, Sort: binary.SortType, Outer: 1}}, "outermost"},
		{"missing argument", []binary.Def{
			binary.Nested{Component: &binary.Component{Defs: []binary.Def{fn, binary.Import{Name: "f", Desc: binary.Extern{Sort: binary.SortFunc}}}}},
			binary.Instance{Component: 0},
		}, `without its import "f"`},
		{"argument of another type", []binary.Def{
			fn,
			binary.Type{Is: binary.IsFunc},
			binary.Import{Name: "f", Desc: binary.Extern{Sort: binary.SortFunc, Index: 1}},
			binary.Nested{Component: &binary.Component{Defs: []binary.Def{fn, binary.Import{Name: "f", Desc: binary.Extern{Sort: binary.SortFunc}}}}},
			binary.Instance{Component: 0, Args: []binary.Named{{Name: "f", Ref: binary.Ref{Sort: binary.SortFunc}}}},
		}, "should be a func() -> u32 and is a func()"},
		{"component bomb", bomb, "more than 1000 times"},
		{"type bomb", large, "too large"},
		{"borrow in a result", []binary.Def{
			binary.Type{Is: binary.IsResource},
			binary.Type{Is: binary.IsBorrow, Index: 0},
			binary.Type{Is: binary.IsFunc, Result: &binary.ValType{Index: 1}},
		}, "returns a borrowed handle"},
		{"empty record", []binary.Def{binary.Type{Is: binary.IsRecord}}, "no members"},
	}
	for _, tt := range tests {
		_, err := Link(&binary.Component{Defs: tt.defs})
		if err == nil || !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.err)
		}
		if strings.HasPrefix(tt.name, "async") && !errors.As(err, new(NeedsAsync)) {
			t.Errorf("%s: the error is a %T", tt.name, err)
		}
	}
}

func FuzzLink(f *testing.F) {
	f.Add(committed(f, "hello"))
	f.Add(committed(f, "probe"))
	f.Fuzz(func(_ *testing.T, b []byte) {
		if c, err := binary.Parse(b); err == nil {
			_, _ = Link(c)
		}
	})
}
