package dev

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// tree makes files below a new directory and returns it.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// What compilers and runtimes print leads to the line that it is about.
func TestPlaces(t *testing.T) {
	source := strings.Repeat("some line of code\n", 20)
	dir := tree(t, map[string]string{
		"main.go": source, "sub/other.go": source, "src/main.rs": source, "src/main.c": source, "src/util.h": source,
		"assembly/index.ts": source, "kit/adapter.go": source, "program/main.go": source,
	})
	for _, c := range []struct {
		name, text, dir string // dir is below the root
		place, about    string
	}{
		{"go", "# example.com/app\n./main.go:3:5: undefined: x\n./main.go:9:1: too", "", "main.go:3:5", "undefined: x"},
		{"go elsewhere", "# example.com/app/sub\nsub/other.go:2:1: syntax error\n", "", "sub/other.go:2:1", "syntax error"},
		{"go above", "../kit/adapter.go:2:1: bad\n", "program", "../kit/adapter.go:2:1", "bad"},
		{"go, no such file", "gone.go:3:5: undefined: x\nmain.go:4: bad", "", "main.go:4", "bad"},
		{
			"clang", "In file included from src/main.c:1:\nsrc/util.h:4:2: warning: odd\nsrc/main.c:7:10: error: expected ';'\n    int x\n",
			"", "src/main.c:7:10", "error: expected ';'",
		},
		{
			"rustc", "warning: unused\n --> src/main.rs:1:5\n\nerror[E0425]: cannot find value `x`\n  --> src/main.rs:6:13\n   |\n6 |     x\n",
			"", "src/main.rs:6:13", "error[E0425]: cannot find value `x`",
		},
		{
			"asc", "ERROR TS2304: Cannot find name 'x'.\n   :\n 5 │ x();\n   │ ^\n   └─ in assembly/index.ts(5,3)\n\nFAILURE 1 compile error(s)\n",
			"", "assembly/index.ts:5:3", "ERROR TS2304: Cannot find name 'x'.",
		},
		{
			"stack of Go", "panic: boom\n\ngoroutine 1 [running]:\nkit.run()\n\t$DIR/kit/adapter.go:7 +0x11\nmain.f()\n\t$DIR/program/main.go:9 +0x2\n",
			"program", "main.go:9", "+0x2",
		},
		{"colours", "\x1b[1m\x1b[31mmain.go:3:5: \x1b[0mundefined: x", "", "main.go:3:5", "undefined: x"},
		{"outside", "/etc/passwd:1:1: error: no\n../../etc/passwd:1:1: error: no", "", "", ""},
		{"time", "12:30:05 main: started", "", "", ""},
		{"line 0", "main.go:0: bad", "", "", ""},
		{"huge", "main.go:99999999999999999999999: bad", "", "", ""},
		{"nothing", "", "", "", ""},
	} {
		m := mark(strings.ReplaceAll(c.text, "$DIR", dir), filepath.Join(dir, c.dir), []string{dir})
		name := ""
		if m.found {
			name = m.best.name(filepath.Join(dir, c.dir))
			if !m.lines[m.at].Marked {
				t.Errorf("%s: line %d is not marked", c.name, m.at)
			}
		}
		if name != c.place || m.about != c.about {
			t.Errorf("%s: %q, %q; want %q, %q", c.name, name, m.about, c.place, c.about)
		}
	}
}

func TestExcerpt(t *testing.T) {
	dir := tree(t, map[string]string{"a.go": "1\n2\n3\n4\n5\n\tfn(x)\n7\n8\n9\n10\n11\n12"})
	lines := place{root: dir, file: "a.go", line: 6, column: 2}.excerpt()
	if len(lines) != 2*around+1 || lines[0].Number != 2 || lines[8].Text != "10" {
		t.Fatalf("%+v", lines)
	}
	if l := lines[4]; !l.Marked || l.Before != "\t" || l.At != "fn" || l.After != "(x)" {
		t.Errorf("%+v", l)
	}
	for _, p := range []place{
		{root: dir, file: "a.go", line: 100}, {root: dir, file: "b.go", line: 1}, {root: dir + "x", file: "a.go", line: 1},
	} {
		if lines := p.excerpt(); lines != nil {
			t.Errorf("%+v: %+v", p, lines)
		}
	}
	// A link in the project must not show what is outside of it.
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "passwd")); err != nil {
		t.Fatal(err)
	}
	if lines := (place{root: dir, file: "passwd", line: 1}).excerpt(); lines != nil {
		t.Errorf("%+v", lines)
	}
}

func FuzzMark(f *testing.F) {
	dir := f.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.go"), []byte("a\nb\xff\n"), 0o644); err != nil {
		f.Fatal(err)
	}
	f.Add("a.go:2:2: x")
	f.Add("\x1b[31ma.go(1,1)\x1b]0;title\x07 \u202e")
	f.Fuzz(func(t *testing.T, text string) {
		m := mark(text, dir, []string{dir})
		for _, l := range m.lines {
			if plain(l.Text) != l.Text || strings.ContainsAny(l.Text, "\x1b\u202e\x00") {
				t.Errorf("%q", l.Text)
			}
		}
		if m.found {
			m.best.excerpt()
			if m.best.file != "a.go" || m.best.line < 1 {
				t.Errorf("%+v", m.best)
			}
		}
	})
}
