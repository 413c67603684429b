package wasihttp

import (
	"slices"
	"strings"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/host/component/abi"
)

// fields is a wasi:http/types.fields.
type fields struct {
	list      exchange.Fields
	immutable bool
}

// The cases of header-error.
const (
	invalidSyntax = iota
	forbidden
	immutable
)

// notGuests are the fields that a guest may neither see nor set: those of the connection, the authority, which requests
// have apart, and HTTP2-Settings.
func notGuests(name string) bool {
	return exchange.HopByHop(name) && !strings.EqualFold(name, "TE") && !strings.EqualFold(name, "Trailer") ||
		strings.EqualFold(name, "Host") || strings.EqualFold(name, "HTTP2-Settings")
}

// check returns the header-error that a field deserves, and false, or true if there is none.
func check(name, value string) (code uint32, ok bool) {
	switch {
	case !exchange.ValidName(name) || !exchange.ValidValue(value):
		return invalidSyntax, false
	case notGuests(name):
		return forbidden, false
	}
	return 0, true
}

// changeable is check, with the refusal of fields that cannot be changed before it.
func (f *fields) changeable(name string, values ...string) (result any, ok bool) {
	if f.immutable {
		return abi.Err(abi.Enum(immutable)), false
	}
	for _, v := range append(values, "") {
		if code, ok := check(name, v); !ok {
			return abi.Err(abi.Enum(code)), false
		}
	}
	return nil, true
}

// fieldCost is what a field takes beside its text.
const fieldCost = 32

func (f *fields) add(c *abi.Call, name, value string) {
	charge(c, len(name)+len(value)+fieldCost)
	f.list.Add(name, value)
}

func fromList(c *abi.Call, args []any) any {
	f := &fields{}
	for _, e := range args[0].([]any) {
		pair := e.([]any)
		name, value := pair[0].(string), string(pair[1].([]byte))
		if code, ok := check(name, value); !ok {
			return abi.Err(abi.Enum(code))
		}
		f.add(c, name, value)
	}
	return abi.OK(f)
}

// copied returns fields that can be changed.
func (f *fields) copied(c *abi.Call) *fields {
	for _, e := range f.list {
		charge(c, len(e.Name)+len(e.Value)+fieldCost)
	}
	return &fields{list: slices.Clone(f.list)}
}

var fieldFuncs = map[string]abi.Func{
	"[constructor]fields":      func(*abi.Call, []any) any { return &fields{} },
	"[static]fields.from-list": fromList,
	"[method]fields.get": func(_ *abi.Call, args []any) any {
		list := []any{}
		for _, v := range args[0].(*fields).list.Values(args[1].(string)) {
			list = append(list, []byte(v))
		}
		return list
	},
	"[method]fields.has": func(_ *abi.Call, args []any) any { return args[0].(*fields).list.Has(args[1].(string)) },
	"[method]fields.set": func(c *abi.Call, args []any) any {
		f, name := args[0].(*fields), args[1].(string)
		var values []string
		for _, v := range args[2].([]any) {
			values = append(values, string(v.([]byte)))
		}
		if result, ok := f.changeable(name, values...); !ok {
			return result
		}
		f.list.Del(name)
		for _, v := range values {
			f.add(c, name, v)
		}
		return abi.OK(nil)
	},
	"[method]fields.delete": func(_ *abi.Call, args []any) any {
		f, name := args[0].(*fields), args[1].(string)
		if result, ok := f.changeable(name); !ok {
			return result
		}
		f.list.Del(name)
		return abi.OK(nil)
	},
	"[method]fields.append": func(c *abi.Call, args []any) any {
		f, name, value := args[0].(*fields), args[1].(string), string(args[2].([]byte))
		if result, ok := f.changeable(name, value); !ok {
			return result
		}
		f.add(c, name, value)
		return abi.OK(nil)
	},
	"[method]fields.entries": func(_ *abi.Call, args []any) any {
		list := []any{}
		for _, e := range args[0].(*fields).list {
			list = append(list, []any{e.Name, []byte(e.Value)})
		}
		return list
	},
	"[method]fields.clone": func(c *abi.Call, args []any) any { return args[0].(*fields).copied(c) },
}
