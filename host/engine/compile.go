package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/appserver-go/appserver/internal/fault"
)

// magic is how a core module of version 1 begins: "\0asm", version 1, layer 0 (core specification 5.5.16).
var magic = []byte("\x00asm\x01\x00\x00\x00")

// Compile checks and compiles a module, or loads it from the cache. wasm must not change afterwards. It is called by
// one goroutine at a time, and best before HostModule: until then a cache that fails can be done without. Errors are a
// *fault.Error with the code LoadFailed that says which limit or proposal is in the way.
func (e *Engine) Compile(ctx context.Context, wasm []byte) (*Module, error) {
	if err := checkMagic(wasm); err != nil {
		return nil, err
	}
	l, err := scan(wasm)
	if err != nil {
		return nil, explain(err)
	}
	if err := l.check(&e.opts); err != nil {
		return nil, err
	}
	code, err := l.limitTables(wasm, e.opts.TableLimit)
	if err != nil {
		return nil, err
	}
	start := time.Now()
	compiled, err := e.compile(ctx, code)
	if err != nil {
		return nil, err
	}
	e.inUse = true
	m := &Module{engine: e, compiled: compiled, size: len(wasm), compileTime: time.Since(start)}
	m.describe(l)
	return m, nil
}

// compile has wazero compile the module, without the cache if that is what fails.
func (e *Engine) compile(ctx context.Context, code []byte) (wazero.CompiledModule, error) {
	ctx = experimental.WithCompilationWorkers(ctx, runtime.GOMAXPROCS(0))
	compiled, err := e.runtime.CompileModule(ctx, code)
	if err == nil || !cacheFailed(err) {
		return compiled, explain(err)
	}
	dropped, dropErr := e.dropCache(ctx, err)
	switch {
	case dropErr != nil:
		return nil, dropErr
	case !dropped:
		return nil, fault.WithCode(fault.LoadFailed, "remove the directory guest.cache_dir and try again",
			"use the cache of compiled code: %w", oneLine(err))
	}
	compiled, err = e.runtime.CompileModule(ctx, code)
	return compiled, explain(err)
}

// checkMagic refuses what is no core module, and says what it is instead.
func checkMagic(wasm []byte) error {
	switch {
	case bytes.HasPrefix(wasm, magic):
		return nil
	case !bytes.HasPrefix(wasm, magic[:4]):
		return fault.WithCode(fault.LoadFailed, "build the guest for WebAssembly, for example GOOS=wasip1 GOARCH=wasm go build",
			"the file is no WebAssembly module: it begins with %q", wasm[:min(len(wasm), 8)])
	case len(wasm) < len(magic):
		return explain(errTruncated)
	case wasm[6] == 1:
		return fault.WithCode(fault.LoadFailed, "build a core module, target wasm32-wasip1 rather than wasm32-wasip2",
			"the file is a WebAssembly component, which is not supported")
	}
	return fault.WithCode(fault.LoadFailed, "build a core module of version 1",
		"the file is WebAssembly of the unknown version %#x", wasm[4:8])
}

// check refuses what the engine's limits or the lack of host objects rule out.
func (l *layout) check(o *Options) error {
	for _, i := range l.imports {
		if i.kind != KindFunc {
			return fault.WithCode(fault.LoadFailed, importHints[i.kind],
				"the module imports the %s %q from %q; the host offers functions only", i.kind, i.name, i.module)
		}
	}
	if len(l.memories) > 1 {
		return explain(unsupported("several memories (multi-memory)"))
	}
	for _, m := range l.memories {
		if limit := uint64(o.limitPages()); m.min > limit {
			return fault.WithCode(fault.LoadFailed, fmt.Sprintf("raise guest.memory_limit (--guest-memory-limit) to %dKiB at least", m.min*64),
				"the module needs %d bytes of memory to start, more than the memory limit of %d", m.min*pageSize, limit*pageSize)
		}
	}
	return nil
}

