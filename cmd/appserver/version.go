package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is set by the linker (see Makefile); a plain `go install` leaves it to the build information.
var version string

func newVersion(p process) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of appserver and of what it is built on",
		Args:  maxArgs(0),
		RunE: func(*cobra.Command, []string) error {
			fmt.Fprintf(p.stdout, "appserver %s (%s, %s/%s, wazero %s)\n",
				ownVersion(), runtime.Version(), runtime.GOOS, runtime.GOARCH, moduleVersion("github.com/tetratelabs/wazero"))
			fmt.Fprintf(p.stdout, "go plugins: %s\n", pluginSupport())
			return nil
		},
	}
}

func ownVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

// moduleVersion returns the version of a module built into this binary.
func moduleVersion(path string) string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, dep := range info.Deps {
		if dep.Path == path {
			return dep.Version
		}
	}
	return "unknown"
}
