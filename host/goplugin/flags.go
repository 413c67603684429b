package goplugin

import "slices"

// BuildFlags returns the flags of `go build` that b was built with, as far as a plugin must have them too. Each is
// there, off or on, so that GOFLAGS cannot bring others. Linker flags may differ, and -trimpath hides them anyway.
func BuildFlags(b *Build) []string {
	flags := []string{"-trimpath=" + setting(b, "-trimpath"), "-race=" + setting(b, "-race")}
	for _, key := range []string{"-msan", "-asan"} {
		if setting(b, key) == "true" {
			flags = append(flags, key)
		}
	}
	for _, key := range []string{"-tags", "-gcflags", "-asmflags"} {
		flags = append(flags, key+"="+b.Settings[key])
	}
	return slices.DeleteFunc(flags, func(f string) bool { return f == "-gcflags=" || f == "-asmflags=" })
}
