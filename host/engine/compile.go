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

	"github.com/appserver-go/appserver/host/engine/rewrite"
	"github.com/appserver-go/appserver/internal/fault"
)

// magic is how a core module of version 1 begins: "\0asm", version 1, layer 0 (core specification 5.5.16).
var magic = []byte("\x00asm\x01\x00\x00\x00")

// Compile checks and compiles a module, or loads it from the cache. wasm must not change afterwards. It is called by
// one goroutine at a time, and best before HostModule: until then a cache that fails can be done without. Errors are a
// *fault.Error with the code LoadFailed that says which limit or proposal is in the way.
func (e *Engine) Compile(ctx context.Context, wasm []byte) (*Module, error) {
	return e.CompileWith(ctx, wasm, e.opts.module())
}

// CompileWith is Compile for a module with options of its own.
func (e *Engine) CompileWith(ctx context.Context, wasm []byte, o ModuleOptions) (*Module, error) {
	if err := e.admit(&o); err != nil {
		return nil, err
	}
	if err := checkMagic(wasm); err != nil {
		return nil, err
	}
	start := time.Now()
	m := &Module{engine: e, opts: o, size: len(wasm)}
	m.key = m.keyOf(wasm)
	d, err := e.inheritModule(ctx, m, wasm)
	if err != nil {
		return nil, err
	}
	if d == nil {
		if d, err = e.compileModule(ctx, m, wasm); err != nil {
			return nil, err
		}
	}
	e.inUse = true
	m.compileTime = time.Since(start)
	m.describe(d)
	m.publish(d)
	return m, nil
}

// admit completes a module's options and gets ready for what they need.
func (e *Engine) admit(o *ModuleOptions) error {
	if o.Reset && e.dirty.file == nil {
		e.dirty = newDirtyPages()
	}
	return o.complete()
}

// rewritten is a module after its rewriting.
type rewritten struct {
	module  *rewrite.Module
	options rewrite.Options
	lasting string
	code    []byte
}

// rewrite decodes, checks and rewrites a module.
func (m *Module) rewrite(wasm []byte) (*rewritten, error) {
	d, err := rewrite.Decode(wasm)
	if err != nil {
		return nil, explain(err)
	}
	if err := checkHostImports(d); err != nil {
		return nil, err
	}
	return m.rewriteDecoded(d)
}

// rewriteDecoded is rewrite for a module that was decoded.
func (m *Module) rewriteDecoded(d *rewrite.Module) (_ *rewritten, err error) {
	if err := check(d, &m.opts); err != nil {
		return nil, err
	}
	w := &rewritten{module: d}
	w.options, w.lasting = m.rewriting(d)
	if w.code, err = d.Rewrite(w.options); err != nil {
		return nil, explain(err)
	}
	return w, nil
}

// take makes m what was compiled of w.
func (m *Module) take(w *rewritten, compiled wazero.CompiledModule) {
	m.compiled, m.facts, m.lasting = compiled, w.module.Facts, w.lasting
	m.checkpoints = w.options.Checkpoint
	m.starts, m.shift = w.options.Reset && w.module.Start(), w.module.Shift(w.options)
	m.lines = newLines(w.module, w.options)
	if w.options.DataOut {
		m.data = w.module.Data()
	}
}

// compileModule compiles a module, and offers siblings what it was rewritten to.
func (e *Engine) compileModule(ctx context.Context, m *Module, wasm []byte) (*rewrite.Module, error) {
	w, err := m.rewrite(wasm)
	if err != nil {
		return nil, err
	}
	compiled, err := e.compile(ctx, m, e.offerModule(m, w.code))
	if err != nil {
		return nil, err
	}
	m.take(w, compiled)
	return w.module, nil
}

// rewriting returns how a module is rewritten, and why its instances cannot be reset, if so.
func (m *Module) rewriting(d *rewrite.Module) (o rewrite.Options, lasting string) {
	o.TableLimit = uint64(m.opts.TableLimit)
	if e := m.engine; e.opts.Interrupt == InterruptFuel {
		o.Fuel = e.opts.Fuel
	}
	if lasting = "it was compiled to be used once"; m.opts.Reset {
		lasting = d.Facts.Lasting()
		o.Reset = lasting == ""
		o.Checkpoint = o.Reset && d.Checkpoints()
		o.DataOut = o.Reset && d.Linked()
	}
	return o, lasting
}

// compile has wazero compile the module, without the cache if that is what fails, and shares the machine code.
func (e *Engine) compile(ctx context.Context, m *Module, code []byte) (wazero.CompiledModule, error) {
	compiled, err := e.compileAlone(ctx, code)
	if err != nil {
		return nil, err
	}
	if err := e.shareCode(m, compiled); err != nil {
		return nil, errors.Join(err, compiled.Close(ctx))
	}
	return compiled, nil
}

