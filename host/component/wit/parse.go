package wit

import (
	"fmt"
	"strings"

	"github.com/appserver-go/appserver/host/component/types"
)

// Interface is an interface: its functions, by the names that components import them under, such as
// "[method]input-stream.read".
type Interface struct {
	Funcs map[string]*types.Func
	types map[string]any // *types.Type or *types.Resource
}

// Parse reads packages in the form `package a:b@1.0.0 { interface c { … } }`, in which an interface uses only those
// before it, from one or more texts. It returns them by name without the version, like "a:b/c".
func Parse(texts ...string) (all map[string]*Interface, err error) {
	defer func() {
		if p := recover(); p != nil {
			e, ok := p.(error)
			if !ok {
				panic(p)
			}
			all, err = nil, e
		}
	}()
	all = map[string]*Interface{}
	for _, text := range texts {
		p := &parser{scanner: scanner{text: text}, all: all}
		p.next()
		for p.tok != "" {
			p.pkg()
		}
	}
	return all, nil
}

// parser reads a text.
type parser struct {
	scanner
	all   map[string]*Interface
	in    string // the package
	iface string // the interface, with its package
	cur   *Interface
}

// path reads a name that may have colons, such as a:b/c@1.0.0, and drops the version.
func (p *parser) path() string {
	name := p.word()
	if p.accept(":") {
		name += ":" + p.word()
	}
	name, _, _ = strings.Cut(name, "@")
	return name
}

func (p *parser) pkg() {
	p.expect("package")
	p.in = p.path()
	p.expect("{")
	p.until("}", "", func() {
		switch kind := p.word(); kind {
		case "interface":
			p.interface_()
		case "world":
			p.word()
			p.expect("{")
			p.skipBlock()
		default:
			p.fail("a package has a %q", kind)
		}
	})
}

// skipBlock passes over what is left of a block.
func (p *parser) skipBlock() {
	for depth := 1; depth > 0; p.next() {
		switch p.tok {
		case "{":
			depth++
		case "}":
			depth--
		case "":
			p.fail("a block has no end")
		}
	}
}

func (p *parser) interface_() {
	p.iface = p.in + "/" + p.word()
	p.cur = &Interface{map[string]*types.Func{}, map[string]any{}}
	if p.all[p.iface] != nil {
		p.fail("the interface %s is there twice", p.iface)
	}
	p.all[p.iface] = p.cur
	p.expect("{")
	p.until("}", "", p.item)
}

func (p *parser) item() {
	switch word := p.word(); word {
	case "use":
		p.use()
	case "type":
		name := p.word()
		p.expect("=")
		p.cur.types[name] = p.typ()
		p.expect(";")
	case "record":
		name := p.word()
		p.define(name, func(fs []types.Field) (*types.Type, error) { return types.NewRecord(types.Record, fs) })
	case "variant":
		name := p.word()
		p.define(name, func(fs []types.Field) (*types.Type, error) { return types.NewVariant(types.Variant, fs) })
	case "enum":
		name := p.word()
		p.define(name, func(fs []types.Field) (*types.Type, error) { return types.NewEnum(names(fs)) })
	case "flags":
		name := p.word()
		p.define(name, func(fs []types.Field) (*types.Type, error) { return types.NewFlags(names(fs)) })
	case "resource":
		p.resource(p.word())
	default:
		p.expect(":")
		p.function(word, nil)
	}
}

func names(fs []types.Field) []string {
	out := make([]string, len(fs))
	for i, f := range fs {
		out[i] = f.Name
	}
	return out
}

// define reads the members of a type: names, with types after a colon or in parentheses.
func (p *parser) define(name string, make func([]types.Field) (*types.Type, error)) {
	var fields []types.Field
	p.expect("{")
	p.until("}", ",", func() {
		f := types.Field{Name: p.word()}
		if p.accept(":") {
			f.Type = p.value()
		} else if p.accept("(") {
			f.Type = p.value()
			p.expect(")")
		}
		fields = append(fields, f)
	})
	p.cur.types[name] = p.must(make(fields))
}

func (p *parser) must(t *types.Type, err error) *types.Type {
	if err != nil {
		p.fail("%v", err)
	}
	return t
}

