package link

import (
	"errors"
	"fmt"
	"slices"

	"github.com/appserver-go/appserver/host/component/binary"
	"github.com/appserver-go/appserver/host/component/types"
)

// NeedsAsync is the error for components that use asynchronous functions. It names what was found.
type NeedsAsync string

func (n NeedsAsync) Error() string {
	return fmt.Sprintf("the component needs WASI 0.3 async (%s)", string(n))
}

var prims = map[binary.Prim]types.Kind{
	binary.PrimBool: types.Bool, binary.PrimS8: types.S8, binary.PrimU8: types.U8, binary.PrimS16: types.S16,
	binary.PrimU16: types.U16, binary.PrimS32: types.S32, binary.PrimU32: types.U32, binary.PrimS64: types.S64,
	binary.PrimU64: types.U64, binary.PrimF32: types.F32, binary.PrimF64: types.F64, binary.PrimChar: types.Char,
	binary.PrimString: types.String,
}

func prim(p binary.Prim) (*types.Type, error) {
	k, ok := prims[p]
	if !ok {
		return nil, NeedsAsync("error-context")
	}
	return types.Prim(k), nil
}

// value resolves a value type, nil to nil.
func (s *scope) value(v *binary.ValType) (*types.Type, error) {
	if v == nil {
		return nil, nil
	}
	if v.Prim != 0 {
		return prim(v.Prim)
	}
	t, err := at(s.types, binary.SortType, v.Index)
	if err != nil {
		return nil, err
	}
	vt, ok := t.(*types.Type)
	if !ok {
		return nil, fmt.Errorf("the type %d is not a value type", v.Index)
	}
	return vt, nil
}

func (s *scope) fields(fs []binary.Field) ([]types.Field, error) {
	out := make([]types.Field, len(fs))
	for i, f := range fs {
		t, err := s.value(f.Type)
		if err != nil {
			return nil, err
		}
		out[i] = types.Field{Name: f.Name, Type: t}
	}
	return out, nil
}

// deftype resolves the definition of a type.
func (s *scope) deftype(t binary.Type) (any, error) {
	switch t.Is {
	case binary.IsPrim:
		return prim(t.Prim)
	case binary.IsFunc:
		return s.funcType(t)
	case binary.IsResource:
		return s.resource(t)
	case binary.IsInstance, binary.IsComponent:
		return &declared{t.Is, t.Decls, s}, nil
	case binary.IsOwn, binary.IsBorrow:
		r, err := s.resourceAt(t.Index)
		if err != nil {
			return nil, err
		}
		kind := types.Own
		if t.Is == binary.IsBorrow {
			kind = types.Borrow
		}
		return types.NewHandle(kind, r), nil
	case binary.IsStream, binary.IsFuture:
		return nil, NeedsAsync("streams and futures")
	case binary.IsMap:
		return nil, errors.New("maps are not supported")
	}
	fields, err := s.fields(t.Fields)
	if err != nil {
		return nil, err
	}
	return structure(t, fields)
}

// structure makes a type of its fields.
func structure(t binary.Type, fields []types.Field) (*types.Type, error) {
	if slices.Contains([]binary.Constructor{binary.IsRecord, binary.IsTuple, binary.IsVariant}, t.Is) && len(fields) == 0 ||
		(t.Is == binary.IsEnum || t.Is == binary.IsFlags) && len(t.Labels) == 0 {
		return nil, errors.New("a record, tuple, variant, enum or flags has no members")
	}
	switch t.Is {
	case binary.IsRecord:
		return types.NewRecord(types.Record, fields)
	case binary.IsTuple:
		return types.NewRecord(types.Tuple, fields)
	case binary.IsVariant:
		return types.NewVariant(types.Variant, fields)
	case binary.IsList:
		return types.NewList(fields[0].Type, t.Length)
	case binary.IsFlags:
		return types.NewFlags(t.Labels)
	case binary.IsEnum:
		return types.NewEnum(t.Labels)
	case binary.IsOption:
		return types.NewOption(fields[0].Type)
	case binary.IsResult:
		return types.NewResult(fields[0].Type, fields[1].Type)
	}
	return nil, fmt.Errorf("the type constructor %#x is unknown", byte(t.Is))
}

func (s *scope) funcType(t binary.Type) (any, error) {
	if t.Async {
		return nil, NeedsAsync("asynchronous functions")
	}
	params, err := s.fields(t.Fields)
	if err != nil {
		return nil, err
	}
	result, err := s.value(t.Result)
	if err != nil {
		return nil, err
	}
	if result != nil && borrows(result) {
		return nil, errors.New("a function returns a borrowed handle")
	}
	return &types.Func{Params: params, Result: result}, nil
}

// borrows reports whether values of the type hold borrowed handles.
func borrows(t *types.Type) bool {
	switch {
	case t == nil || !t.Handles:
		return false
	case t.Kind == types.Borrow:
		return true
	case t.Elem != nil:
		return borrows(t.Elem)
	}
	return slices.ContainsFunc(t.Fields, func(f types.Field) bool { return borrows(f.Type) })
}

func (s *scope) resource(t binary.Type) (any, error) {
	if t.Async {
		return nil, NeedsAsync("asynchronous destructors")
	}
	r := &types.Resource{Name: "resource", Comp: s.comp, Dtor: -1}
	if t.Dtor != nil {
		f, err := at(s.core[binary.SortCoreFunc], binary.SortCoreFunc, *t.Dtor)
		if err != nil {
			return nil, err
		}
		if r.Dtor, err = s.function(f); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func (s *scope) resourceAt(index uint32) (*types.Resource, error) {
	t, err := at(s.types, binary.SortType, index)
	if err != nil {
		return nil, err
	}
	r, ok := t.(*types.Resource)
	if !ok {
		return nil, fmt.Errorf("the type %d is not a resource", index)
	}
	return r, nil
}
