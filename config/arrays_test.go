package config

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/appserver-go/appserver/internal/fault"
)

// table is an item as decoders of files make it.
type table = map[string]any

// set returns a configuration with the arrays that raw has by their keys.
func set(raw map[string]any) (*Config, error) {
	c := Default()
	for _, a := range Arrays() {
		if items, ok := raw[a.Key]; ok {
			if err := a.Set(&c, items, Source{Kind: FromFile, Name: "f.toml"}); err != nil {
				return nil, err
			}
		}
	}
	return &c, c.Validate(nil)
}

func TestArraysHaveEveryField(t *testing.T) {
	common := []string{"guest.memory_budget", "guest.interrupt", "guest.cache_dir", "guest.share_code"}
	for _, a := range Arrays() {
		var want, got []string
		for _, key := range keys(Setting{Key: a.Key}.field(&Config{}).Type().Elem(), "") {
			if !slices.Contains(common, key) && !(a.Key == "middleware" && (key == "guest.protocol" || key == "guest.plugin_config")) {
				want = append(want, key)
			}
		}
		for _, s := range a.Rows {
			got = append(got, s.Key)
			if s.Help == "" || strings.HasSuffix(s.Help, ".") || len(s.Help) > 100 || s.Reload != Workers {
				t.Errorf("%s of %s has the help %q and reload class %q", s.Key, a.Key, s.Help, s.Reload)
			}
		}
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("the rows and the tags of %s differ:\nrows %v\ntags %v", a.Key, got, want)
		}
		if _, taken := Lookup(a.Key); taken || isSectionName(a.Key) {
			t.Errorf("%s is a setting, too", a.Key)
		}
	}
}

func isSectionName(key string) bool {
	return slices.ContainsFunc(Settings(), func(s Setting) bool { return s.table() == key })
}

