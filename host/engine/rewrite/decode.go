package rewrite

import (
	"bytes"
	"fmt"
	"strings"
)

// Section ids of the binary format (core specification 5.5.2; 13 is exception handling's).
const (
	sectionCustom    = 0
	sectionType      = 1
	sectionImport    = 2
	sectionFunction  = 3
	sectionTable     = 4
	sectionMemory    = 5
	sectionGlobal    = 6
	sectionExport    = 7
	sectionStart     = 8
	sectionElement   = 9
	sectionCode      = 10
	sectionData      = 11
	sectionDataCount = 12
	sectionTag       = 13
)

// rank is where each section stands in a module (core specification 5.5.16).
var rank = [...]int{
	sectionType: 1, sectionImport: 2, sectionFunction: 3, sectionTable: 4, sectionMemory: 5, sectionTag: 6,
	sectionGlobal: 7, sectionExport: 8, sectionStart: 9, sectionElement: 10, sectionDataCount: 11, sectionCode: 12, sectionData: 13,
}

// Names that are the host's own. A module that uses them is refused.
const (
	// HostModule is the module that the function which is called for fuel is imported from.
	HostModule = "appserver_engine"
	// YieldImport is that function, of type ()->().
	YieldImport = "yield"
	// DescriptorImport is a function of type (i32)->() that is called with the descriptor that fd_close is about to close,
	// or with -1 for fd_renumber.
	DescriptorImport = "descriptor"
	// CheckpointImport is a function of type (i32)->(i32) that is called with one of the constants below, where a run of the
	// guest can be gone on with. As long as it returns something else than 0 it is called again.
	CheckpointImport = "checkpoint"
	// FuelExport is the global of type i32 that counts the fuel down. Yield has to set it again.
	FuelExport = reserved + "fuel"
	// StartExport is what the start function is exported as.
	StartExport = reserved + "start"

	reserved = "appserver."
)

// What the guest is about to do at a checkpoint.
const (
	BeforeStart = 0 // to begin
	BeforeCall  = 1 // to call the host
	BeforeYield = 2 // to call sched_yield
)

// magic is how a core module of version 1 begins.
var magic = []byte("\x00asm\x01\x00\x00\x00")

// Unsupported is the error for a module that uses a proposal which wazero does not implement or we leave off.
type Unsupported string

func (u Unsupported) Error() string {
	return "the module uses " + string(u) + ", which is not supported"
}

// Kind says what an import or export is.
type Kind string

// The kinds of imports and exports (core specification 2.5.10, 2.5.11).
const (
	KindFunc   Kind = "func"
	KindTable  Kind = "table"
	KindMemory Kind = "memory"
	KindGlobal Kind = "global"
	KindTag    Kind = "tag"
)

// Limits are the bounds of a table or memory (core specification 5.3.7).
type Limits struct {
	Min, Max uint64
	HasMax   bool
}

// External is an import or export. Module is "" for exports.
type External struct {
	Module, Name string
	Kind         Kind

	index  uint32 // of a function: the type if it is imported, itself if it is exported
	limits Limits // of a memory that is imported
}

// tableDef is a table and where its limits are written.
type tableDef struct {
	limits Limits
	at     span
}

// span is a part of the module's bytes.
type span struct{ start, end int }

// section is a section and where its contents are.
type section struct {
	id byte
	span
}

// Module is a decoded module. It refers to the bytes it was decoded from, which must not change.
type Module struct {
	Imports  []External
	Exports  []External
	Tables   []Limits
	Memories []Limits
	// Facts are what the code says about whether instances can be reset.
	Facts Facts
	// Rename, if set, gives imports other names when the module is rewritten.
	Rename func(module, name string) (newModule, newName string)

	wasm     []byte
	linked   bool
	sections []section
	tables   []tableDef
	globals  uint32   // the number of them, those imported included
	params   []uint32 // the number of parameters of each type
	types    []uint32 // the type of each function that the module defines
	funcs    []funcInfo
	calls    []uint32 // the functions that are called by name, without those imported, for all functions
	flow     flow
	imported uint32 // functions
	watched  map[uint32]watched
	pauses   map[uint32]byte // imports that are not BeforeCall: BeforeYield, or quiet
	entry    int64           // the function exported as _start, -1 without one
	foreign  bool            // imports functions that are neither WASI's nor of CallsModule
	start    int64           // the start function, -1 without one
	refs     []uint32
	maxRef   int64 // the highest function index that is referred to outside of code
}

