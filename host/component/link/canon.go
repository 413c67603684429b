package link

import (
	"errors"
	"fmt"

	"github.com/appserver-go/appserver/host/component/binary"
	"github.com/appserver-go/appserver/host/component/types"
)

// canon evaluates a canonical definition.
func (s *scope) canon(d binary.Canon) error {
	if d.Op.Async() {
		return NeedsAsync(d.Op.String())
	}
	if d.Op == binary.OpLift {
		return s.lift(d)
	}
	b := Builtin{Op: d.Op, Comp: s.comp}
	var err error
	if d.Op == binary.OpLower {
		if b.Func, err = at(s.funcs, binary.SortFunc, d.Func); err != nil {
			return err
		}
		if b.Opts, err = s.opts(d.Opts, "canon lower"); err != nil {
			return err
		}
		if d.Opts.PostReturn != nil {
			return errors.New("canon lower has the option post-return")
		}
		if err := needs(b.Func.Type, b.Opts, true); err != nil {
			return fmt.Errorf("canon lower of %q: %w", b.Func, err)
		}
	} else if b.Resource, err = s.resourceAt(d.Type); err != nil {
		return err
	} else if d.Op != binary.OpResourceDrop && (b.Resource.Host || b.Resource.Comp != s.comp) {
		return fmt.Errorf("%s of a resource that the component does not define", d.Op)
	}
	s.plan.Builtins = append(s.plan.Builtins, b)
	s.core[binary.SortCoreFunc] = append(s.core[binary.SortCoreFunc],
		Core{Sort: binary.SortCoreFunc, Step: -1, Builtin: len(s.plan.Builtins) - 1})
	return nil
}

func (s *scope) lift(d binary.Canon) error {
	t, err := at(s.types, binary.SortType, d.Type)
	if err != nil {
		return err
	}
	ft, ok := t.(*types.Func)
	if !ok {
		return fmt.Errorf("canon lift to the type %d, which is not that of a function", d.Type)
	}
	core, err := at(s.core[binary.SortCoreFunc], binary.SortCoreFunc, d.Func)
	if err != nil {
		return err
	}
	f := &Func{Type: ft, Comp: s.comp}
	if f.Core, err = s.function(core); err != nil {
		return err
	}
	if f.Opts, err = s.opts(d.Opts, "canon lift"); err != nil {
		return err
	}
	if err := needs(ft, f.Opts, false); err != nil {
		return fmt.Errorf("canon lift: %w", err)
	}
	s.funcs = append(s.funcs, f)
	return nil
}

// function returns the place of a core function in the plan. It must be one of a core module: the host has no way to
// call its own functions as if it were a guest.
func (l *linker) function(c Core) (int, error) {
	if c.Step < 0 {
		return -1, errors.New("a builtin is lifted, or used as realloc, post-return or destructor, which is not supported")
	}
	return intern(l.funcs, &l.plan.Funcs, c), nil
}

func intern(places map[Core]int, list *[]Core, c Core) int {
	i, ok := places[c]
	if !ok {
		i = len(*list)
		places[c] = i
		*list = append(*list, c)
	}
	return i
}

func (s *scope) opts(o binary.CanonOpts, what string) (Opts, error) {
	out := Opts{Encoding: o.Encoding, Memory: -1, Realloc: -1, PostReturn: -1}
	switch {
	case o.Async || o.Callback != nil:
		return out, NeedsAsync(what + " async")
	case o.GC || o.CoreType != nil:
		return out, errors.New(what + " with garbage-collected types is not supported")
	case o.Realloc != nil && o.Memory == nil:
		return out, errors.New(what + " has a realloc and no memory")
	}
	if o.Memory != nil {
		m, err := at(s.core[binary.SortCoreMemory], binary.SortCoreMemory, *o.Memory)
		if err != nil {
			return out, err
		}
		out.Memory = intern(s.memories, &s.plan.Memories, m)
	}
	for _, f := range []struct {
		index *uint32
		place *int
	}{{o.Realloc, &out.Realloc}, {o.PostReturn, &out.PostReturn}} {
		if f.index == nil {
			continue
		}
		c, err := at(s.core[binary.SortCoreFunc], binary.SortCoreFunc, *f.index)
		if err != nil {
			return out, err
		}
		if *f.place, err = s.function(c); err != nil {
			return out, err
		}
	}
	return out, nil
}

// needs reports options that a function of the type cannot do without. Lowered functions take their parameters from
// memory and put their result into it; lifted ones the other way round.
func needs(t *types.Func, o Opts, lower bool) error {
	_, spillParams := t.FlatParams()
	_, spillResult := t.FlatResult()
	inParams, inResult := spillParams, t.Result != nil && t.Result.Pointers
	for _, p := range t.Params {
		inParams = inParams || p.Type.Pointers
	}
	allocates := inParams
	if lower {
		allocates = inResult
	}
	switch {
	case o.Memory < 0 && (inParams || inResult || spillResult):
		return errors.New("it needs a memory")
	case o.Realloc < 0 && allocates:
		return errors.New("it needs a realloc")
	}
	return nil
}
