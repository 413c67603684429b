package exchange

import (
	"slices"
	"testing"
)

func TestFields(t *testing.T) {
	base := func() Fields {
		return Fields{{"Set-Cookie", "a=1"}, {"Vary", "x"}, {"set-cookie", "b=2"}, {"ETag", ""}}
	}
	tests := []struct {
		name string
		do   func(f *Fields)
		want Fields
	}{
		{"add keeps order and repetition", func(f *Fields) { f.Add("SET-COOKIE", "c=3") }, append(base(), Field{"SET-COOKIE", "c=3"})},
		{"set replaces the first and drops the rest", func(f *Fields) { f.Set("SET-COOKIE", "z") }, Fields{{"Set-Cookie", "z"}, {"Vary", "x"}, {"ETag", ""}}},
		{"set of the last", func(f *Fields) { f.Set("etag", "1") }, Fields{{"Set-Cookie", "a=1"}, {"Vary", "x"}, {"set-cookie", "b=2"}, {"ETag", "1"}}},
		{"set of an absent one appends", func(f *Fields) { f.Set("Age", "1") }, append(base(), Field{"Age", "1"})},
		{"del removes all", func(f *Fields) { f.Del("set-COOKIE") }, Fields{{"Vary", "x"}, {"ETag", ""}}},
		{"del of an absent one", func(f *Fields) { f.Del("Age") }, base()},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := base()
			tt.do(&f)
			if !slices.Equal(f, tt.want) {
				t.Errorf("have %v, want %v", f, tt.want)
			}
		})
	}
}

func TestFieldsLookup(t *testing.T) {
	f := Fields{{"Set-Cookie", "a=1"}, {"ETag", ""}, {"set-cookie", "b=2"}}
	if have := f.Get("SET-COOKIE"); have != "a=1" {
		t.Errorf("Get returned %q", have)
	}
	if f.Get("Age") != "" || f.Has("Age") {
		t.Error("an absent field was found")
	}
	if !f.Has("etag") {
		t.Error("a field with an empty value was not found")
	}
	if have := f.Values("Set-Cookie"); !slices.Equal(have, []string{"a=1", "b=2"}) {
		t.Errorf("Values returned %q", have)
	}
	if have := f.Values("Age"); have != nil {
		t.Errorf("Values of an absent field returned %q", have)
	}
}

// TestFieldsDropValues makes sure that what Set and Del remove is not kept alive by the backing array, since values
// may point into large buffers.
func TestFieldsDropValues(t *testing.T) {
	f := Fields{{"A", "1"}, {"B", "2"}, {"A", "3"}, {"A", "4"}}
	f.Set("A", "x")
	for i, g := range f[:4][len(f):] {
		if g != (Field{}) {
			t.Errorf("Set left %v behind at %d", g, len(f)+i)
		}
	}
	f.Del("A")
	if len(f) != 1 || f[:2][1] != (Field{}) {
		t.Errorf("Del left %v behind", f[:2])
	}
}

func TestFieldsLookupAllocatesNothing(t *testing.T) {
	f := Fields{{"Set-Cookie", "a=1"}, {"ETag", "x"}, {"Content-Length", "5"}}
	if n := testing.AllocsPerRun(100, func() {
		f.Set("etag", "y")
		if !f.Has("ETAG") || f.Get("etag") != "y" {
			t.Error("not found")
		}
		f.Del("x-none")
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