// Decode reads a module. The error is Unsupported, wraps ErrTruncated, or says at which byte what is wrong. Not
// everything that decodes is valid: types, above all, are not checked.
func Decode(wasm []byte) (*Module, error) { return decode(wasm, false) }

// DecodeLinked reads a module whose imports other modules supply. WASI is none of the host's then: closing a descriptor
// changes nothing but another module's memory.
func DecodeLinked(wasm []byte) (*Module, error) { return decode(wasm, true) }

func decode(wasm []byte, linked bool) (*Module, error) {
	if !bytes.HasPrefix(wasm, magic) {
		return nil, fmt.Errorf("the module does not begin with %q", magic)
	}
	m := &Module{wasm: wasm, start: -1, maxRef: -1, entry: -1, linked: linked}
	heap := int64(-1)
	r := &reader{b: wasm, off: len(magic), heap: &heap}
	last := 0
	for r.err == nil && r.off < len(r.b) {
		at := r.off
		id := r.byte()
		body := r.sub(r.u32())
		if r.err != nil {
			return nil, fmt.Errorf("section %d: %w", id, r.err)
		}
		if int(id) >= len(rank) {
			return nil, fmt.Errorf("section id %d at byte %d is unknown", id, at)
		}
		if id != sectionCustom {
			if rank[id] == last {
				return nil, fmt.Errorf("section %d occurs twice", id)
			}
			if rank[id] < last {
				return nil, fmt.Errorf("section %d at byte %d is out of order", id, at)
			}
			last = rank[id]
		}
		m.sections = append(m.sections, section{id, span{body.off, len(body.b)}})
		m.section(id, body)
		if body.err != nil {
			return nil, fmt.Errorf("section %d at byte %d: %w", id, at, body.err)
		}
	}
	if r.err != nil {
		return nil, r.err
	}
	if heap >= int64(len(m.params)) {
		return nil, fmt.Errorf("the type %d does not exist, there are %d", heap, len(m.params))
	}
	return m, m.check()
}

// Linked reports whether the module was read by DecodeLinked.
func (m *Module) Linked() bool { return m.linked }

// Start reports whether the module has a start function (core specification 2.5.9).
func (m *Module) Start() bool { return m.start >= 0 }

// section reads a section.
func (m *Module) section(id byte, r *reader) {
	switch id {
	case sectionCustom, sectionData, sectionDataCount:
		return // wazero's to read
	case sectionType:
		r.vector(func() { m.params = append(m.params, r.funcType()) })
	case sectionImport:
		r.vector(func() { m.addImport(r.imported()) })
	case sectionFunction:
		r.vector(func() { m.types = append(m.types, r.u32()) })
	case sectionTable:
		r.vector(func() { m.addTable(r) })
	case sectionMemory:
		r.vector(func() { m.Memories = append(m.Memories, r.limits()) })
	case sectionTag:
		r.fail(Unsupported("exception handling"))
	case sectionGlobal:
		r.vector(func() { m.addGlobal(r) })
	case sectionExport:
		r.vector(func() { m.addExport(r) })
	case sectionStart:
		m.start = int64(r.u32())
		m.maxRef = max(m.maxRef, m.start)
	case sectionElement:
		r.vector(func() { m.element(r) })
	case sectionCode:
		m.code(r)
	}
	if r.err == nil && r.off != len(r.b) {
		r.fail(fmt.Errorf("%d bytes are left over", len(r.b)-r.off))
	}
}

func (m *Module) addImport(e External) {
	switch e.Kind {
	case KindFunc:
		m.watch(e)
		m.pause(e)
		m.imported++
	case KindGlobal:
		m.globals++
	}
	m.Imports = append(m.Imports, e)
}

func (m *Module) addGlobal(r *reader) {
	valueType := r.valueType()
	switch mutable := r.byte(); mutable {
	case 0:
	case 1:
		m.Facts.Globals = append(m.Facts.Globals, m.globals)
		m.Facts.OpaqueGlobals = m.Facts.OpaqueGlobals || valueType < 0x7c || valueType > 0x7f
	default:
		r.fail(fmt.Errorf("a global has the unknown mutability %d", mutable))
	}
	m.constExpr(r)
	m.globals++
}