// importHints say how to build a module that does not import something.
var importHints = map[Kind]string{
	KindMemory: "link the guest without --import-memory",
	KindTable:  "link the guest without --import-table",
	KindGlobal: "modules linked for dynamic loading or for a JavaScript host cannot run here",
}

// describe fills in what the module imports and exports.
func (m *Module) describe(l *layout) {
	defs := m.compiled.ImportedFunctions()
	for _, d := range defs {
		module, name, _ := d.Import()
		m.imports = append(m.imports, Import{module, name, d.ParamTypes(), d.ResultTypes()})
	}
	funcs := m.compiled.ExportedFunctions()
	for _, e := range l.exports {
		x := Export{Name: e.name, Kind: e.kind}
		if d, ok := funcs[e.name]; ok && e.kind == KindFunc {
			x.Params, x.Results = d.ParamTypes(), d.ResultTypes()
		}
		m.exports = append(m.exports, x)
	}
	for _, mem := range l.memories {
		limit := uint64(m.engine.opts.limitPages())
		if mem.hasMax {
			limit = min(limit, mem.max)
		}
		m.memory = &MemoryLimits{uint32(mem.min), uint32(limit)}
	}
	for _, t := range l.tables {
		m.tables = append(m.tables, TableLimits{uint32(t.limits.min), uint32(t.limits.max)})
	}
}

// Hints for proposals that wazero names itself.
const (
	noExceptions = "build with exceptions off (-fno-exceptions, panic=abort)"
	noThreads    = "build without threads (no -pthread, no shared memory)"
	noGC         = "modules of languages that use WebAssembly GC, such as Kotlin or Dart, cannot run here"
)

// proposals maps the ends of wazero's messages to what a person calls the matter.
var proposals = []struct{ end, name, hint string }{
	{`feature "exception-handling" is disabled`, "exception handling", noExceptions},
	{"invalid instruction 0x6", "exception handling", noExceptions}, // try of the proposal's first version
	{"invalid instruction 0x7", "exception handling", noExceptions}, // catch
	{"invalid instruction 0x18", "exception handling", noExceptions},
	{"invalid instruction 0x19", "exception handling", noExceptions},
	{`feature "threads" is disabled`, "threads", noThreads},
	{"invalid instruction 0xfb", "garbage-collected types", noGC},
}

// hints say how to do without a proposal that scan has found.
var hints = map[unsupported]string{
	"garbage-collected types":         noGC,
	"64-bit memory (memory64)":        "build for wasm32 rather than wasm64",
	"shared memory (threads)":         noThreads,
	"exception handling":              noExceptions,
	"several memories (multi-memory)": "build with one memory",
}

// explain makes a fault of an error of scan or of wazero.
func explain(err error) error {
	var u unsupported
	switch {
	case err == nil:
		return nil
	case errors.As(err, &u):
		return fault.WithCode(fault.LoadFailed, hints[u], "%w", u)
	case errors.Is(err, errTruncated):
		return fault.WithCode(fault.LoadFailed, "the file may be half copied: build or copy it again",
			"the WebAssembly module is cut short: %w", err)
	}
	for _, p := range proposals {
		if strings.HasSuffix(err.Error(), p.end) {
			return fault.WithCode(fault.LoadFailed, p.hint, "the module uses %s, which is not supported: %w", p.name, oneLine(err))
		}
	}
	return fault.WithCode(fault.LoadFailed, "the file may be damaged, or use a proposal that is not supported; wasm-validate tells",
		"the WebAssembly module is invalid: %w", oneLine(err))
}

// Signature writes a function type as "(i32,i64)->(i32)".
func Signature(params, results []api.ValueType) string {
	names := func(types []api.ValueType) string {
		s := make([]string, len(types))
		for i, t := range types {
			s[i] = api.ValueTypeName(t)
		}
		return strings.Join(s, ",")
	}
	return "(" + names(params) + ")->(" + names(results) + ")"
}
