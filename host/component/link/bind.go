package link

import (
	"errors"
	"fmt"
	"strings"

	"github.com/appserver-go/appserver/host/component/binary"
	"github.com/appserver-go/appserver/host/component/types"
)

// canonical takes the version off an interface's name if it is 0.2.x: those are interchangeable.
func canonical(name string) string {
	base, version, found := strings.Cut(name, "@")
	patch, ok := strings.CutPrefix(version, "0.2.")
	if !found || !ok || patch == "" || strings.Trim(patch, "0123456789") != "" {
		return name
	}
	return base
}

// bind returns the item that an import of the type desc stands for: given, if that fits, or, where given is nil,
// something that is the host's to supply. An instance gets the exports of its type only. Interface and name are what the
// host knows it by.
func (s *scope) bind(iface, name string, desc binary.Extern, given any) (any, error) {
	if given != nil && sortOf(given) != desc.Sort {
		return nil, fmt.Errorf("it should be a %s and is a %s", desc.Sort, sortOf(given))
	}
	switch desc.Sort {
	case binary.SortFunc:
		return s.bindFunc(iface, name, desc, given)
	case binary.SortType:
		return s.bindType(iface, name, desc, given)
	case binary.SortInstance:
		t, err := at(s.types, binary.SortType, desc.Index)
		if err != nil {
			return nil, err
		}
		d, ok := t.(*declared)
		if !ok || d.is != binary.IsInstance {
			return nil, fmt.Errorf("the type %d is not that of an instance", desc.Index)
		}
		inst, _ := given.(*Instance)
		if name != "" {
			iface += "/" + name
		}
		return d.bind(iface, inst)
	case binary.SortComponent, binary.SortCoreModule:
		if given == nil {
			return nil, fmt.Errorf("a component that imports a %s is not supported", desc.Sort)
		}
		return given, nil
	}
	return nil, fmt.Errorf("the import of a %s is not supported", desc.Sort)
}

func (s *scope) bindFunc(iface, name string, desc binary.Extern, given any) (any, error) {
	t, err := at(s.types, binary.SortType, desc.Index)
	if err != nil {
		return nil, err
	}
	ft, ok := t.(*types.Func)
	if !ok {
		return nil, fmt.Errorf("the type %d is not that of a function", desc.Index)
	}
	if given == nil {
		f := &Func{Type: ft, Interface: iface, Name: name, Core: -1}
		if name == "" { // an import of the world itself
			f.Interface, f.Name = "", iface
		}
		s.plan.Imports = append(s.plan.Imports, f)
		return f, nil
	}
	f := given.(*Func)
	if !types.EqualFuncs(ft, f.Type) {
		return nil, fmt.Errorf("it should be a %s and is a %s", ft, f.Type)
	}
	return f, nil
}

func (s *scope) bindType(iface, name string, desc binary.Extern, given any) (any, error) {
	if desc.Sub {
		if given == nil {
			return s.hostResource(iface + "." + name), nil
		}
		if _, ok := given.(*types.Resource); !ok {
			return nil, errors.New("it should be a resource type")
		}
		return given, nil
	}
	t, err := at(s.types, binary.SortType, desc.Index)
	if err != nil || given == nil {
		return t, err
	}
	if !sameType(t, given) {
		return nil, errors.New("it is another type than the one declared")
	}
	return given, nil
}

// sameType compares what an index space of types holds.
func sameType(a, b any) bool {
	switch a := a.(type) {
	case *types.Type:
		b, ok := b.(*types.Type)
		return ok && types.Equal(a, b)
	case *types.Func:
		b, ok := b.(*types.Func)
		return ok && types.EqualFuncs(a, b)
	case *types.Resource:
		return a == b
	}
	_, ok := b.(*declared)
	return ok
}

// hostResource returns the resource type of the host with the name. Interfaces of several versions share it.
func (l *linker) hostResource(name string) *types.Resource {
	r := l.resources[name]
	if r == nil {
		r = &types.Resource{Name: name, Host: true, Dtor: -1}
		l.resources[name] = r
	}
	return r
}

// bind makes an instance of the declared type, with the exports of given or, if that is nil, with the host's.
func (d *declared) bind(iface string, given *Instance) (*Instance, error) {
	s := &scope{linker: d.scope.linker, outer: d.scope}
	out := &Instance{Exports: map[string]any{}}
	for _, decl := range d.decls {
		if s.items++; s.items > maxItems {
			return nil, errTooMany
		}
		switch decl := decl.(type) {
		case binary.Type:
			t, err := s.deftype(decl)
			if err != nil {
				return nil, err
			}
			s.types = append(s.types, t)
		case binary.CoreType:
			s.coreTypes++
		case binary.Alias:
			if err := s.alias(decl); err != nil {
				return nil, err
			}
		case binary.Export:
			var item any
			if given != nil {
				var ok bool
				if item, ok = given.Exports[decl.Name]; !ok {
					return nil, fmt.Errorf("the instance has no export %q", decl.Name)
				}
			}
			item, err := s.bind(iface, decl.Name, *decl.Desc, item)
			if err != nil {
				return nil, fmt.Errorf("export %q: %w", decl.Name, err)
			}
			out.Exports[decl.Name] = item
			s.push(item)
		default:
			return nil, fmt.Errorf("the type of an instance declares a %T", decl)
		}
	}
	return out, nil
}