func (m *Module) addExport(r *reader) {
	e := External{Name: r.name()}
	kinds := [...]Kind{KindFunc, KindTable, KindMemory, KindGlobal, KindTag}
	kind := r.byte()
	if int(kind) >= len(kinds) {
		r.fail(fmt.Errorf("the export %q is of the unknown kind %d", e.Name, kind))
		return
	}
	if e.Kind = kinds[kind]; e.Kind == KindFunc {
		e.index = m.funcRef(r)
		if e.Name == "_start" && e.index >= m.imported {
			m.entry = int64(e.index - m.imported)
		}
	} else if index := r.u32(); e.Kind == KindGlobal && index >= m.globals {
		r.fail(fmt.Errorf("the export %q is of the unknown global %d", e.Name, index))
	}
	m.Exports = append(m.Exports, e)
}

// funcRef reads the index of a function and remembers where it is.
func (m *Module) funcRef(r *reader) (index uint32) {
	m.refs = append(m.refs, uint32(r.off))
	index = r.u32()
	m.maxRef = max(m.maxRef, int64(index))
	m.notePassed(index)
	return index
}

// notePassed notes that a function can be called in other ways than by its name.
func (m *Module) notePassed(index uint32) {
	m.Facts.PassesClose = m.Facts.PassesClose || m.watched[index] != 0
	m.Facts.PassesImports = m.Facts.PassesImports || m.pausesAt(index)
}

// watched is what has to be called before a function.
type watched byte

const (
	watchClose    watched = 1 + iota // fd_close
	watchRenumber                    // fd_renumber
)

// watch notes an import that can close what the guest was started with, which a reset would not open again.
func (m *Module) watch(e External) {
	if m.linked || e.Module != "wasi_snapshot_preview1" || uint64(e.index) >= uint64(len(m.params)) {
		return
	}
	w := map[string]watched{"fd_close": watchClose, "fd_renumber": watchRenumber}[e.Name]
	if w == 0 || m.params[e.index] != uint32(w) { // fd_close has one parameter, fd_renumber two
		return
	}
	if m.watched == nil {
		m.watched = map[uint32]watched{}
	}
	m.watched[m.imported] = w
}

// quiet marks imports that give the guest nothing which could be different at another time or for another request, or
// that do not return.
const quiet = 0xff

// element reads an element segment (core specification 5.5.12): the lowest bit says that it is passive or declarative,
// the next one that it has a table or is declarative, the third that it holds expressions.
func (m *Module) element(r *reader) {
	flags := r.u32()
	if flags > 7 {
		r.fail(fmt.Errorf("an element segment has the unknown flags %d", flags))
		return
	}
	if flags&1 == 0 {
		if flags&2 != 0 {
			r.u32()
		}
		m.constExpr(r)
	}
	if flags&3 != 0 {
		if flags&4 != 0 {
			r.valueType()
		} else {
			r.byte()
		}
	}
	r.vector(func() {
		if flags&4 != 0 {
			m.constExpr(r)
		} else {
			m.funcRef(r)
		}
	})
}

// check refuses what refers to something that does not exist or is reserved: what we add to the module must not be what
// the module referred to.
func (m *Module) check() error {
	if len(m.funcs) != len(m.types) {
		return fmt.Errorf("%d functions have a type and %d have code", len(m.types), len(m.funcs))
	}
	if total := int64(m.imported) + int64(len(m.types)); m.maxRef >= total {
		return fmt.Errorf("the function %d does not exist, there are %d", m.maxRef, total)
	}
	for _, i := range m.Imports {
		if i.Kind == KindFunc && uint64(i.index) >= uint64(len(m.params)) {
			return fmt.Errorf("the type %d of the import %q %q does not exist", i.index, i.Module, i.Name)
		}
		if i.Module == HostModule {
			return fmt.Errorf("the import %q %q is reserved for the server", i.Module, i.Name)
		}
	}
	for _, e := range m.Exports {
		if strings.HasPrefix(e.Name, reserved) {
			return fmt.Errorf("the export %q is reserved for the server", e.Name)
		}
	}
	return nil
}
