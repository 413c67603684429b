// Package npmtest finds what scripts/install-test-packages.sh has installed with npm, for tests that need it.
package npmtest

import (
	"os"
	"path/filepath"
	"testing"
)

// File returns the path of a file below node_modules. Where it is absent the test is skipped, with the reason.
func File(t testing.TB, name string) string {
	t.Helper()
	dir := os.Getenv("APPSERVER_TEST_NPM")
	if dir == "" {
		dir = CacheDir(t, "npm")
	}
	path := filepath.Join(dir, "node_modules", name)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("skipped: no %s: scripts/install-test-packages.sh installs it", path)
	}
	return path
}

// CodeCache returns a directory for compiled code that is kept from run to run: large guests take seconds to compile.
func CodeCache(t testing.TB) string { return CacheDir(t, "wasm") }

// CacheDir returns a directory of tests in the user's cache, where the script has its own. It may have to be created.
func CacheDir(t testing.TB, name string) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(cache, "appserver-test", name)
}
