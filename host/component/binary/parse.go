package binary

import (
	"bytes"
	"errors"
	"fmt"
)

// Magic is how a component of the current version begins: "\0asm", version 0x0d, layer 1.
var Magic = []byte("\x00asm\x0d\x00\x01\x00")

// Sections of a component.
const (
	sectionCustom = iota
	sectionCoreModule
	sectionCoreInstance
	sectionCoreType
	sectionComponent
	sectionInstance
	sectionAlias
	sectionType
	sectionCanon
	sectionStart
	sectionImport
	sectionExport
	sectionValue
)

// Parse reads a component. Errors wrap ErrTruncated or say at which byte of the file what is wrong.
func Parse(b []byte) (*Component, error) {
	items := maxDefs
	r := &reader{b: b, end: len(b), items: &items}
	c := r.component()
	return c, r.err
}

func (r *reader) component() *Component {
	c := &Component{}
	if magic := r.bytes(uint32(len(Magic))); r.err == nil && !bytes.Equal(magic, Magic) {
		r.fail(fmt.Errorf("a component begins with %q, not %q", Magic, magic))
	}
	for r.err == nil && r.off < r.end {
		id := r.byte()
		s := r.sub(r.u32())
		s.section(c, id)
		if s.err == nil && s.off != s.end {
			s.fail(fmt.Errorf("section %d has %d bytes too many", id, s.end-s.off))
		}
		r.err = s.err
	}
	return c
}

// section reads a section and appends its definitions.
func (r *reader) section(c *Component, id byte) {
	each := func(def func() Def) {
		r.vector(func() { c.Defs = append(c.Defs, def()) })
	}
	switch id {
	case sectionCustom:
		r.name()
		r.off = r.end
	case sectionCoreModule:
		c.Defs = append(c.Defs, CoreModule{r.bytes(uint32(r.end - r.off))})
	case sectionCoreInstance:
		each(func() Def { return r.coreInstance() })
	case sectionCoreType:
		each(func() Def { return r.coreType() })
	case sectionComponent:
		r.deeper(func() { c.Defs = append(c.Defs, Nested{r.component()}) })
	case sectionInstance:
		each(func() Def { return r.instance() })
	case sectionAlias:
		each(func() Def { return r.alias() })
	case sectionType:
		each(func() Def { return r.deftype() })
	case sectionCanon:
		each(func() Def { return r.canon() })
	case sectionStart:
		c.Defs = append(c.Defs, r.start())
	case sectionImport:
		each(func() Def { return Import{r.externName(), r.extern()} })
	case sectionExport:
		each(func() Def { return r.export() })
	case sectionValue:
		each(func() Def {
			t := r.valType()
			return Value{t, r.bytes(r.u32())}
		})
	default:
		r.fail(fmt.Errorf("section id %d is unknown", id))
	}
}

func (r *reader) coreInstance() (i CoreInstance) {
	switch form := r.byte(); form {
	case 0:
		i.Module = r.u32()
		r.vector(func() {
			a := Named{Name: r.name()}
			if sort := r.byte(); sort != 0x12 && r.err == nil {
				r.fail(fmt.Errorf("a core module is given something of the sort %#x, not an instance", sort))
			}
			a.Ref = Ref{SortCoreInstance, r.u32()}
			i.Args = append(i.Args, a)
		})
	case 1:
		i.Inline = true
		r.vector(func() {
			i.Args = append(i.Args, Named{r.name(), Ref{r.coreSort(), r.u32()}})
		})
	default:
		r.fail(fmt.Errorf("a core instance begins with the unknown byte %#x", form))
	}
	return i
}

func (r *reader) instance() (i Instance) {
	switch form := r.byte(); form {
	case 0:
		i.Component = r.u32()
		r.vector(func() { i.Args = append(i.Args, Named{r.name(), r.ref()}) })
	case 1:
		i.Inline = true
		r.vector(func() { i.Args = append(i.Args, Named{r.externName(), r.ref()}) })
	default:
		r.fail(fmt.Errorf("an instance begins with the unknown byte %#x", form))
	}
	return i
}

func (r *reader) ref() Ref { return Ref{r.sort(), r.u32()} }

func (r *reader) coreSort() Sort {
	switch s := r.byte(); s {
	case 0, 1, 2, 3, 4:
		return SortCoreFunc + Sort(s)
	case 0x10, 0x11, 0x12:
		return SortCoreType + Sort(s-0x10)
	default:
		r.fail(fmt.Errorf("the core sort %#x is unknown", s))
	}
	return 0
}

func (r *reader) sort() Sort {
	switch s := r.byte(); s {
	case 0:
		return r.coreSort()
	case 1, 2, 3, 4, 5:
		return SortFunc + Sort(s-1)
	default:
		r.fail(fmt.Errorf("the sort %#x is unknown", s))
	}
	return 0
}

func (r *reader) alias() Alias {
	a := Alias{Sort: r.sort(), Kind: AliasKind(r.byte())}
	switch a.Kind {
	case AliasExport, AliasCoreExport:
		a.Instance, a.Name = r.u32(), r.name()
		if core := a.Sort <= SortCoreTag; r.err == nil && core != (a.Kind == AliasCoreExport) && a.Sort != SortCoreModule {
			r.fail(fmt.Errorf("an instance cannot export a %s", a.Sort))
		}
	case AliasOuter:
		a.Outer, a.Index = r.u32(), r.u32()
	default:
		r.fail(fmt.Errorf("the kind of alias %#x is unknown", byte(a.Kind)))
	}
	return a
}

func (r *reader) start() (s Start) {
	s.Func = r.u32()
	r.vector(func() { s.Args = append(s.Args, r.u32()) })
	s.Results = r.u32()
	return s
}

// externName reads the name of an import or export. Byte 2 announces attributes, such as the suffix of a version.
func (r *reader) externName() string {
	form := r.byte()
	name := r.name()
	switch form {
	case 0, 1:
	case 2:
		r.vector(func() {
			r.byte()
			r.name()
		})
	default:
		r.fail(fmt.Errorf("the form of name %#x is unknown", form))
	}
	return name
}

func (r *reader) export() Export {
	e := Export{Name: r.externName(), Ref: r.ref()}
	if r.flag() {
		desc := r.extern()
		e.Desc = &desc
	}
	return e
}

// extern reads the type of an import or export.
func (r *reader) extern() (e Extern) {
	switch kind := r.byte(); kind {
	case 0:
		e.Sort = SortCoreModule
		if sort := r.byte(); sort != 0x11 && r.err == nil {
			r.fail(fmt.Errorf("the core sort %#x cannot be imported or exported", sort))
		}
		e.Index = r.u32()
	case 1, 4, 5:
		e.Sort, e.Index = SortFunc+Sort(kind-1), r.u32()
	case 2:
		e.Sort = SortValue
		if r.flag() {
			e.Value = r.valType()
		} else {
			e.Index = r.u32()
		}
	case 3:
		e.Sort = SortType
		if e.Sub = r.flag(); !e.Sub {
			e.Index = r.u32()
		}
	default:
		r.fail(errors.New("the type of an import or export is of no known kind"))
	}
	return e
}
