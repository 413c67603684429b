package httpwasm

import (
	"strings"
	"testing"
)

func FuzzCleanTarget(f *testing.F) {
	for _, s := range []string{"", "/", "*", "/a?b=c%20d", "a b", "/\r\nX: y", "http://h/p", "/#f", "/\x7f\xff", "//x", "?q"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, uri string) {
		have := cleanTarget(uri)
		if have != "*" && !strings.HasPrefix(have, "/") {
			t.Errorf("%q became %q, which does not begin with a slash", uri, have)
		}
		for i := range len(have) {
			if c := have[i]; c <= ' ' || c >= 0x7f || c == '#' {
				t.Errorf("%q became %q with the byte %#x", uri, have, c)
			}
		}
		if again := cleanTarget(have); again != have {
			t.Errorf("%q became %q and then %q", uri, have, again)
		}
	})
}

func TestInterner(t *testing.T) {
	var in interner
	long := []byte(strings.Repeat("x", maxInterned+1))
	for range 3 {
		for _, b := range [][]byte{nil, []byte("content-type"), long} {
			if have := in.string(b); have != string(b) {
				t.Errorf("%q became %q", b, have)
			}
		}
	}
	for i := range 10_000 { // more than the table holds
		b := []byte{byte(i), byte(i >> 8), 'x'}
		s := in.string(b)
		b[2] = 'y' // the guest's memory changes, the string does not
		if s != string([]byte{byte(i), byte(i >> 8), 'x'}) {
			t.Fatalf("the string follows the memory: %q", s)
		}
	}
}

// TestInternerKeeps checks that what a guest uses all the time stays, whatever comes in between.
func TestInternerKeeps(t *testing.T) {
	var in interner
	usual := [][]byte{[]byte("content-type"), []byte("text/plain"), []byte("x-a"), []byte("1"), []byte("/other"), []byte("etag")}
	other := []byte("0000")
	if n := testing.AllocsPerRun(1000, func() {
		for _, b := range usual {
			in.string(b)
		}
	}); n != 0 {
		t.Errorf("%v allocations for strings seen before", n)
	}
	if n := testing.AllocsPerRun(1000, func() {
		other[0]++ // 256 different strings, one at a time
		in.string(other)
		for _, b := range usual {
			in.string(b)
		}
	}); n > 1 {
		t.Errorf("%v allocations, more than the one for the new string", n)
	}
}