// use reads `use a:b/c@1.0.0.{d, e as f};`.
func (p *parser) use() {
	name := p.word()
	if p.accept(":") {
		name += ":" + p.word()
	} else {
		name = p.in + "/" + name
	}
	name = strings.TrimSuffix(name, ".")
	name, _, _ = strings.Cut(name, "@")
	from := p.all[name]
	if from == nil {
		p.fail("the interface %s is not there yet", name)
	}
	p.expect("{")
	p.until("}", ",", func() {
		of := p.word()
		as := of
		if p.accept("as") {
			as = p.word()
		}
		if p.cur.types[as] = from.types[of]; p.cur.types[as] == nil {
			p.fail("the interface %s has no type %s", name, of)
		}
	})
	p.expect(";")
}

func (p *parser) resource(name string) {
	r := &types.Resource{Name: p.iface + "." + name, Host: true, Dtor: -1}
	p.cur.types[name] = r
	if p.accept(";") {
		return
	}
	self := types.Field{Name: "self", Type: types.NewHandle(types.Borrow, r)}
	p.expect("{")
	p.until("}", "", func() {
		f := p.word()
		if f == "constructor" {
			t := &types.Func{Params: p.params(nil), Result: types.NewHandle(types.Own, r)}
			p.add("[constructor]"+name, t)
			p.expect(";")
			return
		}
		p.expect(":")
		if p.accept("static") {
			p.function("[static]"+name+"."+f, nil)
		} else {
			p.function("[method]"+name+"."+f, []types.Field{self})
		}
	})
}

// function reads `func(a: b) -> c;`.
func (p *parser) function(name string, params []types.Field) {
	p.expect("func")
	t := &types.Func{Params: p.params(params)}
	if p.accept("->") {
		t.Result = p.value()
	}
	p.expect(";")
	p.add(name, t)
}

func (p *parser) add(name string, t *types.Func) {
	if p.cur.Funcs[name] != nil {
		p.fail("the function %s is there twice", name)
	}
	p.cur.Funcs[name] = t
}

func (p *parser) params(fields []types.Field) []types.Field {
	p.expect("(")
	p.until(")", ",", func() {
		name := p.word()
		p.expect(":")
		fields = append(fields, types.Field{Name: name, Type: p.value()})
	})
	return fields
}

var prims = func() map[string]types.Kind {
	m := map[string]types.Kind{}
	for k := types.Bool; k <= types.String; k++ {
		m[k.String()] = k
	}
	return m
}()

// value reads a value type. The name of a resource stands for an own handle.
func (p *parser) value() *types.Type {
	switch t := p.typ().(type) {
	case *types.Type:
		return t
	case *types.Resource:
		return types.NewHandle(types.Own, t)
	default:
		panic(fmt.Errorf("no type: %T", t))
	}
}

// typ reads a type: a value type or the name of a resource.
func (p *parser) typ() any {
	name := p.word()
	if k, ok := prims[name]; ok {
		return types.Prim(k)
	}
	switch name {
	case "list":
		return p.must(types.NewList(p.args()[0], 0))
	case "option":
		return p.must(types.NewOption(p.args()[0]))
	case "tuple":
		var fields []types.Field
		for _, t := range p.args() {
			fields = append(fields, types.Field{Type: t})
		}
		return p.must(types.NewRecord(types.Tuple, fields))
	case "result":
		args := append(p.args(), nil, nil)
		return p.must(types.NewResult(args[0], args[1]))
	case "own", "borrow":
		p.expect("<")
		r, ok := p.cur.types[p.word()].(*types.Resource)
		if !ok {
			p.fail("%s of what is no resource", name)
		}
		p.expect(">")
		if name == "own" {
			return types.NewHandle(types.Own, r)
		}
		return types.NewHandle(types.Borrow, r)
	}
	t := p.cur.types[name]
	if t == nil {
		p.fail("the type %s is not there", name)
	}
	return t
}

// args reads types in angle brackets, none if there are no brackets. An underscore is a type that is missing.
func (p *parser) args() (ts []*types.Type) {
	if !p.accept("<") {
		return nil
	}
	p.until(">", ",", func() {
		if p.accept("_") {
			ts = append(ts, nil)
		} else {
			ts = append(ts, p.value())
		}
	})
	return ts
}
