package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/appserver-go/appserver/internal/fault"
)

// newRoot builds the command tree.
func newRoot(p process) *cobra.Command {
	root := &cobra.Command{
		Use:                        "appserver",
		Short:                      "Gunicorn for WebAssembly: a pre-forking HTTP server for WebAssembly guests",
		SilenceErrors:              true,
		SilenceUsage:               true,
		SuggestionsMinimumDistance: 2,
		Args:                       noCommand,
		RunE:                       func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetFlagErrorFunc(flagFault)
	root.AddCommand(newServe(p), newDev(p), newCheck(p), newConfig(p), newPlugin(p), newVersion(p))
	root.AddCommand(newStatus(p), newTop(p), newEvents(p), newReload(p), newUpgrade(p), newScale(p), newStop(p))
	return root
}

// noCommand refuses what is no command, with the nearest one.
func noCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := "see 'appserver --help'"
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		hint = fmt.Sprintf("did you mean 'appserver %s'?", near[0])
	} else if strings.HasSuffix(args[0], ".wasm") || strings.HasSuffix(args[0], ".so") {
		hint = "to serve it: appserver serve " + args[0]
	}
	return fault.WithCode(fault.Usage, hint, "unknown command %q", args[0])
}

// flagFault turns pflag's errors into usage faults.
func flagFault(cmd *cobra.Command, err error) error {
	hint := fmt.Sprintf("see '%s --help'", cmd.CommandPath())
	if near := nearestFlag(cmd, err.Error()); near != "" {
		hint = fmt.Sprintf("did you mean --%s?", near)
	}
	return fault.WithCode(fault.Usage, hint, "%w", err)
}

// maxArgs refuses more than n positional arguments.
func maxArgs(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > n {
			return fault.WithCode(fault.Usage, fmt.Sprintf("see '%s --help'", cmd.CommandPath()), "unexpected argument %q", args[n])
		}
		return nil
	}
}

// guestArgs allows a guest's file, and behind "--" any arguments for the guest.
func guestArgs(cmd *cobra.Command, args []string) error {
	own, _ := splitArgs(cmd.Flags(), args)
	return maxArgs(1)(cmd, own)
}
