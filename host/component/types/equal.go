package types

import (
	"strconv"
	"strings"
)

// Equal reports whether two types are the same. Resources of the host are compared by name, so that a type that a
// component declares can be compared with what the host has.
func Equal(a, b *Type) bool {
	if a == b {
		return true
	}
	if a == nil || b == nil || a.Kind != b.Kind || a.Length != b.Length || a.nodes != b.nodes ||
		len(a.Fields) != len(b.Fields) || len(a.Labels) != len(b.Labels) {
		return false
	}
	if a.Resource != b.Resource && !(a.Resource.Host && b.Resource.Host && a.Resource.Name == b.Resource.Name) {
		return false
	}
	if a.Elem != b.Elem && !Equal(a.Elem, b.Elem) {
		return false
	}
	for i := range a.Fields {
		if a.Fields[i].Name != b.Fields[i].Name || !Equal(a.Fields[i].Type, b.Fields[i].Type) {
			return false
		}
	}
	for i := range a.Labels {
		if a.Labels[i] != b.Labels[i] {
			return false
		}
	}
	return true
}

// EqualFuncs reports whether two functions have the same type, names of parameters included.
func EqualFuncs(a, b *Func) bool {
	if !Compatible(a, b) {
		return false
	}
	for i := range a.Params {
		if a.Params[i].Name != b.Params[i].Name {
			return false
		}
	}
	return true
}

var kindNames = [...]string{
	"bool", "s8", "u8", "s16", "u16", "s32", "u32", "s64", "u64", "f32", "f64", "char", "string", "list", "record", "tuple",
	"variant", "enum", "option", "result", "flags", "own", "borrow",
}

// String names the kind as WIT does.
func (k Kind) String() string { return kindNames[k] }

// maxText is where the text of a type is cut: it is for messages.
const maxText = 300

// String writes the type in the manner of WIT.
func (t *Type) String() string {
	var b strings.Builder
	t.write(&b)
	return clip(b.String())
}

// String writes the function's type in the manner of WIT.
func (f *Func) String() string {
	var b strings.Builder
	b.WriteString("func(")
	for i, p := range f.Params {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(p.Name + ": ")
		p.Type.write(&b)
	}
	b.WriteString(")")
	if f.Result != nil {
		b.WriteString(" -> ")
		f.Result.write(&b)
	}
	return clip(b.String())
}

func clip(s string) string {
	if len(s) > maxText {
		return s[:maxText] + "…"
	}
	return s
}

func (t *Type) write(b *strings.Builder) {
	if b.Len() > maxText {
		return
	}
	switch t.Kind {
	case Own, Borrow:
		b.WriteString(t.Kind.String() + "<" + t.Resource.Name + ">")
	case List:
		b.WriteString("list<")
		t.Elem.write(b)
		if t.Length > 0 {
			b.WriteString(", " + strconv.Itoa(int(t.Length)))
		}
		b.WriteString(">")
	case Tuple:
		t.writeFields(b, "tuple<", ">", false)
	case Option:
		b.WriteString("option<")
		t.Fields[1].Type.write(b)
		b.WriteString(">")
	case Result:
		t.writeResult(b)
	case Record, Variant, Enum:
		t.writeFields(b, t.Kind.String()+" {", "}", true)
	case Flags:
		b.WriteString("flags {" + strings.Join(t.Labels, ", ") + "}")
	default:
		b.WriteString(t.Kind.String())
	}
}

func (t *Type) writeResult(b *strings.Builder) {
	ok, err := t.Fields[0].Type, t.Fields[1].Type
	b.WriteString("result")
	if ok == nil && err == nil {
		return
	}
	b.WriteString("<")
	if ok == nil {
		b.WriteString("_")
	} else {
		ok.write(b)
	}
	if err != nil {
		b.WriteString(", ")
		err.write(b)
	}
	b.WriteString(">")
}

func (t *Type) writeFields(b *strings.Builder, before, after string, named bool) {
	b.WriteString(before)
	for i, f := range t.Fields {
		if i > 0 {
			b.WriteString(", ")
		}
		if named {
			b.WriteString(f.Name)
		}
		if f.Type == nil {
			continue
		}
		if named {
			b.WriteString(": ")
		}
		f.Type.write(b)
	}
	b.WriteString(after)
}

// Compatible is EqualFuncs without the names of parameters, by which nobody is called.
func Compatible(a, b *Func) bool {
	if len(a.Params) != len(b.Params) || !Equal(a.Result, b.Result) {
		return false
	}
	for i := range a.Params {
		if !Equal(a.Params[i].Type, b.Params[i].Type) {
			return false
		}
	}
	return true
}
