package rewrite

// Subsections of the name section (core specification, appendix 7.4.1).
const (
	namesModule    = 0
	namesFunctions = 1
)

// names writes the name section with the names of the module and its functions, for stack traces. Names of locals,
// labels and the rest have no reader here. r is behind the section's own name. The section is beside the point of a
// module, so what cannot be read is left out.
func (w *writer) names(s *section, r *reader) {
	start := len(w.out)
	w.framed(sectionCustom, func() {
		w.name("name")
		for r.err == nil && r.off < s.end {
			id := r.byte()
			body := r.sub(r.u32())
			switch {
			case r.err != nil:
				return
			case id == namesModule:
				w.framed(id, func() { w.out = append(w.out, body.b[body.off:]...) })
			case id == namesFunctions:
				w.framed(id, func() { w.functionNames(body) })
				r.fail(body.err)
			}
		}
	})
	if r.err != nil {
		w.out = w.out[:start]
	}
}

// functionNames writes the names of functions.
func (w *writer) functionNames(r *reader) {
	n := r.u32()
	w.u32(n)
	for range n {
		if r.err != nil {
			return
		}
		w.function(r.u32())
		at := r.off
		r.skip(r.u32())
		if r.err == nil {
			w.out = append(w.out, r.b[at:r.off]...)
		}
	}
}

// FunctionNames returns the names of functions by their index, as far as the module has any: from its name section, or
// else those of exports.
func (m *Module) FunctionNames() map[uint32]string {
	names := map[uint32]string{}
	for _, e := range m.Exports {
		if e.Kind == KindFunc {
			names[e.index] = e.Name
		}
	}
	for _, s := range m.sections {
		r := &reader{b: m.wasm[:s.end], off: s.start}
		if s.id != sectionCustom || r.name() != "name" {
			continue
		}
		for r.err == nil && r.off < s.end {
			id := r.byte()
			body := r.sub(r.u32())
			if id != namesFunctions || r.err != nil {
				continue
			}
			body.vector(func() {
				index := body.u32()
				names[index] = body.name()
			})
		}
	}
	return names
}
