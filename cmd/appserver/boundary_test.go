package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// callingGuest builds a guest that calls whom its clients tell it to, and returns the arguments to serve it with. Its code is
// in a cache by then: it takes longer to compile than a server may take to get ready.
func callingGuest(t *testing.T) []string {
	t.Helper()
	dir := t.TempDir()
	module := filepath.Join(dir, "calling.wasm")
	build := exec.Command("go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-o", module, ".")
	build.Dir = filepath.Join("..", "..", "guests", "testdata", "outbound")
	build.Env = append(build.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	args := []string{module, "--guest-cache-dir", filepath.Join(dir, "cache")}
	if out, err := command(append([]string{"check"}, args...)...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return args
}

// The commands of docs/boundary.md, with a server of the test's in place of those they name.
func TestBoundaryDocument(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join("..", "..", "docs", "boundary.md"))
	if err != nil {
		t.Fatal(err)
	}
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "asked for "+r.URL.Path) }))
	defer other.Close()
	commands := regexp.MustCompile(`(?m)^\$ appserver serve app.wasm (.+)$`).FindAllStringSubmatch(string(doc), -1)
	if len(commands) != strings.Count(string(doc), "\n$ ") || len(commands) == 0 {
		t.Fatalf("%d of the document's commands are tried: %q", len(commands), commands)
	}
	for _, c := range commands {
		args := strings.Fields(strings.ReplaceAll(c[1], "127.0.0.1:9000", strings.TrimPrefix(other.URL, "http://")))
		s := start(t, slices.Concat(callingGuest(t), []string{"-w", "2", "-k", "threaded"}, args)...)
		fetch := func(target string) string {
			return string(s.mustGet("/fetch?url="+url.QueryEscape(target), 200).Body)
		}
		if body := fetch(other.URL + "/v1/x"); !strings.Contains(body, "asked for /v1/x") {
			t.Errorf("allowed: %q", body)
		}
		for range 3 {
			if body := fetch(other.URL + "/v2/x"); !strings.Contains(body, "code -2") {
				t.Errorf("denied: %q", body)
			}
		}
		s.awaitMsg("Guest was denied a call")
		s.stop()
	}
}
