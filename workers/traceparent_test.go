package workers

import (
	"strings"
	"testing"

	"github.com/appserver-go/appserver/exchange"
)

const goodTrace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

func TestTraceparent(t *testing.T) {
	for value, want := range map[string]bool{
		goodTrace: true,
		"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00":                      true,
		"cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-the-future-says": true,
		"cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.what":                 false,
		"ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01":                      false,
		goodTrace + "-extra": false,
		"00-00000000000000000000000000000000-00f067aa0ba902b7-01": false,
		"00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01": false,
		strings.ToUpper(goodTrace):                                false,
		strings.Replace(goodTrace, "-", "_", 1):                   false,
		goodTrace[:54]:                                            false,
		strings.Replace(goodTrace, "f", "g", 1):                   false,
		"":                                                        false,
	} {
		tc, ok := parseTraceparent(value)
		if ok != want {
			t.Errorf("%q is valid: %v, want %v", value, ok, want)
		}
		if ok && strings.HasPrefix(value, "00") && string(tc.appendTo(nil)) != value {
			t.Errorf("%q became %q", value, tc.appendTo(nil))
		}
	}
}

func TestScreenTrace(t *testing.T) {
	fields := func(pairs ...string) (f exchange.Fields) {
		for i := 0; i < len(pairs); i += 2 {
			f.Add(pairs[i], pairs[i+1])
		}
		return f
	}
	for name, c := range map[string]struct {
		in   exchange.Fields
		kept int
	}{
		"none":                {fields("A", "b"), 1},
		"good":                {fields("Traceparent", goodTrace, "tracestate", "a=b", "A", "b"), 3},
		"bad":                 {fields("traceparent", "nonsense", "tracestate", "a=b", "A", "b"), 1},
		"two":                 {fields("traceparent", goodTrace, "TRACEPARENT", goodTrace, "A", "b"), 1},
		"a state alone":       {fields("Tracestate", "a=b", "A", "b"), 1},
		"good after nonsense": {fields("traceparent", "x", "traceparent", goodTrace), 0},
	} {
		r := exchange.Request{Fields: c.in}
		screenTrace(&r)
		if len(r.Fields) != c.kept {
			t.Errorf("%s: %v is left, want %d fields", name, r.Fields, c.kept)
		}
	}
}

func FuzzTraceparent(f *testing.F) {
	f.Add(goodTrace)
	f.Add("cc" + goodTrace[2:] + "-x")
	f.Fuzz(func(t *testing.T, s string) {
		tc, ok := parseTraceparent(s)
		if !ok {
			return
		}
		again, ok := parseTraceparent(string(tc.appendTo(nil)))
		if !ok || again != tc || !strings.Contains(s, string(tc.appendTo(nil)[3:52])) {
			t.Errorf("%q reads %v and then %v", s, tc, again)
		}
	})
}
