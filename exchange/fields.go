package exchange

import (
	"slices"
	"strings"
)

// Field is one header or trailer field line (RFC 9110 §5). Name keeps the case it was sent with; comparisons ignore it.
type Field struct {
	Name, Value string
}

// Fields is an ordered list of field lines. Order and repetition are kept, since both carry meaning (Set-Cookie).
// It is not safe for concurrent use.
type Fields []Field

// Get returns the value of the first field with the name, or "".
func (f Fields) Get(name string) string {
	for i := range f {
		if strings.EqualFold(f[i].Name, name) {
			return f[i].Value
		}
	}
	return ""
}

// Has reports whether a field with the name is present.
func (f Fields) Has(name string) bool {
	return slices.ContainsFunc(f, func(g Field) bool { return strings.EqualFold(g.Name, name) })
}

// Values returns the values of all fields with the name, in order.
func (f Fields) Values(name string) []string {
	var vs []string
	for i := range f {
		if strings.EqualFold(f[i].Name, name) {
			vs = append(vs, f[i].Value)
		}
	}
	return vs
}

// Add appends a field line.
func (f *Fields) Add(name, value string) { *f = append(*f, Field{name, value}) }

// Set replaces the first field with the name and removes the others; without one it appends.
func (f *Fields) Set(name, value string) {
	for i := range *f {
		if strings.EqualFold((*f)[i].Name, name) {
			(*f)[i].Value = value
			rest := Fields((*f)[i+1:])
			rest.Del(name)
			*f = (*f)[:i+1+len(rest)]
			return
		}
	}
	f.Add(name, value)
}

// Del removes all fields with the name.
func (f *Fields) Del(name string) {
	*f = slices.DeleteFunc(*f, func(g Field) bool { return strings.EqualFold(g.Name, name) })
}
