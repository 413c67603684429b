package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/appserver-go/appserver/control"
)

func newEvents(p process) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "events",
		Short: "Follow what happens in a running server",
		Long:  "Print the server's events, by the names of the hooks, as they happen, until the server ends.",
		Args:  maxArgs(0),
	}
	asJSON := cmd.Flags().Bool("json", false, "print one JSON object a line")
	return operation(p, cmd, func(ctx context.Context, c *control.Client, _ []string) error {
		show := printEvent
		if *asJSON {
			show = func(w io.Writer, ev control.Event) error { return json.NewEncoder(w).Encode(ev) }
		}
		return c.Events(ctx, nil, func(ev control.Event) error { return show(p.stdout, ev) })
	})
}

// printEvent writes an event as a line for people.
func printEvent(w io.Writer, ev control.Event) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %-16s generation=%d", ev.Time.Local().Format("15:04:05.000"), cell(ev.Event), ev.Generation)
	if ev.Worker != nil {
		fmt.Fprintf(&b, " worker=%d slot=%d", ev.Worker.Number, ev.Worker.Slot)
		if ev.Worker.PID != 0 {
			fmt.Fprintf(&b, " pid=%d", ev.Worker.PID)
		}
	}
	if ev.From != nil && ev.To != nil {
		fmt.Fprintf(&b, " from=%d to=%d", *ev.From, *ev.To)
	}
	if ev.NewPID != 0 {
		fmt.Fprintf(&b, " new_pid=%d", ev.NewPID)
	}
	if ev.Reason != "" {
		fmt.Fprintf(&b, " reason=%q", printable(ev.Reason))
	}
	_, err := fmt.Fprintln(w, b.String())
	return err
}
