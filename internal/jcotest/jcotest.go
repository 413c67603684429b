// Package jcotest runs jco, the tool that makes WebAssembly components, for tests. Tests that need it are skipped where
// it is not installed (scripts/install-test-packages.sh).
package jcotest

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/appserver-go/appserver/internal/npmtest"
)

// Path returns the program, or skips the test.
func Path(t testing.TB) string {
	t.Helper()
	if p, err := exec.LookPath("jco"); err == nil {
		return p
	}
	return npmtest.File(t, ".bin/jco")
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
	path := filepath.Join(npmtest.CacheDir(t, "components"), fmt.Sprintf("%s-%x.wasm", name, h.Sum(nil)[:8]))
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

// Assembled is what Assemble made of a text: a component or an error.
type Assembled struct {
	Wasm  []byte
	Error string
}

// assemble is a program for node that reads texts and writes what jco makes of them.
const assemble = `
import { readFileSync } from 'node:fs';
const { parse } = await import(process.argv[1]);
const out = [];
for (const text of JSON.parse(readFileSync(0, 'utf8'))) {
  try {
    out.push({ Wasm: Buffer.from(await parse(text)).toString('base64') });
  } catch (e) {
    out.push({ Error: String(e?.payload ?? e?.message ?? e) });
  }
}
process.stdout.write(JSON.stringify(out));
`

// Assemble makes components of their text format, all at once, since starting jco takes longer than they do.
func Assemble(t testing.TB, texts []string) (out []Assembled) {
	t.Helper()
	path, err := filepath.EvalSymlinks(Path(t))
	if err != nil {
		t.Fatal(err)
	}
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("node not installed")
	}
	in, err := json.Marshal(texts)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), node, "--input-type=module", "-e", assemble, filepath.Join(filepath.Dir(path), "api.js"))
	cmd.Stdin = bytes.NewReader(in)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	b, err := cmd.Output()
	if err == nil {
		err = json.Unmarshal(b, &out)
	}
	if err != nil {
		t.Fatalf("assemble: %v\n%.2000s", err, stderr.Bytes())
	}
	return out
}
