package main

import (
	"fmt"
	"io"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"github.com/appserver-go/appserver/host/goplugin"
	"github.com/appserver-go/appserver/internal/fault"
)

// newPlugin builds the commands for Go plugins.
func newPlugin(p process) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "plugin",
		Short: "Build and check Go plugins",
		Long: "Build and check Go plugins. A plugin must be built by the toolchain and with the flags that this appserver was built\n" +
			"with, and with the same versions of the packages that both have.",
		Args: noCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newPluginBuild(p), newPluginCheck(p))
	return cmd
}

func newPluginCheck(p process) *cobra.Command {
	return &cobra.Command{
		Use:   "check app.so",
		Short: "Say whether a Go plugin fits this appserver, without loading it",
		Long: "Say whether a Go plugin fits this appserver, without loading it, and if not, all that differs and how to mend it.\n" +
			"`appserver check app.so` loads it as well, as a worker would. Exit code 0 means that it fits.",
		Args: oneArg("app.so"),
		RunE: func(_ *cobra.Command, args []string) error {
			report, err := checkPlugin(args[0])
			if err != nil {
				return fault.WithCode(fault.Failed, fault.Hint(err), "%s: %w", args[0], err)
			}
			verdict := "fits this appserver"
			if report.Unknown {
				verdict = "seems to fit this appserver; without fingerprints of packages only loading it will tell"
			}
			fmt.Fprintf(p.stdout, "%s %s\n%-11s %s\n%-11s %s\n", printable(args[0]), verdict,
				"built with", printable(report.Plugin.GoVersion), "package", printable(report.Plugin.Path))
			return nil
		},
	}
}

// oneArg wants exactly one positional argument.
func oneArg(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return fault.WithCode(fault.Usage, "write "+cmd.CommandPath()+" "+what, "nothing to work on given")
		}
		return maxArgs(1)(cmd, args)
	}
}

// checkPlugin reports on the plugin at path. The error is nil only for one that fits.
func checkPlugin(path string) (*goplugin.Report, error) {
	if !goplugin.Supported {
		return nil, goplugin.Unsupported()
	}
	guest, err := openGuest(path)
	if err != nil {
		return nil, err
	}
	defer guest.Close()
	file, err := io.ReadAll(io.LimitReader(guest, maxArtifact))
	if err != nil {
		return nil, err
	}
	if !goplugin.IsELF(file) {
		return nil, fault.New("appserver check looks at guests of every kind", "it is no Go plugin (it does not begin as ELF files do)")
	}
	own, err := goplugin.Own()
	if err != nil {
		return nil, err
	}
	report, err := goplugin.Check(file, own)
	if err != nil {
		return nil, err
	}
	return report, report.Err()
}

// pluginSupport says in a few words whether Go plugins can be loaded, and what they must be built with.
func pluginSupport() string {
	if !goplugin.Supported {
		return "not in this build (CGO_ENABLED=0)"
	}
	own, err := goplugin.Own()
	if err != nil || !own.Dynamic {
		return "not in this build (statically linked)"
	}
	text := "supported, built with " + runtime.Version()
	for _, flag := range goplugin.BuildFlags(own) {
		if !strings.HasSuffix(flag, "=false") && !strings.HasSuffix(flag, "=") {
			text += " " + flag
		}
	}
	return text
}
