package engine

import (
	"fmt"
	"os"
	"reflect"

	"github.com/tetratelabs/wazero"

	"github.com/appserver-go/appserver/host/engine/rewrite"
	"github.com/appserver-go/appserver/internal/postmortem"
)

// publish shows others where the module's code is, for a process that freezes cannot. With fuel no guest can freeze it.
func (m *Module) publish(d *rewrite.Module) {
	if m.engine.opts.Interrupt == InterruptFuel {
		return
	}
	c, ok := findCode(m.compiled)
	if !ok {
		return // a wazero that keeps its code elsewhere; TestFindCode tells
	}
	names := d.FunctionNames()
	funcs := make([]postmortem.Func, len(c.offsets))
	for n, offset := range c.offsets {
		index := uint32(n + c.imported)
		name := names[index-uint32(m.shift)]
		if name == "" {
			name = fmt.Sprintf("$%d", index-uint32(m.shift))
		}
		funcs[n] = postmortem.Func{Offset: offset, Name: name}
	}
	file, err := postmortem.Publish(c.start, c.size, funcs)
	if err != nil {
		m.engine.opts.Log.Debug("Where the guest's code is was not published", "error", err)
		return
	}
	m.symbols = file
}

// code is where a module's machine code is.
type code struct {
	start    uintptr
	size     int
	offsets  []int // of the functions that the module defines
	imported int
}

// findCode looks it up in wazero's own data, which has no other way to it. It only reads, and returns false when anything
// is not as expected.
func findCode(compiled wazero.CompiledModule) (c code, ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	field := func(v reflect.Value, name string) reflect.Value {
		for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
			v = v.Elem()
		}
		return v.FieldByName(name)
	}
	v := reflect.ValueOf(compiled)
	module := field(v, "module")
	v = field(field(v, "compiledEngine"), "compiledModules").MapIndex(field(module, "ID"))
	executable, offsets := field(v, "executable"), field(v, "functionOffsets")
	c = code{start: executable.Pointer(), size: executable.Len(), imported: int(field(module, "ImportFunctionCount").Uint())}
	for i := range offsets.Len() {
		c.offsets = append(c.offsets, int(offsets.Index(i).Int()))
	}
	return c, c.size > 0 && len(c.offsets) > 0
}

// closeSymbols takes back what publish showed.
func closeSymbols(f *os.File) error {
	if f == nil {
		return nil
	}
	return f.Close()
}
