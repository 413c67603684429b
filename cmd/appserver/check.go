package main

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/appserver-go/appserver/arbiter"
	"github.com/appserver-go/appserver/internal/fault"
)

func newCheck(p process) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check [flags] app.wasm [-- argument...]",
		Short: "Validate the configuration and load the guest, without serving",
		Long: "Validate the configuration, load the guest in a process of its own, as a worker would, and print what was found.\n" +
			"Exit code 0 means that `appserver serve` would start, save for addresses in use.",
		Args: guestArgs,
	}
	bindFlags(cmd.Flags())
	setSectionHelp(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		loaded, err := loadServable(cmd.Flags(), p.environ, args)
		if err != nil {
			return err
		}
		if err := check(cmd.Context(), p, loaded); err != nil {
			return fault.WithCode(fault.Failed, fault.Hint(err), "%w", err) // whatever is wrong, a check that fails exits with 1
		}
		return nil
	}
	return cmd
}

// check does what serve does up to the point where a worker would accept.
func check(ctx context.Context, p process, loaded *Loaded) error {
	cfg := &loaded.Config
	if err := enter(cfg); err != nil {
		return err
	}
	if _, err := lookupOwner(cfg); err != nil {
		return err
	}
	guest, err := readArtifact(cfg.Paths())
	if err != nil {
		return err
	}
	defer guest.file.Close()
	opts, err := arbiterOptions(cfg, &logs{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	opts.Env, opts.Artifact = p.environ, guest.file
	certs, err := (&certificates{log: slog.New(slog.DiscardHandler)}).load(cfg)
	if err != nil {
		return err
	}
	opts.Secrets = certs.message()
	ready, err := arbiter.Check(ctx, opts)
	if err != nil {
		return err
	}
	from := loaded.File
	if from == "" {
		from = "flags, environment and defaults"
	}
	fmt.Fprintf(p.stdout, "%-14s %s\n", "configuration", from)
	for _, f := range guest.files {
		fmt.Fprintf(p.stdout, "%-14s %s\n", "guest", printable(f.Path))
		fmt.Fprintf(p.stdout, "%-14s %s\n", "sha256", f.Digest)
	}
	for _, fact := range ready.Guest {
		fmt.Fprintf(p.stdout, "%-14s %s\n", fact.Key, printable(fact.Value))
	}
	return nil
}
