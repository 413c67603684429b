package link

import (
	"errors"
	"fmt"
	"maps"

	"github.com/appserver-go/appserver/host/component/binary"
	"github.com/appserver-go/appserver/host/component/types"
)

// Limits of a plan. A small file can instantiate a component that instantiates another twice, and so on.
const (
	maxSteps = 200
	maxComps = 1000
	maxItems = 200_000
)

// linker makes a plan.
type linker struct {
	plan      *Plan
	resources map[string]*types.Resource // of the host, by name
	funcs     map[Core]int               // places in Plan.Funcs
	memories  map[Core]int
	items     int
}

// scope holds the index spaces of a component, or of the type of an instance, while it is evaluated.
type scope struct {
	*linker
	outer *scope
	comp  int

	core      [binary.SortCoreTag + 1][]Core
	coreTypes int
	modules   []module
	coreInsts []*CoreInstance
	funcs     []*Func
	types     []any // *types.Type, *types.Resource, *types.Func, *declared
	comps     []*component
	insts     []*Instance
}

// declared is the type of an instance or component: its declarations and what they can see.
type declared struct {
	is    binary.Constructor
	decls []binary.Def
	scope *scope
}

// Link makes the plan of a component. Errors say which definition is at fault, or what is not supported.
func Link(c *binary.Component) (*Plan, error) {
	l := &linker{
		plan: &Plan{}, resources: map[string]*types.Resource{}, funcs: map[Core]int{}, memories: map[Core]int{},
	}
	inst, err := l.evaluate(&component{c: c}, nil)
	if err != nil {
		return nil, err
	}
	l.plan.Exports = inst
	return l.plan, nil
}

// evaluate instantiates a component. Args are nil for the outermost, whose imports are the host's.
func (l *linker) evaluate(c *component, args map[string]any) (*Instance, error) {
	s := &scope{linker: l, outer: c.scope, comp: l.plan.Comps}
	if l.plan.Comps++; l.plan.Comps > maxComps {
		return nil, fmt.Errorf("the component instantiates components more than %d times", maxComps)
	}
	out := &Instance{Exports: map[string]any{}}
	for _, d := range c.c.Defs {
		if err := s.define(d, args, c.scope == nil && args == nil, out); err != nil {
			return nil, err
		}
	}
	return out, nil
}

var errTooMany = errors.New("the component has too many parts")

// define evaluates a definition. Host says that imports are the host's.
func (s *scope) define(d binary.Def, args map[string]any, host bool, out *Instance) error {
	if s.items++; s.items > maxItems {
		return errTooMany
	}
	switch d := d.(type) {
	case binary.CoreModule:
		s.modules = append(s.modules, module{d.Wasm})
	case binary.CoreType:
		s.coreTypes++
	case binary.CoreInstance:
		return s.coreInstance(d)
	case binary.Nested:
		s.comps = append(s.comps, &component{d.Component, s})
	case binary.Instance:
		return s.instance(d)
	case binary.Alias:
		return s.alias(d)
	case binary.Type:
		t, err := s.deftype(d)
		if err != nil {
			return err
		}
		s.types = append(s.types, t)
	case binary.Canon:
		return s.canon(d)
	case binary.Import:
		return s.imported(d, args, host)
	case binary.Export:
		return s.export(d, out)
	case binary.Start:
		return errors.New("a component's start function is not supported")
	case binary.Value:
		return errors.New("values at the level of components are not supported")
	default:
		return fmt.Errorf("a definition of the type %T is unknown", d)
	}
	return nil
}

func (s *scope) imported(d binary.Import, args map[string]any, host bool) error {
	var given any
	if !host {
		var ok bool
		if given, ok = args[d.Name]; !ok {
			return fmt.Errorf("a component is instantiated without its import %q", d.Name)
		}
	}
	item, err := s.bind(canonical(d.Name), "", d.Desc, given)
	if err != nil {
		return fmt.Errorf("import %q: %w", d.Name, err)
	}
	s.push(item)
	return nil
}

func (s *scope) export(d binary.Export, out *Instance) error {
	item, err := s.get(d.Ref)
	if err != nil {
		return fmt.Errorf("export %q: %w", d.Name, err)
	}
	if _, twice := out.Exports[d.Name]; twice {
		return fmt.Errorf("the export %q is given twice", d.Name)
	}
	out.Exports[d.Name] = item
	s.push(item)
	return nil
}

// push adds an item to the index space of its sort.
func (s *scope) push(item any) {
	switch x := item.(type) {
	case *Func:
		s.funcs = append(s.funcs, x)
	case *Instance:
		s.insts = append(s.insts, x)
	case *component:
		s.comps = append(s.comps, x)
	case module:
		s.modules = append(s.modules, x)
	default:
		s.types = append(s.types, x)
	}
}

