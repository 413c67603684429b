package router

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/appserver-go/appserver/exchange"
)

// named is a handler that says its name and what it sees in the response's fields.
func named(name string) exchange.Handler {
	return exchange.HandlerFunc(func(_ context.Context, x *exchange.Exchange) error {
		r := &x.Request
		x.Response.Fields.Set("Seen", strings.Join([]string{name, r.ScriptName, r.Target, r.RawTarget(), r.Fields.Get(exchange.PrefixField)}, " "))
		return nil
	})
}

// ask returns what the route says that answers, or the status of the failure.
func ask(t *testing.T, r *Router, req exchange.Request) (seen string, status int) {
	t.Helper()
	x := &exchange.Exchange{Request: req}
	err := r.Serve(t.Context(), x)
	var f *exchange.Failure
	if errors.As(err, &f) {
		return "", f.Status
	}
	if err != nil {
		t.Fatal(err)
	}
	if got := x.Request; got.Target != req.Target || got.Received != req.Received || got.ScriptName != req.ScriptName || !slices.Equal(got.Fields, req.Fields) {
		t.Errorf("the request was left as %+v, it was %+v", got, req)
	}
	return x.Response.Fields.Get("Seen"), 200
}

func TestMostSpecificWins(t *testing.T) {
	table := []Route{
		{Handler: named("rest")},
		{Path: "/api", Handler: named("api"), Strip: true},
		{Path: "/api/v1", Handler: named("v1"), Strip: true},
		{Path: "/apilonger", Handler: named("longer"), Strip: true},
		{Path: "/kept", Handler: named("kept")},
		{Path: "/a b", Handler: named("blank"), Strip: true},
		{Host: "*.example.org", Handler: named("wild")},
		{Host: "*.deep.example.org", Handler: named("deep")},
		{Host: "www.Example.org", Handler: named("www")},
		{Host: "www.example.org", Path: "/api", Handler: named("wwwapi"), Strip: true},
		{Host: "[::1]", Handler: named("v6")},
	}
	for _, c := range []struct{ host, target, want string }{
		{"other", "/", "rest  / / "},
		{"other", "/api", "api /api / /api /api"},
		{"other", "/api/", "api /api / /api/ /api"},
		{"other", "/api?q=1", "api /api /?q=1 /api?q=1 /api"},
		{"other", "/api/x/y?q=/z", "api /api /x/y?q=/z /api/x/y?q=/z /api"},
		{"other", "/api/v1/x", "v1 /api/v1 /x /api/v1/x /api/v1"},
		{"other", "/api/v12", "api /api /v12 /api/v12 /api"},
		{"other", "/apis", "rest  /apis /apis "},
		{"other", "/API", "rest  /API /API "},
		{"other", "/%61pi/x", "api /api /x /%61pi/x /api"},
		{"other", "/api%2Fv1", "rest  /api%2Fv1 /api%2Fv1 "},
		{"other", "/a%20b/c%20d", "blank /a b /c%20d /a%20b/c%20d /a b"},
		{"other", "//api", "rest  //api //api "},
		{"other", "/kept/x", "kept  /kept/x /kept/x "},
		{"other", "/x?p=/../y", "rest  /x?p=/../y /x?p=/../y "},
		{"other", "/..x/.y/z./...", "rest  /..x/.y/z./... /..x/.y/z./... "},
		{"other", "*", "rest  * * "},
		{"a.example.org", "/api/x", "wild  /api/x /api/x "},
		{"a.b.example.org", "/", "wild  / / "},
		{"a.deep.example.org", "/", "deep  / / "},
		{"deep.example.org", "/", "wild  / / "},
		{"example.org", "/", "rest  / / "},
		{"www.example.org", "/", "www  / / "},
		{"WWW.EXAMPLE.ORG.:8080", "/", "www  / / "},
		{"www.example.org", "/api/x", "wwwapi /api /x /api/x /api"},
		{"[::1]:8000", "/", "v6  / / "},
		{"[::1]", "/", "v6  / / "},
		{"", "/", "rest  / / "},
	} {
		for range 2 { // the order of the table must not matter
			got, status := ask(t, New(table), exchange.Request{Host: c.host, Target: c.target})
			if got != c.want || status != 200 {
				t.Errorf("%s%s: %d %q, want %q", c.host, c.target, status, got, c.want)
			}
			slices.Reverse(table)
		}
	}
}

func TestNothingMatches(t *testing.T) {
	r := New([]Route{{Host: "a", Handler: named("a")}, {Path: "/b", Handler: named("b")}})
	for target, want := range map[string]int{"/": 404, "/bb": 404, "/b/../c": 400, "/b/%2e%2E/c": 400, "/b/.": 400, "/b/.%2e?x": 400, "/b/..": 400} {
		if _, got := ask(t, r, exchange.Request{Host: "x", Target: target}); got != want {
			t.Errorf("%s: status %d, want %d", target, got, want)
		}
	}
	if _, got := ask(t, New([]Route{{Host: "a", Handler: named("a")}}), exchange.Request{Host: "a", Target: "/b/../c"}); got != 200 {
		t.Errorf("routes by hosts alone refuse a path: %d", got)
	}
}

// A route under root_path, and one whose client has sent a prefix of its own.
func TestPrefixesAddUp(t *testing.T) {
	r := New([]Route{{Path: "/api", Strip: true, Handler: named("api")}})
	got, _ := ask(t, r, exchange.Request{
		Target: "/api/x", Received: "/root/api/x", ScriptName: "/root",
		Fields: exchange.Fields{{Name: "A", Value: "b"}, {Name: "X-Forwarded-Prefix", Value: "/root"}},
	})
	if want := "api /root/api /x /root/api/x /root/api"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// The rest is what follows the prefix, whatever the target is, and begins a segment.
func FuzzCutPrefix(f *testing.F) {
	f.Add("/api/x?y", "/api")
	f.Add("/%61%70i%2fx", "/api/x")
	f.Add("/a%", "/a%")
	f.Fuzz(func(t *testing.T, target, prefix string) {
		rest, ok := cutPrefix(target, prefix)
		switch {
		case !ok && rest != "":
			t.Errorf("no match and the rest %q", rest)
		case ok && !strings.HasSuffix(target, rest):
			t.Errorf("the rest %q is not the end of %q", rest, target)
		case ok && prefix != "" && rest != "" && rest[0] != '/' && rest[0] != '?':
			t.Errorf("the rest %q of %q begins no segment", rest, target)
		case !ok && !strings.ContainsAny(target, "%") && (target == prefix || strings.HasPrefix(target, prefix+"/")):
			t.Errorf("%q does not match %q", target, prefix)
		}
		if path, _, _ := strings.Cut(target, "?"); !strings.Contains(path, "%") {
			want := slices.ContainsFunc(strings.Split(path, "/"), func(s string) bool { return s == "." || s == ".." })
			if hasDots(path) != want {
				t.Errorf("hasDots(%q) is %v", path, !want)
			}
		}
	})
}
