package rewrite

// CallsModule is the module of functions that lead out of the sandbox. None of them calls the guest.
const CallsModule = "appserver"

// pause notes what calling an import is to a checkpoint.
func (m *Module) pause(e External) {
	switch e.Module {
	case "wasi_snapshot_preview1":
	case CallsModule:
		return
	default:
		m.foreign = true
		return
	}
	kind, ok := map[string]byte{
		"proc_exit": quiet, "fd_prestat_get": quiet, "fd_prestat_dir_name": quiet, "fd_fdstat_get": quiet, "sched_yield": BeforeYield,
	}[e.Name]
	if !ok {
		return
	}
	if m.pauses == nil {
		m.pauses = map[uint32]byte{}
	}
	m.pauses[m.imported] = kind
}

// pausesAt reports whether a call of the function is to be preceded by a checkpoint.
func (m *Module) pausesAt(index uint32) bool { return index < m.imported && m.pauses[index] != quiet }

// Checkpoints reports whether the module is a command, all of whose calls of the host are made by name: it begins with
// _start and imports nothing but WASI and what leads out of the sandbox.
func (m *Module) Checkpoints() bool { return m.entry >= 0 && !m.foreign && !m.Facts.PassesImports }
