package goplugin

import (
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/appserver-go/appserver/internal/fault"
)

func TestTempFileIsPrivateAndGoes(t *testing.T) {
	parent := t.TempDir()
	f, err := writeTemp([]byte("content"), []string{"", filepath.Join(parent, "missing"), parent})
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(f.path)
	if err != nil || string(content) != "content" {
		t.Errorf("%q, %v", content, err)
	}
	if info, err := os.Stat(filepath.Dir(f.path)); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info, err)
	}
	f.remove()
	if left, err := os.ReadDir(parent); err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
}

func TestTempFileNeedsAPlace(t *testing.T) {
	parents, want := []string{filepath.Join(t.TempDir(), "missing")}, []string{"missing: no such file"}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); strings.Contains(f[3], "noexec") && !strings.Contains(f[1], `\`) {
			parents, want = append(parents, f[1]), append(want, f[1]+" is mounted noexec")
			break
		}
	}
	_, err = writeTemp(nil, parents)
	for _, text := range want {
		if err == nil || !strings.Contains(err.Error(), text) || fault.Hint(err) == "" {
			t.Errorf("%v; want %q", err, text)
		}
	}
}

// What a process left that died is swept away; what a living one uses, or what is too young to tell, stays.
func TestSweep(t *testing.T) {
	parent := t.TempDir()
	used, err := writeTemp([]byte("x"), []string{parent})
	if err != nil {
		t.Fatal(err)
	}
	defer used.remove()
	old := time.Now().Add(-2 * staleAge)
	for _, name := range []string{"dead", "young", "other"} {
		prefix := dirPrefix
		if name == "other" {
			prefix = ""
		}
		dir := filepath.Join(parent, prefix+name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if name != "young" {
			if err := os.Chtimes(dir, old, old); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.Chtimes(filepath.Dir(used.path), old, old); err != nil {
		t.Fatal(err)
	}
	sweep(parent)
	var left []string
	entries, err := os.ReadDir(parent)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		left = append(left, e.Name())
	}
	want := fmt.Sprintf("[%s %syoung other]", filepath.Base(filepath.Dir(used.path)), dirPrefix)
	if fmt.Sprint(left) != want {
		t.Errorf("left %v, want %s", left, want)
	}
}

func TestOutputIsTaken(t *testing.T) {
	var mu sync.Mutex
	lines := map[string][]string{}
	before := os.Stdout
	o, err := capture(func(stream, text string) {
		mu.Lock()
		defer mu.Unlock()
		lines[stream] = append(lines[stream], text)
	})
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println("one\n\ntwo")
	fmt.Print(strings.Repeat("x", maxLine+1), "\nthree")
	log.Print("logged")
	o.release()
	if os.Stdout != before {
		t.Error("standard output was not given back")
	}
	if out := lines["stdout"]; len(out) != 5 || out[0] != "one" || out[1] != "two" || len(out[2]) != maxLine || out[3] != "x" || out[4] != "three" {
		t.Errorf("%.200q", out)
	}
	if errs := lines["stderr"]; len(errs) != 1 || !strings.HasSuffix(errs[0], "logged") {
		t.Errorf("%q", errs)
	}
}
