package guests_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/appserver-go/appserver/internal/npmtest"
)

// compile builds a guest with a compiler of another language, in the directory of its source.
func compile(t *testing.T, dir, compiler string, args ...string) (module string) {
	t.Helper()
	path, err := exec.LookPath(compiler)
	if err != nil {
		t.Skipf("skipped: no %s: scripts/install-test-packages.sh installs it", compiler)
	}
	out := filepath.Join(t.TempDir(), "guest.wasm")
	cmd := exec.CommandContext(t.Context(), path, append(args, "-o", out)...)
	cmd.Dir = dir
	if output, err := cmd.CombinedOutput(); err != nil {
		if strings.Contains(string(output), "may not be installed") || strings.Contains(string(output), "file not found") {
			t.Skipf("skipped: %s has no library for WebAssembly: scripts/install-test-packages.sh installs it\n%s", compiler, output)
		}
		t.Fatalf("%s %v: %v\n%s", compiler, args, err, output)
	}
	return out
}

// TestLanguages builds the examples in C, Rust and AssemblyScript, and serves them as they are and, rewritten, reset after each
// request. Examples in WAT are in testdata/wasm.
func TestLanguages(t *testing.T) {
	rust := []string{"--edition", "2021", "-O", "-C", "strip=symbols", "--target"}
	for _, c := range []struct {
		name, language string
		cgi            bool
		build          func(t *testing.T) string
	}{
		{"C CGI", "C", true, func(t *testing.T) string {
			return compile(t, "c-hello", "clang", "--target=wasm32-wasi", "-Os", "-Wl,-s", "-Wl,-z,stack-size=1048576", "cgi.c")
		}},
		{"C", "C", false, func(t *testing.T) string {
			return compile(t, "c-hello", "clang", "--target=wasm32-unknown-unknown", "-Os", "-nostdlib", "-Wl,--no-entry", "-Wl,-s", "handler.c")
		}},
		{"Rust CGI", "Rust", true, func(t *testing.T) string {
			return compile(t, "rust-hello", "/usr/bin/rustc", append(rust, "wasm32-wasi", "cgi.rs")...)
		}},
		{"Rust", "Rust", false, func(t *testing.T) string {
			return compile(t, "rust-hello", "/usr/bin/rustc", append(rust, "wasm32-unknown-unknown", "--crate-type", "cdylib", "handler.rs")...)
		}},
		{"AssemblyScript", "AssemblyScript", false, func(t *testing.T) string {
			asc := npmtest.File(t, "assemblyscript/bin/asc.js")
			return compile(t, "assemblyscript-hello", "node", asc, "handler.ts", "-O", "--use", "abort=")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			module := c.build(t)
			for _, reset := range []bool{false, true} {
				testLanguage(t, module, c.language, c.cgi, reset)
			}
		})
	}
}

func testLanguage(t *testing.T, module, language string, cgi, reset bool) {
	t.Helper()
	h := mustLoad(t, module, options{reset: reset})
	greeting, echo := "Hello from "+language+", /a/b?c=d", "/"
	target := "/a/b?c=d"
	if cgi {
		greeting, target, echo = "Hello from "+language+"!\nREQUEST_METHOD=GET\nQUERY_STRING=c=d\n", "/?c=d", "/echo"
	}
	body := strings.Repeat("0123456789abcdef", 1<<14)
	for range 3 {
		a := serve(t.Context(), h, request("GET", target, ""))
		if a.err != nil || a.status != 200 || string(a.body) != greeting || a.fields.Get("Content-Type") != "text/plain" {
			t.Errorf("reset %v: status %d, body %q, error %v", reset, a.status, a.body, a.err)
		}
		if a = serve(t.Context(), h, request("POST", echo, body)); a.err != nil || string(a.body) != body {
			t.Errorf("reset %v: %d of %d bytes came back, error %v", reset, a.size, len(body), a.err)
		}
	}
}
