package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/appserver-go/appserver/config"
	"github.com/appserver-go/appserver/internal/fault"
)

// sampleName is the file that `config init` writes, and the first that serve looks for.
const sampleName = "appserver.toml"

func newConfig(p process) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Print or begin a configuration",
		Args:  maxArgs(0),
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newConfigPrint(p), newConfigInit(p))
	return cmd
}

func newConfigPrint(p process) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "print [flags] [app.wasm [-- argument...]]",
		Short: "Print the settings in force, and where each comes from",
		Args:  guestArgs,
	}
	bindFlags(cmd.Flags())
	setSectionHelp(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		loaded, err := loadConfig(cmd.Flags(), p.environ, args)
		if err != nil {
			return err
		}
		return printConfig(p.stdout, loaded)
	}
	return cmd
}

func newConfigInit(p process) *cobra.Command {
	return &cobra.Command{
		Use:   "init [file]",
		Short: "Write a configuration file with every setting, commented out",
		Args:  maxArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			path := sampleName
			if len(args) > 0 {
				path = args[0]
			}
			if err := createNew(path, config.Sample()); err != nil {
				return createFault(path, err)
			}
			fmt.Fprintf(p.stdout, "wrote %s\n", path)
			return nil
		},
	}
}

// createNew writes a file that must not exist yet.
func createNew(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

func createFault(path string, err error) error {
	hint := "check the path and its permissions"
	if errors.Is(err, os.ErrExist) {
		hint = "choose another name, or move the file away: nothing is overwritten"
	}
	var pathErr *os.PathError
	if errors.As(err, &pathErr) {
		err = pathErr.Err
	}
	return fault.New(hint, "cannot write %s: %w", path, err)
}
