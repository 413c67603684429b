package goplugin

import (
	"bytes"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/appserver-go/appserver/internal/fault"
)

// Mismatch is one reason why a plugin does not fit.
type Mismatch struct {
	// What is compared: "go version", a build setting or the path of a module.
	What string
	// Have is the plugin's, Want is the server's; "" is shown as "none".
	Have, Want string
}

// Report is what Check found.
type Report struct {
	// Plugin is what the plugin was built with.
	Plugin *Build
	// Mismatches are the differences that keep the plugin from being loaded, toolchain first, then settings, then
	// modules.
	Mismatches []Mismatch
	// Packages are the import paths of the packages that both have and that differ, sorted.
	Packages []string
	// Unknown says that the files hold no fingerprints of packages, so that only loading the plugin will tell.
	Unknown bool
	// Fixes are commands that mend it, in order.
	Fixes []string
}

// Fits reports whether nothing speaks against loading the plugin.
func (r *Report) Fits() bool { return len(r.Mismatches) == 0 && len(r.Packages) == 0 }

// elfHint is what to do about an ELF file that is no plugin.
const elfHint = "build a Go plugin with appserver plugin build ./dir -o app.so, or a WebAssembly module with GOOS=wasip1 GOARCH=wasm go build"

// Check compares a plugin's file with the build of the server, usually Own, without loading it. The error, a
// *fault.Error, means that the file is no Go plugin; whether a plugin fits is in the report.
func Check(file []byte, own *Build) (*Report, error) {
	plugin, err := readBuild(bytes.NewReader(file))
	switch {
	case errors.Is(err, errNoGo):
		return nil, fault.WithCode(fault.LoadFailed, elfHint, "it is an ELF file but not made by Go, and so no Go plugin")
	case err != nil:
		return nil, fault.WithCode(fault.LoadFailed, "copy or build it again", "it cannot be read as a Go plugin: %w", err)
	}
	if mode, known := plugin.Settings["-buildmode"]; known && mode != "plugin" {
		return nil, fault.WithCode(fault.LoadFailed, elfHint, "it was built by Go with -buildmode=%s and is no Go plugin", clip(mode))
	} else if !known && plugin.Packages == nil {
		return nil, fault.WithCode(fault.LoadFailed, elfHint, "nothing in it says that it is a Go plugin")
	}
	return compare(plugin, own), nil
}

// decisive are the settings that decide by themselves; the others only explain why packages differ. Two builds with
// other tags or linker flags, for example, may well fit.
var decisive = []string{"GOOS", "GOARCH", "-race", "-msan", "-asan"}

// explaining are the settings that a difference of packages may come from.
var explaining = []string{"-trimpath", "-gcflags", "-asmflags", "-tags", "-cover", "-pgo", "GOEXPERIMENT", "GOFIPS140"}

// compare finds all mismatches. Where the fingerprints of packages are known they are the judge, since they are what
// the runtime compares; settings and modules then only say why.
func compare(plugin, own *Build) *Report {
	r := &Report{Plugin: plugin, Unknown: plugin.Packages == nil || own.Packages == nil}
	for _, path := range slices.Sorted(maps.Keys(plugin.Packages)) {
		if hash, shared := own.Packages[path]; shared && hash != plugin.Packages[path] {
			r.Packages = append(r.Packages, path)
		}
	}
	if plugin.GoVersion != own.GoVersion {
		r.add("go version", plugin.GoVersion, own.GoVersion)
	}
	r.compareSettings(plugin, own, decisive)
	if r.Unknown || len(r.Packages) > 0 {
		r.compareSettings(plugin, own, explaining)
		r.compareModules(plugin, own)
	}
	if !r.Fits() {
		r.Fixes = append(r.Fixes, "appserver plugin build ./dir -o app.so")
	}
	return r
}

func (r *Report) add(what, have, want string) {
	r.Mismatches = append(r.Mismatches, Mismatch{what, have, want})
}

func (r *Report) compareSettings(plugin, own *Build, keys []string) {
	for _, key := range keys {
		if have, want := setting(plugin, key), setting(own, key); have != want {
			r.add(key, have, want)
		}
	}
}

// setting returns a build setting. Switches that are off are not recorded.
func setting(b *Build, key string) string {
	v, ok := b.Settings[key]
	if !ok && slices.Contains([]string{"-trimpath", "-race", "-msan", "-asan", "-cover"}, key) {
		return "false"
	}
	return v
}

// compareModules compares the modules that both have, as long as a package of theirs is known or suspected to differ.
func (r *Report) compareModules(plugin, own *Build) {
	for _, path := range slices.Sorted(maps.Keys(plugin.Modules)) {
		want, shared := own.Modules[path]
		have := plugin.Modules[path]
		if !shared || have == want || path == plugin.Main.Path || !r.Unknown && !r.differs(path) {
			continue
		}
		r.add(path, have, want)
		if strings.HasPrefix(want, "v") {
			r.Fixes = append(r.Fixes, "go get "+path+"@"+want)
		}
	}
}

// differs reports whether a package of the module differs.
func (r *Report) differs(module string) bool {
	return slices.ContainsFunc(r.Packages, func(pkg string) bool {
		return pkg == module || strings.HasPrefix(pkg, module+"/")
	})
}
