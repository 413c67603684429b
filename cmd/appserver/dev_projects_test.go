package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// compilerTime is how long a compiler may take that has nothing in its caches on a busy machine.
const compilerTime = 6 * patience

// devProjectCase is a project as dev recognises it, with a mistake and without.
type devProjectCase struct {
	name   string
	kind   string
	tool   string                  // skipped without it
	ready  func(dir string) string // says what else is missing, or ""
	files  map[string]string
	source string // the file that is changed
	// right is in the source and answers with "one"; wrong makes it a source that does not compile, at a place.
	right, wrong, place string
}

const cProgram = `#define host(name) __attribute__((import_module("http_handler"), import_name(#name)))
host(write_body) void write_body(int kind, const char *body, int len);

static const char text[] = "answer one";

__attribute__((export_name("handle_request"))) long long handle_request(void) {
	write_body(1, text, sizeof text - 1);
	return 0;
}

__attribute__((export_name("handle_response"))) void handle_response(int ctx, int failed) {}
`

const cMakefile = `app.wasm: app.o
	wasm-ld --no-entry -o $@ app.o
app.o: app.c
	clang --target=wasm32-unknown-unknown -O1 -c -o $@ app.c
`

const ascProgram = `@external("http_handler", "write_body")
declare function writeBody(kind: i32, body: usize, len: i32): void;

export function handle_request(): i64 {
  const text = String.UTF8.encode("answer one");
  writeBody(1, changetype<usize>(text), text.byteLength);
  return 0;
}

export function handle_response(ctx: i32, failed: i32): void {}
`

var devProjects = []devProjectCase{
	{
		name: "go", kind: "Go module", tool: "go", source: "main.go", place: "main.go:6:12",
		files: map[string]string{
			"go.mod":  "module example.com/app\n\ngo 1.24\n",
			"main.go": "package main\n\nimport \"os\"\n\nfunc main() {\n\tos.Stdout.WriteString(\"Content-Type: text/plain\\n\\nanswer one\")\n}\n",
		},
		right: "WriteString", wrong: "Writestring",
	},
	{
		name: "c", kind: "Makefile", tool: "wasm-ld", source: "app.c", place: "app.c:7:2",
		ready: func(string) string { return missing("clang") + missing("make") },
		files: map[string]string{"Makefile": cMakefile, "app.c": cProgram}, right: "\twrite_body", wrong: "\twrong_body",
	},
	{
		name: "assemblyscript", kind: "AssemblyScript package", tool: "asc", source: "assembly/index.ts", place: "assembly/index.ts:6:3",
		ready: func(string) string { return missing("npm") },
		files: map[string]string{
			"package.json":      `{"scripts":{"asbuild":"asc assembly/index.ts --target release"}}`,
			"asconfig.json":     `{"targets":{"release":{"outFile":"build/release.wasm","use":"abort=","optimizeLevel":2}}}`,
			"assembly/index.ts": ascProgram, "node_modules/.keep": "",
		},
		right: "  writeBody", wrong: "  wrongBody",
	},
	{
		name: "rust", kind: "Cargo package", tool: "cargo", source: "src/main.rs", place: "src/main.rs:2:",
		ready: rustTargetFor,
		files: map[string]string{
			"Cargo.toml":  "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2021\"\n",
			"src/main.rs": "fn main() {\n    print!(\"Content-Type: text/plain\\n\\nanswer one\");\n}\n",
		},
		right: "print!(", wrong: "prunt!(",
	},
}

// missing says that a tool is not there.
func missing(tool string) string {
	if _, err := exec.LookPath(tool); err != nil {
		return tool + " is not on the PATH "
	}
	return ""
}

// rustTargetFor has the package in dir built for the target that there is a standard library for.
func rustTargetFor(dir string) string {
	for _, target := range []string{"wasm32-wasip1", "wasm32-wasi"} {
		out, err := exec.Command("rustc", "--print", "target-libdir", "--target", target).Output()
		if err != nil {
			continue
		}
		if _, err := os.Stat(strings.TrimSpace(string(out))); err == nil && target != "wasm32-wasip1" {
			err = os.MkdirAll(filepath.Join(dir, ".cargo"), 0o755)
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, ".cargo", "config.toml"), []byte("[build]\ntarget = \""+target+"\"\n"), 0o644)
			}
			if err != nil {
				return err.Error()
			}
			return ""
		} else if err == nil {
			return ""
		}
	}
	return "rustc has no target wasm32-wasip1"
}

