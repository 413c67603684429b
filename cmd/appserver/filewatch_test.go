package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// copyFile writes a file anew, in place.
func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, to, string(data))
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// With --reload a change of the guest, the configuration file or an extra file is a SIGHUP; other files beside them are not.
func TestReloadOnChange(t *testing.T) {
	for _, engine := range []string{"auto", "poll"} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			app, conf, extra := filepath.Join(dir, "app.wasm"), filepath.Join(dir, "server.toml"), filepath.Join(dir, "web", "x.html")
			copyFile(t, wasm("hello"), app)
			writeFile(t, conf, "workers = 1\n")
			if err := os.Mkdir(filepath.Dir(extra), 0o755); err != nil {
				t.Fatal(err)
			}
			s := start(t, app, "-c", conf, "--reload", "--reload-engine", engine, "--reload-extra-files", dir+"/web/*.html",
				"--chdir", "/")
			writeFile(t, filepath.Join(dir, "access.log"), "GET /")
			hups := 0
			for _, change := range []struct {
				path string
				do   func()
			}{
				{app, func() {
					copyFile(t, wasm("hello"), app+".new")
					appendTo(t, app+".new", "\x00\x02\x01x")
					rename(t, app+".new", app)
				}},
				{conf, func() { writeFile(t, conf, "workers = 1 # still\n") }},
				{extra, func() { writeFile(t, extra, "<p>") }},
			} {
				change.do()
				r := s.awaitRecord("the change of "+change.path, func(r record) bool {
					files, _ := r["files"].([]any)
					return r.msg() == "Files changed" && slices.Contains(files, any(change.path))
				})
				if files := r["files"].([]any); len(files) != 1 {
					t.Errorf("changed are %v, want %s alone", files, change.path)
				}
				hups++
				s.awaitRecords("SIGHUP", hups, func(r record) bool { return r.msg() == "Handling signal" && r.text("signal") == "hup" })
			}
			s.stop()
		})
	}
}

func appendTo(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

// awaitRecords waits until n records match.
func (s *appserver) awaitRecords(what string, n int, match func(record) bool) {
	s.t.Helper()
	eventually(s.t, patience, what, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		found := 0
		for _, r := range s.records {
			if match(r) {
				found++
			}
		}
		return found >= n
	})
}

// Without --reload nothing is watched.
func TestNoReloadOnChange(t *testing.T) {
	w, err := newFileWatch(&loadedDefaults(t).Config, "", nil)
	if err != nil || w != nil {
		t.Errorf("watches %v, %v", w, err)
	}
	w.start(t.Context())
	w.stop()
}

func loadedDefaults(t *testing.T) *Loaded {
	t.Helper()
	t.Chdir(t.TempDir())
	l, err := loadArgs(nil)
	if err != nil {
		t.Fatal(err)
	}
	return l
}