// at returns an entry of an index space.
func at[T any](space []T, sort binary.Sort, index uint32) (T, error) {
	if uint64(index) >= uint64(len(space)) {
		var none T
		return none, fmt.Errorf("the %s %d does not exist, there are %d", sort, index, len(space))
	}
	return space[index], nil
}

// get returns what a reference points to.
func (s *scope) get(r binary.Ref) (any, error) {
	switch r.Sort {
	case binary.SortFunc:
		return at(s.funcs, r.Sort, r.Index)
	case binary.SortInstance:
		return at(s.insts, r.Sort, r.Index)
	case binary.SortType:
		return at(s.types, r.Sort, r.Index)
	case binary.SortComponent:
		return at(s.comps, r.Sort, r.Index)
	case binary.SortCoreModule:
		return at(s.modules, r.Sort, r.Index)
	}
	return nil, fmt.Errorf("a %s cannot be passed or exported", r.Sort)
}

// sortOf says what an item is.
func sortOf(item any) binary.Sort {
	switch item.(type) {
	case *Func:
		return binary.SortFunc
	case *Instance:
		return binary.SortInstance
	case *component:
		return binary.SortComponent
	case module:
		return binary.SortCoreModule
	}
	return binary.SortType
}

func (s *scope) alias(d binary.Alias) error {
	switch d.Kind {
	case binary.AliasExport:
		inst, err := at(s.insts, binary.SortInstance, d.Instance)
		if err != nil {
			return err
		}
		item, ok := inst.Exports[d.Name]
		if !ok || sortOf(item) != d.Sort {
			return fmt.Errorf("an instance has no %s %q to take as an alias", d.Sort, d.Name)
		}
		s.push(item)
		return nil
	case binary.AliasCoreExport:
		inst, err := at(s.coreInsts, binary.SortCoreInstance, d.Instance)
		if err != nil {
			return err
		}
		item, ok := inst.Get(d.Sort, d.Name)
		if !ok || item.Sort != d.Sort || d.Sort > binary.SortCoreTag {
			return fmt.Errorf("a core instance has no %s %q to take as an alias", d.Sort, d.Name)
		}
		s.core[d.Sort] = append(s.core[d.Sort], item)
		return nil
	}
	o := s
	for range d.Outer {
		if o = o.outer; o == nil {
			return fmt.Errorf("an alias points %d components outward, beyond the outermost", d.Outer)
		}
	}
	if d.Sort == binary.SortCoreType {
		s.coreTypes++
		return nil
	}
	item, err := o.get(binary.Ref{Sort: d.Sort, Index: d.Index})
	if err != nil {
		return err
	}
	s.push(item)
	return nil
}

func (s *scope) coreInstance(d binary.CoreInstance) error {
	if d.Inline {
		inst := &CoreInstance{Step: -1, Items: map[string]Core{}}
		for _, a := range d.Args {
			if a.Ref.Sort > binary.SortCoreTag {
				return fmt.Errorf("a core instance cannot export a %s", a.Ref.Sort)
			}
			item, err := at(s.core[a.Ref.Sort], a.Ref.Sort, a.Ref.Index)
			if err != nil {
				return err
			}
			inst.Items[a.Name] = item
		}
		s.coreInsts = append(s.coreInsts, inst)
		return nil
	}
	m, err := at(s.modules, binary.SortCoreModule, d.Module)
	if err != nil {
		return err
	}
	step := Step{Wasm: m.wasm, Args: map[string]*CoreInstance{}}
	for _, a := range d.Args {
		inst, err := at(s.coreInsts, binary.SortCoreInstance, a.Ref.Index)
		if err != nil {
			return err
		}
		step.Args[a.Name] = inst
	}
	if s.plan.Steps = append(s.plan.Steps, step); len(s.plan.Steps) > maxSteps {
		return fmt.Errorf("the component instantiates core modules more than %d times", maxSteps)
	}
	s.coreInsts = append(s.coreInsts, &CoreInstance{Step: len(s.plan.Steps) - 1})
	return nil
}

func (s *scope) instance(d binary.Instance) error {
	items := map[string]any{}
	for _, a := range d.Args {
		item, err := s.get(a.Ref)
		if err != nil {
			return err
		}
		items[a.Name] = item
	}
	if d.Inline {
		s.insts = append(s.insts, &Instance{items})
		return nil
	}
	c, err := at(s.comps, binary.SortComponent, d.Component)
	if err != nil {
		return err
	}
	inst, err := s.evaluate(c, maps.Clone(items))
	if err != nil {
		return err
	}
	s.insts = append(s.insts, inst)
	return nil
}