func TestArraySet(t *testing.T) {
	c, err := set(map[string]any{
		"middleware": []any{table{"app": "a.wasm", "config": "x", "isolation": "shared"}, table{"app": "b.wasm", "env": []any{"A=b"}}},
		"route":      []table{{"host": "*.x", "path": "/p", "static": "dir"}, {"path": "/q", "app": "q.wasm", "strip_prefix": false, "memory_limit": "1MiB"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	guest := Guest{Protocol: "auto", MemoryLimit: 128 << 20, TableLimit: 1_000_000, OutboundTimeout: 30 * time.Second, OutboundCalls: 100, OutboundBody: 32 << 20, Isolation: "reset"}
	one, two, small := guest, guest, guest
	one.Protocol, one.Config, one.Isolation = "", "x", "shared"
	two.Protocol, two.Env = "", []string{"A=b"}
	small.MemoryLimit = 1 << 20
	if want := []Middleware{{"a.wasm", one}, {"b.wasm", two}}; !reflect.DeepEqual(c.Middleware, want) {
		t.Errorf("middleware\n%+v, want\n%+v", c.Middleware, want)
	}
	if want := []Route{{Host: "*.x", Path: "/p", StripPrefix: true, Static: "dir", Guest: guest}, {Path: "/q", App: "q.wasm", Guest: small}}; !reflect.DeepEqual(c.Route, want) {
		t.Errorf("routes\n%+v, want\n%+v", c.Route, want)
	}
	c.App = "app.wasm"
	var names []string
	for _, p := range c.Programs() {
		names = append(names, p.Name+" "+p.Path)
	}
	if want := []string{"middleware[1] a.wasm", "middleware[2] b.wasm", "route[2] q.wasm", "app app.wasm"}; !slices.Equal(names, want) {
		t.Errorf("programs %v, want %v", names, want)
	}
}

func TestArraysRefuse(t *testing.T) {
	file := func(array string, items ...any) map[string]any { return map[string]any{array: items} }
	for _, c := range []struct {
		raw       map[string]any
		err, hint string
	}{
		{map[string]any{"middleware": "a.wasm"}, "middleware in f.toml: it is a text, want a list of tables", "[[middleware]]"},
		{map[string]any{"route": table{"app": "a.wasm"}}, "route in f.toml: it is a table, want a list of tables", "[[route]]"},
		{file("route", "x"), "route in f.toml: item 1 of the list is", "[[route]]"},
		{file("middleware", table{}), "middleware[1].app: no guest given", "http-wasm"},
		{file("middleware", table{"app": "a"}, table{"app": "b", "isolatoin": "reset"}), `unknown setting "middleware[2].isolatoin" in f.toml`, `did you mean "isolation"?`},
		{file("middleware", table{"app": "a", "interrupt": "off"}), `unknown setting "middleware[1].interrupt"`, "[guest]"},
		{file("middleware", table{"app": "a", "zebra": 1}), `unknown setting "middleware[1].zebra"`, "docs/settings.md"},
		{file("middleware", table{"app": "a", "memory_limit": "much"}), "middleware[1].memory_limit in f.toml: ", "write bytes"},
		{file("middleware", table{"app": "a", "isolation": "rest"}), "middleware[1].isolation in f.toml: ", `did you mean "reset"?`},
		{file("middleware", table{"app": "a", "memory_limit": 1}), "middleware[1].memory_limit: ", "64KiB"},
		{file("middleware", table{"app": "a", "memory_limit": "1GiB"}), "middleware[1].memory_limit: 1GiB for one instance", "guest.memory_budget"},
		{file("middleware", table{"app": "a", "env": []any{"A"}}), "middleware[1].env: ", "NAME=value"},
		{file("middleware", table{"app": "a", "dirs": []any{"x"}}), "middleware[1].dirs: ", "/srv/data:/data"},
		{file("middleware", table{"app": nil}), "middleware[1].app in f.toml: it has no value", "remove"},
		{file("route", table{"path": "/a"}), "route[1].app: nothing answers", "an upstream"},
		{file("route", table{"path": "/a", "static": "x", "upstream": "http://x"}), "route[1].static: ", "keep one"},
		{file("route", table{"path": "a", "static": "x"}), "route[1].path: ", "/app"},
		{file("route", table{"path": "/a/", "static": "x"}), "route[1].path: ", "/app"},
		{file("route", table{"host": "a:80", "static": "x"}), "route[1].host: ", "without a port"},
		{file("route", table{"host": "a.*", "static": "x"}), "route[1].host: ", "*.example.org"},
		{file("route", table{"path": "/a", "upstream": "ftp://x"}), "route[1].upstream: ", "http://"},
		{file("route", table{"path": "/a", "upstream": "unix:x"}), "route[1].upstream: ", "unix:"},
		{file("route", table{"path": "/a", "static": "x"}, table{"path": "/a", "static": "y"}), "route[2].path: route 1 is for the same", "keep one"},
	} {
		_, err := set(c.raw)
		if err == nil || !strings.HasPrefix(err.Error(), c.err) || !strings.Contains(fault.Hint(err), c.hint) {
			t.Errorf("%v: error %v with the hint %q, want %q with %q", c.raw, err, fault.Hint(err), c.err, c.hint)
		}
	}
	both, err := set(file("route", table{"static": "x"}))
	if err != nil {
		t.Fatalf("a route for everything: %v", err)
	}
	if both.App = "a.wasm"; both.Validate(nil) == nil {
		t.Error("a route and an app for everything go together")
	}
}

func TestRequireAppTakesWhatAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		config Config
		ok     bool
		serves string
	}{
		"nothing":    {Config{}, false, ""},
		"app":        {Config{App: "a.wasm", Upstream: "http://u"}, true, "a.wasm"},
		"upstream":   {Config{Upstream: "http://u"}, true, "http://u"},
		"static":     {Config{Static: []string{"/=x"}}, true, "static"},
		"route":      {Config{Route: []Route{{Static: "dir"}}}, true, "dir"},
		"middleware": {Config{Middleware: []Middleware{{App: "a.wasm"}}}, false, ""},
		"both":       {Config{Middleware: []Middleware{{App: "a.wasm"}}, Upstream: "http://u"}, true, "http://u"},
	} {
		if err := c.config.RequireApp(); (err == nil) != c.ok || c.config.Serves() != c.serves {
			t.Errorf("%s: error %v, serves %q", name, err, c.config.Serves())
		}
	}
}
