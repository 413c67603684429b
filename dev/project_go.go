package dev

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/appserver-go/appserver/internal/fault"
)

// kitPath is the package that makes an http-wasm guest of a Go program.
const kitPath = "github.com/appserver-go/appserver/guests/kit"

// goModule recognises the directory of a Go program, at the root of its module or below. What it is built as is found
// out anew for each build, since it depends on the sources: a program that uses the kit or exports functions stays in
// memory from request to request, any other runs once for each, as CGI.
func goModule(dir string, o Options) (*Project, error) {
	root := moduleRoot(dir)
	files, err := filepath.Glob(filepath.Join(escape(dir), "*.go"))
	if root == "" || err != nil || root != dir && len(files) == 0 {
		return nil, nil
	}
	p := sources("Go module", root, o)
	p.Dir = dir
	for _, more := range localModules(root) {
		p.Globs = append(p.Globs, filepath.Join(escape(more), "**", "*"))
		p.roots = append(p.roots, more)
	}
	out := filepath.Join(o.Scratch, filepath.Base(dir)+".wasm")
	p.plan = func() (*command, error) {
		c := &command{dir: dir, env: []string{"GOOS=wasip1", "GOARCH=wasm"}, argv: []string{"go", "build"}}
		reactor, err := looksLikeReactor(dir)
		switch {
		case err != nil:
			return nil, err
		case o.Protocol == "cgi" || o.Protocol == "stdio":
			c.argv = append(c.argv, "-tags", o.Protocol)
		case reactor:
			c.argv = append(c.argv, "-buildmode=c-shared")
		}
		c.argv = append(c.argv, "-o", out, ".")
		return c, nil
	}
	p.module = func(*built) (string, error) { return out, nil }
	return p, nil
}

// moduleRoot returns the directory of the go.mod that governs dir, or "".
func moduleRoot(dir string) string {
	for {
		if exists(dir, "go.mod") {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return ""
		}
		dir = parent
	}
}

// localModules returns the directories outside a module that it takes code from: those of replace directives. It
// returns none where the go command is missing or fails; the build will say why.
func localModules(root string) []string {
	cmd := exec.Command("go", "mod", "edit", "-json")
	cmd.Dir = root
	out, err := cmd.Output()
	var mod struct {
		Replace []struct {
			New struct{ Path, Version string }
		}
	}
	if err != nil || json.Unmarshal(out, &mod) != nil {
		return nil
	}
	var dirs []string
	for _, r := range mod.Replace {
		path := r.New.Path
		if r.New.Version != "" {
			continue // another module's name
		}
		if !filepath.IsAbs(path) {
			path = filepath.Join(root, path)
		}
		if rel, err := filepath.Rel(root, path); err == nil && (rel == ".." || strings.HasPrefix(rel, "../")) {
			dirs = append(dirs, path)
		}
	}
	return dirs
}

// looksLikeReactor reports whether the program in dir is to be built as a library: it uses the kit, or exports
// functions to its host. Files that do not parse are left to the compiler. A package that is no program is an error:
// the go command would make an archive of it.
func looksLikeReactor(dir string) (bool, error) {
	files, err := filepath.Glob(filepath.Join(escape(dir), "*.go"))
	if err != nil {
		return false, err
	}
	reactor, library := false, ""
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		src, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, src, parser.ImportsOnly)
		if err != nil {
			continue
		}
		if name := file.Name.Name; name != "main" && !constrained(src) {
			library = name
		}
		reactor = reactor || imports(file, kitPath) || bytes.Contains(src, []byte("\n//go:wasmexport "))
	}
	if library != "" {
		return false, fault.New("name the directory of the program: appserver dev ./cmd/app", "package %s in %s is a library and not a program", library, dir)
	}
	return reactor, nil
}

// constrained reports whether a file may be left out of a build.
func constrained(src []byte) bool {
	return bytes.HasPrefix(src, []byte("//go:build ")) || bytes.Contains(src, []byte("\n//go:build "))
}

func imports(file *ast.File, path string) bool {
	for _, spec := range file.Imports {
		if spec.Path.Value == `"`+path+`"` {
			return true
		}
	}
	return false
}
