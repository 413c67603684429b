package main

import (
	"path/filepath"
	"strings"
	"testing"
)

// A page in a real browser follows what is done to the source, all by itself: it is loaded once, and nobody touches it again.
func TestDevInABrowser(t *testing.T) {
	b := openBrowser(t)
	dir := builder(t)
	s := devBuild(t, dir, "broken")
	b.open("http://" + s.addr + "/page")
	b.await("the first build has failed", "document.title", "Build failed · source.txt:1:3")
	const text = "document.body.innerText"
	for _, want := range []string{`<b>broken</b> & "bad"`, "sh build.sh", "GET /page"} {
		b.await("the error page", text, want)
	}
	for expression, want := range map[string]string{
		"String(document.querySelectorAll('b').length)":                                                    "1", // the request's method, and not the compiler's
		"getComputedStyle(document.querySelector('.badge')).textTransform":                                 "uppercase",
		"document.querySelector('.source .marked').innerText":                                              "broken",
		"document.querySelector('.source mark').innerText":                                                 "oken",
		"String(performance.getEntriesByType('resource').every(e => e.name.includes('/.appserver/dev/')))": "true",
	} {
		if got := b.eval(expression); !strings.Contains(got, want) {
			t.Errorf("%s is %q, want %q", expression, got, want)
		}
	}
	source(t, dir, "one")
	b.await("fixed", text, "one")
	source(t, dir, "two")
	b.await("changed", text, "two")
	source(t, dir, "broken")
	b.await("broken again", "document.title", "Build failed")
	source(t, dir, "trap")
	b.await("a trap", "document.title", "Guest trapped")
	b.await("its stack", text, ".start()")
	source(t, dir, "one")
	b.await("fixed for good", text, "one")
	save(t, filepath.Join(dir, "appserver.toml"), nil) // not there at the start, so nothing that matters
	s.stop()
}