func (e *Engine) compileAlone(ctx context.Context, code []byte) (wazero.CompiledModule, error) {
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
		return explain(rewrite.ErrTruncated)
	case wasm[6] == 1:
		return fault.WithCode(fault.LoadFailed, "build a core module, target wasm32-wasip1 rather than wasm32-wasip2",
			"the file is a WebAssembly component, which is not supported")
	}
	return fault.WithCode(fault.LoadFailed, "build a core module of version 1",
		"the file is WebAssembly of the unknown version %#x", wasm[4:8])
}

// checkHostImports refuses imports that the host does not have.
func checkHostImports(d *rewrite.Module) error {
	for _, i := range d.Imports {
		if i.Kind != KindFunc {
			return fault.WithCode(fault.LoadFailed, importHints[i.Kind],
				"the module imports the %s %q from %q; the host offers functions only", i.Kind, i.Name, i.Module)
		}
	}
	return nil
}

// check refuses what the engine's limits rule out.
func check(d *rewrite.Module, o *ModuleOptions) error {
	if len(d.Memories) > 1 {
		return explain(rewrite.Unsupported("several memories (multi-memory)"))
	}
	for _, m := range d.Memories {
		if limit := uint64(o.limitPages()); m.Min > limit {
			return fault.WithCode(fault.LoadFailed, fmt.Sprintf("raise guest.memory_limit (--guest-memory-limit) to %dKiB at least", m.Min*64),
				"the module needs %d bytes of memory to start, more than the memory limit of %d", m.Min*pageSize, limit*pageSize)
		}
		if m.HasMax && m.Max < m.Min { // wazero, which would refuse it, may not get to see the maximum
			return fault.WithCode(fault.LoadFailed, "", "the memory has a maximum of %d pages and starts with %d", m.Max, m.Min)
		}
	}
	if len(d.Tables) > maxTables {
		return fault.WithCode(fault.LoadFailed, "", "the module defines %d tables, more than %d", len(d.Tables), maxTables)
	}
	return nil
}

// maxTables is how many tables a module may define. Compilers make one or two; each may grow to the table limit.
const maxTables = 16

// importHints say how to build a module that does not import something.
var importHints = map[Kind]string{
	KindMemory: "link the guest without --import-memory",
	KindTable:  "link the guest without --import-table",
	KindGlobal: "modules linked for dynamic loading or for a JavaScript host cannot run here",
}

// describe fills in what the module imports and exports.
func (m *Module) describe(l *rewrite.Module) {
	defs := m.compiled.ImportedFunctions()
	for _, d := range defs {
		module, name, _ := d.Import()
		if module == rewrite.HostModule {
			continue
		}
		m.imports = append(m.imports, Import{module, name, d.ParamTypes(), d.ResultTypes()})
	}
	funcs := m.compiled.ExportedFunctions()
	for _, e := range l.Exports {
		x := Export{Name: e.Name, Kind: e.Kind}
		if d, ok := funcs[e.Name]; ok && e.Kind == KindFunc {
			x.Params, x.Results = d.ParamTypes(), d.ResultTypes()
		}
		m.exports = append(m.exports, x)
	}
	for _, mem := range l.Memories {
		limit := uint64(m.opts.limitPages())
		if mem.HasMax {
			limit = min(limit, mem.Max)
		}
		m.memory = &MemoryLimits{uint32(mem.Min), uint32(limit)}
	}
	for _, t := range l.Tables {
		most := uint64(m.opts.TableLimit)
		if t.HasMax {
			most = min(most, t.Max)
		}
		m.tables = append(m.tables, TableLimits{uint32(t.Min), uint32(most)})
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
	{`feature "threads" is disabled`, "threads", noThreads},
}

// hints say how to do without a proposal that scan has found.
var hints = map[rewrite.Unsupported]string{
	"garbage-collected types":         noGC,
	"64-bit memory (memory64)":        "build for wasm32 rather than wasm64",
	"shared memory (threads)":         noThreads,
	"threads (atomic instructions)":   noThreads,
	"exception handling":              noExceptions,
	"several memories (multi-memory)": "build with one memory",
}

// explain makes a fault of an error of scan or of wazero.
func explain(err error) error {
	var u rewrite.Unsupported
	var table *rewrite.TableError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &u):
		return fault.WithCode(fault.LoadFailed, hints[u], "%w", u)
	case errors.Is(err, rewrite.ErrTruncated):
		return fault.WithCode(fault.LoadFailed, "the file may be half copied: build or copy it again",
			"the WebAssembly module is cut short: %w", err)
	}
	if errors.As(err, &table) {
		return fault.WithCode(fault.LoadFailed,
			"raise guest.table_limit (--guest-table-limit) if the module is to be trusted with that much memory", "%w", table)
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
