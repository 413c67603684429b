package engine

import (
	"context"
	"crypto/sha256"
	"errors"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/appserver-go/appserver/host/engine/rewrite"
)

// Kind says what an import or export is.
type Kind = rewrite.Kind

// CallsModule is the name under which a command may import functions that lead out of the sandbox, and be suspended all the
// same: none of them may call the guest.
const CallsModule = rewrite.CallsModule

// The kinds of imports and exports (core specification 2.5.10, 2.5.11).
const (
	KindFunc   = rewrite.KindFunc
	KindTable  = rewrite.KindTable
	KindMemory = rewrite.KindMemory
	KindGlobal = rewrite.KindGlobal
	KindTag    = rewrite.KindTag
)

// Import is a function that a module needs from the host.
type Import struct {
	Module, Name    string
	Params, Results []api.ValueType
}

// Export is something a module offers. Params and Results are set for functions only.
type Export struct {
	Name            string
	Kind            Kind
	Params, Results []api.ValueType
}

// Module is a compiled module. It is safe for concurrent use.
type Module struct {
	engine      *Engine
	opts        ModuleOptions
	compiled    wazero.CompiledModule
	key         [sha256.Size]byte
	size        int
	compileTime time.Duration
	imports     []Import
	exports     []Export
	memory      *MemoryLimits
	tables      []TableLimits
	facts       rewrite.Facts
	checkpoints bool              // runs of _start can be gone on with
	starts      bool              // the start function is an export, for us to call
	shift       int               // by how much the indices of its functions are too high
	lines       *lines            // nil without debugging information
	symbols     *os.File          // nil unless published
	lasting     string            // why instances cannot be reset
	data        []rewrite.Segment // what an instance that is not made from an image has in its memory

	link    sync.Once
	linkErr error // what is missing in the host, found at the first instantiation
}

// MemoryLimits are a module's bounds for its memory, in pages of 64 KiB.
type MemoryLimits struct {
	// Min is what an instance starts with.
	Min uint32
	// Max is what it can have at most: the module's own maximum or the engine's limit, whichever is less.
	Max uint32
}

// TableLimits are a module's bounds for a table, in elements; Max is at most the engine's table limit.
type TableLimits struct {
	Min, Max uint32
}

// Imports returns the functions the module imports, in the module's order. The caller must not change it.
func (m *Module) Imports() []Import { return m.imports }

// Exports returns what the module exports, in the module's order. The caller must not change it.
func (m *Module) Exports() []Export { return m.exports }

// Export returns the export with the name.
func (m *Module) Export(name string) (Export, bool) {
	i := slices.IndexFunc(m.exports, func(e Export) bool { return e.Name == name })
	if i < 0 {
		return Export{}, false
	}
	return m.exports[i], true
}

// Memory returns the bounds of the module's memory, and false when it has none.
func (m *Module) Memory() (MemoryLimits, bool) {
	if m.memory == nil {
		return MemoryLimits{}, false
	}
	return *m.memory, true
}

// Tables returns the bounds of the module's tables.
func (m *Module) Tables() []TableLimits { return slices.Clone(m.tables) }

// Size returns the length of the module's binary in bytes.
func (m *Module) Size() int { return m.size }

// CompileTime returns how long compiling took, or loading from the cache.
func (m *Module) CompileTime() time.Duration { return m.compileTime }

// Close releases the compiled code. No instance of the module may be live.
func (m *Module) Close(ctx context.Context) error {
	return errors.Join(m.compiled.Close(ctx), closeSymbols(m.symbols))
}
