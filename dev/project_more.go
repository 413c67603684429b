package dev

import (
	"bufio"
	"cmp"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/appserver-go/appserver/internal/fault"
)

// rustTarget is what a package is built for that does not say so itself.
const rustTarget = "wasm32-wasip1"

// ownTarget matches a target in Cargo's configuration.
var ownTarget = regexp.MustCompile(`(?m)^\s*(build\.)?target\s*=`)

// cargoPackage recognises a Cargo.toml. Cargo says in JSON what it has built.
func cargoPackage(dir string, o Options) (*Project, error) {
	if !exists(dir, "Cargo.toml") {
		return nil, nil
	}
	p := sources("Cargo package", dir, o)
	p.plan = func() (*command, error) {
		argv := []string{"cargo", "build", "--message-format=json-render-diagnostics"}
		if cfg, err := os.ReadFile(filepath.Join(dir, ".cargo", "config.toml")); err != nil || !ownTarget.Match(cfg) {
			argv = append(argv, "--target", rustTarget)
		}
		return &command{dir: dir, argv: argv, machine: true}, nil
	}
	p.module = func(b *built) (string, error) { return cargoModule(b.stdout) }
	return p, nil
}

// cargoModule finds the last module among the messages of cargo build.
func cargoModule(messages string) (string, error) {
	path := ""
	lines := bufio.NewScanner(strings.NewReader(messages))
	lines.Buffer(nil, outputMax)
	for lines.Scan() {
		var m struct {
			Reason    string
			Filenames []string
		}
		if json.Unmarshal(lines.Bytes(), &m) != nil || m.Reason != "compiler-artifact" {
			continue
		}
		for _, name := range m.Filenames {
			if strings.HasSuffix(name, ".wasm") {
				path = name
			}
		}
	}
	if path == "" {
		return "", fault.New(`it takes a [[bin]], or a [lib] with crate-type = ["cdylib"]`, "cargo has built no module")
	}
	return path, nil
}

// assemblyScript recognises a package.json beside an asconfig.json.
func assemblyScript(dir string, o Options) (*Project, error) {
	if !exists(dir, "package.json") || !exists(dir, "asconfig.json") {
		return nil, nil
	}
	p := sources("AssemblyScript package", dir, o)
	p.Ignore = append(p.Ignore, filepath.Join(dir, "build")) // where asc init puts all that it writes
	p.plan = func() (*command, error) {
		if !exists(dir, "node_modules") {
			return nil, fault.New("run npm install in "+dir, "the packages of the project are not installed")
		}
		return &command{dir: dir, argv: assemblyScriptBuild(dir)}, nil
	}
	p.module = func(*built) (string, error) { return assemblyScriptModule(dir) }
	return p, nil
}

// assemblyScriptBuild is the script that builds the package, or if it has none the compiler itself.
func assemblyScriptBuild(dir string) []string {
	var pkg struct{ Scripts map[string]string }
	data, err := os.ReadFile(filepath.Join(dir, "package.json"))
	if err == nil {
		_ = json.Unmarshal(data, &pkg) // npm will say what is wrong with it
	}
	for _, script := range []string{"asbuild", "build"} {
		if pkg.Scripts[script] != "" {
			return []string{"npm", "run", "--silent", script}
		}
	}
	return []string{"npx", "--no-install", "asc", "assembly/index.ts", "--target", "release"}
}

// assemblyScriptModule returns the newest module among those that the targets of asconfig.json write.
func assemblyScriptModule(dir string) (string, error) {
	var cfg struct {
		Options outFile
		Targets map[string]outFile
	}
	if data, err := os.ReadFile(filepath.Join(dir, "asconfig.json")); err == nil {
		_ = json.Unmarshal(data, &cfg) // the compiler was content with it
	}
	var paths []string
	for _, out := range cfg.Targets {
		paths = append(paths, filepath.Join(dir, out.OutFile))
	}
	paths = append(paths, filepath.Join(dir, cfg.Options.OutFile))
	paths = slices.DeleteFunc(paths, func(path string) bool {
		info, err := os.Stat(path)
		return err != nil || !info.Mode().IsRegular()
	})
	if len(paths) == 0 {
		return newestModule(dir)
	}
	return slices.MaxFunc(paths, func(a, b string) int { return cmp.Compare(modified(a), modified(b)) }), nil
}

type outFile struct {
	OutFile string `json:"outFile"`
}

// modified returns when a file was written last.
func modified(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.ModTime().UnixNano()
}

// makefile recognises C, or C++, with a Makefile.
func makefile(dir string, o Options) (*Project, error) {
	if !exists(dir, "Makefile") && !exists(dir, "makefile") && !exists(dir, "GNUmakefile") || !hasC(dir) {
		return nil, nil
	}
	p := sources("Makefile", dir, o)
	p.plan = func() (*command, error) { return &command{dir: dir, argv: []string{"make"}}, nil }
	p.module = func(*built) (string, error) { return newestModule(dir) }
	return p, nil
}

// hasC reports whether there are sources of C or C++ in a directory or in its src.
func hasC(dir string) bool {
	for _, pattern := range []string{"*.c", "*.cc", "*.cpp", "src/*.c", "src/*.cc", "src/*.cpp"} {
		if found, err := filepath.Glob(filepath.Join(escape(dir), pattern)); err == nil && len(found) > 0 {
			return true
		}
	}
	return false
}
