package dev

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/appserver-go/appserver/internal/fault"
)

// Project is something that a guest comes from. It is immutable.
type Project struct {
	// Kind names what was recognised: "Go module", "Cargo package" and so on.
	Kind string
	// Dir is the directory that the build runs in; its command and messages are relative to it.
	Dir string
	// Files and Globs are what the guest is made from, and Ignore what is not, as package reloader takes them.
	Files, Globs, Ignore []string

	roots []string // where sources that messages name may be shown from
	// plan makes the command of the next build. It is nil where nothing is built.
	plan func() (*command, error)
	// module finds the guest after a build.
	module func(b *built) (string, error)
}

// Options says how a Project is to be built.
type Options struct {
	// Scratch is a directory for what builds leave that nobody else wants.
	Scratch string
	// Protocol is the guest.protocol setting: "cgi" and "stdio" have a program on the Go kit built for them.
	Protocol string
	// Ignore are more files and directories that are not watched: those that the guest or the server writes.
	Ignore []string
}

// skipped are the names of directories and files that builds and editors write. Names that begin with a dot are not
// watched anyway.
var skipped = []string{
	"target", "node_modules", "*.wasm", "*.wat", "*.o", "*.a", "*.d", "*.so", "*.tmp", "*.log", "*~", "#*#", "4913",
}

// Module is a Project of a module that somebody else builds.
func Module(path string) *Project {
	return &Project{
		Kind: "module", Dir: filepath.Dir(path), Files: []string{path}, roots: []string{filepath.Dir(path)},
		module: func(*built) (string, error) { return path, nil },
	}
}

// Command is a Project that is built in dir by a command line for the shell. The module is what the command leaves at
// path, or if that is empty the newest one below dir.
func Command(dir, line, path string, o Options) *Project {
	p := sources("command", dir, o)
	p.plan = shell(dir, line)
	p.module = func(*built) (string, error) { return newestModule(dir) }
	if path != "" {
		p.Ignore = append(p.Ignore, path)
		p.module = func(*built) (string, error) {
			if _, err := os.Stat(path); err != nil {
				return "", fault.New("let the build command write it, or name another file", "the build went well but left no %s", path)
			}
			return path, nil
		}
	}
	return p
}

// shell is the plan of a command line.
func shell(dir, line string) func() (*command, error) {
	return func() (*command, error) { return &command{argv: []string{"sh", "-c", line}, dir: dir}, nil }
}

// sources is a Project of all files below a directory.
func sources(kind, dir string, o Options) *Project {
	return &Project{
		Kind: kind, Dir: dir, Globs: []string{filepath.Join(escape(dir), "**", "*")}, roots: []string{dir},
		Ignore: slices.Concat(skipped, o.Ignore),
	}
}

// escape makes a path a pattern that stands for itself.
func escape(path string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(path)
}

// recogniser makes a Project of a directory, or nil if it is of another kind.
type recogniser func(dir string, o Options) (*Project, error)

// Recognise finds out how the guest in a directory, an absolute path, is built. The error, a *fault.Error, says what was
// looked for.
func Recognise(dir string, o Options) (*Project, error) {
	info, err := os.Stat(dir)
	if err != nil || !info.IsDir() {
		return nil, fault.WithCode(fault.Usage, "name a module or the directory of a project", "there is no directory %s", dir)
	}
	for _, recognise := range []recogniser{goModule, cargoPackage, assemblyScript, makefile} {
		if p, err := recognise(dir, o); p != nil || err != nil {
			return p, err
		}
	}
	return nil, fault.WithCode(fault.Usage, "say how it is built: appserver dev --build COMMAND",
		"%s is no project that is known: there is neither a go.mod, a Cargo.toml, a package.json with an asconfig.json, nor a Makefile with C sources", dir)
}

// exists reports whether a directory has an entry.
func exists(dir, name string) bool {
	_, err := os.Stat(filepath.Join(dir, name))
	return err == nil
}

// outputs are where builds put modules, below the project's directory.
var outputs = []string{"*.wasm", "build/*.wasm", "out/*.wasm", "bin/*.wasm", "dist/*.wasm"}

// newestModule returns the module that was written last.
func newestModule(dir string) (string, error) {
	newest, at := "", int64(0)
	for _, pattern := range outputs {
		paths, err := filepath.Glob(filepath.Join(escape(dir), pattern))
		if err != nil {
			return "", fmt.Errorf("look for the module in %s: %w", dir, err)
		}
		for _, path := range paths {
			if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.ModTime().UnixNano() > at {
				newest, at = path, info.ModTime().UnixNano()
			}
		}
	}
	if newest == "" {
		return "", fault.New("name the file that it writes: appserver dev app.wasm --build COMMAND",
			"the build went well but left no module: there is no %s in %s", strings.Join(outputs, ", "), dir)
	}
	return newest, nil
}