// Each kind of project is recognised and built with its own tools; a mistake is shown at its place, and mended.
func TestDevProjects(t *testing.T) {
	for _, c := range devProjects {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			why := missing(c.tool)
			dir := t.TempDir()
			if why == "" && c.ready != nil {
				why = c.ready(dir)
			}
			if why != "" {
				t.Skip(why)
			}
			for name, text := range c.files {
				save(t, filepath.Join(dir, name), []byte(text))
			}
			s := startDev(t, dir)
			s.patience = compilerTime
			if kind := s.awaitMsg("Developing").text("project"); kind != c.kind {
				t.Errorf("recognised as a %s", kind)
			}
			s.awaitBody("/", 200, "answer one")
			change := func(old, new string) {
				text := strings.Replace(string(read(t, filepath.Join(dir, c.source))), old, new, 1)
				save(t, filepath.Join(dir, c.source), []byte(text))
			}
			change(c.right, c.wrong)
			body := s.awaitBody("/", 500, "Build failed")
			if !strings.Contains(body, "\n"+c.place) || !strings.Contains(body, ">") {
				t.Errorf("no place %s on the page:\n%s", c.place, body)
			}
			change(c.wrong, c.right)
			change("answer one", "answer two")
			s.awaitBody("/", 200, "answer two")
			s.stop()
		})
	}
}

// The example is recognised as what it is, a program on the kit, below the root of its module; for another protocol when it is to be.
func TestDevServesTheExample(t *testing.T) {
	if why := missing("go"); why != "" {
		t.Skip(why)
	}
	example := filepath.Join("..", "..", "guests", "go-hello")
	for _, c := range []struct {
		name   string
		args   []string
		status int // of a request that panics
		title  string
		stack  bool // is known
	}{
		{"http-wasm", nil, 500, "Guest trapped: panic: asked to by /panic", true},
		{"cgi", []string{"--guest-protocol", "cgi"}, 500, "Guest exited: panic: asked to by /panic", true},
		{"stdio", []string{"--guest-protocol", "stdio"}, 502, "Guest exited: ", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := startDev(t, example, c.args...)
			s.patience = compilerTime
			s.awaitBody("/", 200, "Hello from Go in WebAssembly!")
			body := s.awaitBody("/panic", c.status, c.title)
			if !strings.Contains(body, "main.go:") || !strings.Contains(body, `panic("asked to by /panic")`) || strings.Contains(body, "> .main.") != c.stack {
				t.Errorf("%s", body)
			}
			s.stop()
		})
	}
}

// Every command of docs/dev.md is tried here, where it makes sense; one that is not known fails.
func TestDevDocumentCommands(t *testing.T) {
	commands := regexp.MustCompile(`(?m)^\$ (.+)$`).FindAllStringSubmatch(string(read(t, filepath.Join("..", "..", "docs", "dev.md"))), -1)
	if len(commands) != len(documentedPlaces) {
		t.Errorf("%d commands, want %d", len(commands), len(documentedPlaces))
	}
	for _, c := range commands {
		t.Run(c[1], func(t *testing.T) { documentedDev(t, c[1]) })
	}
}

// documentedPlaces are where the program of a documented command is.
var documentedPlaces = map[string]string{
	"appserver dev": ".", "appserver dev ./cmd/app": "cmd/app", `appserver dev app.wasm --build "./build.sh"`: "", "appserver dev app.wasm": "",
}

// documentedDev does what a command line of the documents says, at another address.
func documentedDev(t *testing.T, line string) {
	t.Helper()
	place, known := documentedPlaces[line]
	if !known {
		t.Fatalf("a command that nobody tries: %s", line)
	}
	dir := t.TempDir()
	if place != "" {
		if why := missing("go"); why != "" {
			t.Skip(why)
		}
		program := devProjects[0]
		save(t, filepath.Join(dir, "go.mod"), []byte(program.files["go.mod"]))
		save(t, filepath.Join(dir, place, "main.go"), []byte(program.files["main.go"]))
	} else {
		save(t, filepath.Join(dir, "modules", "built.wasm"), greeting(t, "answer one"))
		save(t, filepath.Join(dir, "build.sh"), []byte("#!/bin/sh\ncp modules/built.wasm app.wasm\n"))
		if err := os.Chmod(filepath.Join(dir, "build.sh"), 0o755); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(line, "--build") {
			save(t, filepath.Join(dir, "app.wasm"), greeting(t, "answer one"))
		}
	}
	var args []string
	for _, word := range regexp.MustCompile(`"[^"]*"|\S+`).FindAllString(line, -1)[2:] {
		args = append(args, strings.Trim(word, `"`))
	}
	s := startDev(t, dir, args...)
	s.patience = compilerTime
	s.awaitBody("/", 200, "answer one")
	s.stop()
}
