package dev

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/appserver-go/appserver/internal/fault"
)

const kitProgram = "package main\n\nimport (\n\t\"net/http\"\n\n\t\"" + kitPath + "\"\n)\n\nfunc main() { kit.Main() }\n"

func TestRecognise(t *testing.T) {
	for _, c := range []struct {
		name    string
		files   map[string]string
		dir     string
		o       Options
		kind    string
		command string // or the error of the build
	}{
		{
			"go program",
			map[string]string{"go.mod": "module m\n", "main.go": "package main\n"},
			"",
			Options{Scratch: "/s"},
			"Go module",
			"GOOS=wasip1 GOARCH=wasm go build -o /s/$BASE.wasm .",
		},
		{
			"go with the kit",
			map[string]string{"go.mod": "module m\n", "main.go": kitProgram},
			"",
			Options{Scratch: "/s"},
			"Go module",
			"GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -o /s/$BASE.wasm .",
		},
		{
			"go with the kit, as cgi",
			map[string]string{"go.mod": "module m\n", "main.go": kitProgram},
			"",
			Options{Scratch: "/s", Protocol: "cgi"},
			"Go module",
			"GOOS=wasip1 GOARCH=wasm go build -tags cgi -o /s/$BASE.wasm .",
		},
		{
			"go with exports, below its module", map[string]string{
				"go.mod": "module m\n", "cmd/app/main.go": "package main\n\n//go:wasmexport handle_request\nfunc h() {}\n",
				"cmd/app/main_test.go": "package main_test\n", "cmd/app/gen.go": "//go:build ignore\n\npackage gen\n",
			}, "cmd/app", Options{Scratch: "/s"}, "Go module", "GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -o /s/app.wasm .",
		},
		{"go library", map[string]string{"go.mod": "module m\n", "lib.go": "package lib\n"}, "", Options{}, "Go module", "package lib"},
		{
			"go that does not parse",
			map[string]string{"go.mod": "module m\n", "main.go": "pakage main\n"},
			"",
			Options{Scratch: "/s"},
			"Go module",
			"GOOS=wasip1 GOARCH=wasm go build -o /s/$BASE.wasm .",
		},
		{
			"cargo",
			map[string]string{"Cargo.toml": "[package]\n", "Makefile": "all:\n", "a.c": ""},
			"",
			Options{},
			"Cargo package",
			"cargo build --message-format=json-render-diagnostics --target wasm32-wasip1",
		},
		{
			"cargo with a target",
			map[string]string{"Cargo.toml": "", ".cargo/config.toml": "[build]\ntarget = \"wasm32-unknown-unknown\"\n"},
			"",
			Options{},
			"Cargo package", "cargo build --message-format=json-render-diagnostics",
		},
		{
			"asc by script", map[string]string{
				"package.json": `{"scripts":{"asbuild":"x","build":"y"}}`, "asconfig.json": "{}", "node_modules/x/y": "",
			}, "", Options{}, "AssemblyScript package", "npm run --silent asbuild",
		},
		{
			"asc",
			map[string]string{"package.json": `{}`, "asconfig.json": "{}", "node_modules/x/y": ""},
			"",
			Options{},
			"AssemblyScript package", "npx --no-install asc assembly/index.ts --target release",
		},
		{"asc, not installed", map[string]string{"package.json": `{}`, "asconfig.json": "{}"}, "", Options{}, "AssemblyScript package", "not installed"},
		{"make", map[string]string{"Makefile": "all:\n", "src/a.c": ""}, "", Options{}, "Makefile", "make"},
		{"make without c", map[string]string{"Makefile": "all:\n"}, "", Options{}, "", ""},
		{"npm alone", map[string]string{"package.json": "{}"}, "", Options{}, "", ""},
		{"docs of a module", map[string]string{"go.mod": "module m\n", "docs/a.md": ""}, "docs", Options{}, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(tree(t, c.files), c.dir)
			p, err := Recognise(dir, c.o)
			if c.kind == "" {
				if err == nil || fault.Hint(err) == "" || fault.Code(err) != fault.Usage {
					t.Fatalf("%+v, %v", p, err)
				}
				return
			}
			if err != nil || p.Kind != c.kind || p.Dir != dir {
				t.Fatalf("%+v, %v", p, err)
			}
			cmd, err := p.plan()
			if err != nil {
				if !strings.Contains(err.Error(), c.command) || fault.Hint(err) == "" {
					t.Error(err)
				}
				return
			}
			if got, want := cmd.String(), strings.ReplaceAll(c.command, "$BASE", filepath.Base(dir)); got != want {
				t.Errorf("command %s, want %s", got, want)
			}
		})
	}
}

// A program below its module's root changes with the whole module, and with modules that stand in for others.
func TestGoModuleWatchesWhatItIsMadeOf(t *testing.T) {
	dir := tree(t, map[string]string{
		"app/go.mod":          "module m\n\ngo 1.26\n\nrequire example.com/kit v0.0.0\n\nreplace example.com/kit => ../kit\n\nreplace example.com/a => example.com/b v1.0.0\n",
		"app/cmd/app/main.go": "package main\n", "kit/go.mod": "module example.com/kit\n",
	})
	p, err := Recognise(filepath.Join(dir, "app", "cmd", "app"), Options{Ignore: []string{"/data"}})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{dir + "/app/**/*", dir + "/kit/**/*"}; !slices.Equal(p.Globs, want) {
		t.Errorf("watches %v, want %v", p.Globs, want)
	}
	for _, want := range []string{"target", "node_modules", "*.wasm", "/data"} {
		if !slices.Contains(p.Ignore, want) {
			t.Errorf("%s is not ignored", want)
		}
	}
}

func TestModulesAreFound(t *testing.T) {
	dir := tree(t, map[string]string{"old.wasm": "", "build/new.wasm": "", "deep/er/no.wasm": ""})
	past := time.Now().Add(-time.Hour)
	if err := os.Chtimes(filepath.Join(dir, "old.wasm"), past, past); err != nil {
		t.Fatal(err)
	}
	if path, err := newestModule(dir); path != filepath.Join(dir, "build/new.wasm") {
		t.Errorf("%s, %v", path, err)
	}
	if _, err := newestModule(filepath.Join(dir, "deep")); err == nil || fault.Hint(err) == "" {
		t.Errorf("%v", err)
	}
	const messages = `{"reason":"compiler-artifact","filenames":["/t/libdep.rlib"]}
{"reason":"compiler-artifact","filenames":["/t/app.wasm"],"executable":"/t/app.wasm"}
{"reason":"build-finished","success":true}
`
	if path, err := cargoModule(messages); path != "/t/app.wasm" || err != nil {
		t.Errorf("%s, %v", path, err)
	}
	if _, err := cargoModule("no JSON\n"); err == nil || fault.Hint(err) == "" {
		t.Errorf("%v", err)
	}
	dir = tree(t, map[string]string{
		"asconfig.json": `{"targets":{"debug":{"outFile":"out/debug.wasm"},"release":{"outFile":"gone.wasm"}}}`, "out/debug.wasm": "", "x.wasm": "",
	})
	if path, err := assemblyScriptModule(dir); path != filepath.Join(dir, "out/debug.wasm") || err != nil {
		t.Errorf("%s, %v", path, err)
	}
	p := Command(dir, "true", filepath.Join(dir, "app.wasm"), Options{})
	if _, err := p.module(&built{}); err == nil || fault.Hint(err) == "" {
		t.Errorf("%v", err)
	}
	if path, err := Module("/a/b.wasm").module(nil); path != "/a/b.wasm" || err != nil {
		t.Errorf("%s, %v", path, err)
	}
}
