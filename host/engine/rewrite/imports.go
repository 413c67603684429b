package rewrite

// imports writes the import section, with the names that Module.Rename gives. A memory that is imported loses its
// maximum together with the one it is.
func (w *writer) imports(s *section) {
	if w.m.Rename == nil {
		w.extended(s)
		return
	}
	r := &reader{b: w.m.wasm[:s.end], off: s.start}
	w.u32(r.u32() + w.added(s.id))
	for range w.m.Imports {
		e := External{Module: r.name(), Name: r.name()}
		at := r.off
		r.importDesc(&e)
		module, name := w.m.Rename(e.Module, e.Name)
		w.name(module)
		w.name(name)
		if e.Kind == KindMemory && w.o.Reset {
			w.out = append(w.out, 2)
			w.limits(Limits{Min: e.limits.Min})
		} else {
			w.out = append(w.out, w.m.wasm[at:r.off]...)
		}
	}
	w.add(s.id)
}
