// Package jcotest runs jco, the tool that makes WebAssembly components, for tests. Tests that need it are skipped where
// it is not installed (scripts/install-test-packages.sh).
package jcotest

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// dir is where scripts/install-test-packages.sh has npm install packages.
func dir() string {
	if d := os.Getenv("APPSERVER_TEST_NPM"); d != "" {
		return d
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(cache, "appserver-test", "npm")
}

// Path returns the program, or skips the test.
func Path(t testing.TB) string {
	t.Helper()
	if p, err := exec.LookPath("jco"); err == nil {
		return p
	}
	p := filepath.Join(dir(), "node_modules", ".bin", "jco")
	if _, err := os.Stat(p); err != nil {
		t.Skip("jco not installed")
	}
	return p
}

// Run runs jco and fails the test with what it printed if it fails. Paths should be absolute.
func Run(t testing.TB, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), Path(t), args...).CombinedOutput(); err != nil {
		t.Fatalf("jco %s: %v\n%.2000s", args[0], err, out)
	}
}

// Cached returns the file that build makes from inputs, and makes it if it is not there yet. What is made takes long, and
// is the same as long as the inputs are.
func Cached(t testing.TB, name string, build func(path string), inputs ...[]byte) string {
	t.Helper()
	Path(t)
	h := sha256.New()
	for _, b := range inputs {
		fmt.Fprintf(h, "%d:", len(b))
		h.Write(b)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(cache, "appserver-test", "components", fmt.Sprintf("%s-%x.wasm", name, h.Sum(nil)[:8]))
	if _, err := os.Stat(path); err == nil {
		return path
	}
	made := filepath.Join(t.TempDir(), name+".wasm")
	build(made)
	b, err := os.ReadFile(made)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o700)
	}
	if err == nil {
		err = os.WriteFile(made+".new", b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if os.Rename(made+".new", path) != nil { // another file system, or another test was faster
		return made
	}
	return path
}
