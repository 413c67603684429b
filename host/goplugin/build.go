package goplugin

import (
	"bytes"
	"debug/buildinfo"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"
)

// hashPrefix begins the names of the symbols that hold the fingerprints of packages. The linker gives one to each
// package of a plugin, and of a program that can load plugins; the runtime compares them when it loads a plugin. The
// name is the linker's own affair (cmd/link/internal/ld/symtab.go), so its absence proves nothing.
const hashPrefix = "go:link.pkghashbytes."

// Build is what a binary tells of how it was built.
type Build struct {
	// GoVersion is the toolchain's version, like "go1.26.8".
	GoVersion string
	// Path is the import path of the main package.
	Path string
	// Main is the module of the main package; its Path is empty when there is none.
	Main debug.Module
	// Modules maps the paths of all modules, Main included, to their versions. A replaced module has the version of
	// its replacement, or the replacement's path where that has none.
	Modules map[string]string
	// Settings are the build settings of debug.BuildInfo.
	Settings map[string]string
	// Packages maps import paths to fingerprints. It is nil when the binary has none.
	Packages map[string]string
	// Exports are the exported names of the main package, as far as the file tells.
	Exports []string
	// Dynamic says that the binary is a program with a dynamic loader, without which it cannot load plugins.
	Dynamic bool
}

// Own returns what this process's binary was built with.
func Own() (*Build, error) {
	f, err := os.Open("/proc/self/exe")
	if err != nil {
		return nil, fmt.Errorf("read the build information of this program: %w", err)
	}
	defer f.Close()
	b, err := readBuild(f)
	if err != nil {
		return nil, fmt.Errorf("read the build information of this program: %w", err)
	}
	return b, nil
}

// errNoGo means that a file is no Go binary.
var errNoGo = errors.New("it has no Go build information")

func readBuild(r io.ReaderAt) (b *Build, err error) {
	// debug/elf promises no more than an error for a hostile file, but this runs in checks as well as in workers.
	defer func() {
		if p := recover(); p != nil {
			b, err = nil, fmt.Errorf("the ELF file is broken: %v", p)
		}
	}()
	info, err := buildinfo.Read(r)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoGo, err)
	}
	b = &Build{
		GoVersion: info.GoVersion, Path: info.Path, Main: info.Main,
		Modules: map[string]string{}, Settings: map[string]string{},
	}
	for _, s := range info.Settings {
		b.Settings[s.Key] = s.Value
	}
	for _, m := range append([]*debug.Module{&info.Main}, info.Deps...) {
		if m.Path != "" {
			b.Modules[m.Path] = moduleVersion(m)
		}
	}
	return b, b.readSymbols(r)
}

func moduleVersion(m *debug.Module) string {
	if m.Replace == nil {
		return m.Version
	}
	if m.Replace.Version == "" {
		return m.Replace.Path
	}
	if m.Replace.Path == m.Path {
		return m.Replace.Version
	}
	return m.Replace.Path + "@" + m.Replace.Version
}

// readSymbols takes what there is to know from the dynamic symbols, which survive strip.
func (b *Build) readSymbols(r io.ReaderAt) error {
	f, err := elf.NewFile(r)
	if err != nil {
		return fmt.Errorf("read the ELF file: %w", err)
	}
	for _, p := range f.Progs {
		b.Dynamic = b.Dynamic || p.Type == elf.PT_INTERP
	}
	symbols, err := f.DynamicSymbols()
	if errors.Is(err, elf.ErrNoSymbols) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the symbols of the ELF file: %w", err)
	}
	for _, s := range symbols {
		if s.Section == elf.SHN_UNDEF {
			continue
		}
		if pkg, ok := strings.CutPrefix(s.Name, hashPrefix); ok {
			b.addPackage(f, pkg, s)
		}
		if name, ok := strings.CutPrefix(s.Name, b.Path+"."); ok && b.Path != "" && exported(name) {
			b.Exports = append(b.Exports, name)
		}
	}
	return nil
}

// maxHash is the size of the largest fingerprint that is believed; today's are 8 bytes.
const maxHash = 64

// addPackage reads the fingerprint that a symbol stands for.
func (b *Build) addPackage(f *elf.File, pkg string, s elf.Symbol) {
	if int(s.Section) >= len(f.Sections) || s.Size == 0 || s.Size > maxHash {
		return
	}
	section := f.Sections[s.Section]
	if s.Value < section.Addr {
		return
	}
	hash := make([]byte, s.Size)
	if _, err := section.ReadAt(hash, int64(s.Value-section.Addr)); err != nil {
		return
	}
	if b.Packages == nil {
		b.Packages = map[string]string{}
	}
	b.Packages[pkg] = fmt.Sprintf("%x", hash)
}

// exported reports whether a name is an exported one of the package itself: no method, no type's description.
func exported(name string) bool {
	return name != "" && name[0] >= 'A' && name[0] <= 'Z' && !strings.ContainsAny(name, ".(*[-")
}

// IsELF reports whether a file begins as ELF files do, and so as Go plugins do.
func IsELF(file []byte) bool { return bytes.HasPrefix(file, []byte(elf.ELFMAG)) }
