package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/appserver-go/appserver/control"
	"github.com/appserver-go/appserver/internal/fault"
)

// watchPace is how often the command looks how far an upgrade is.
const watchPace = 100 * time.Millisecond

func newUpgrade(p process) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "upgrade",
		Short: "Replace a running server by the binary that is at its path now",
		Long: "Replace a running server by the binary that is at its path now: start it beside the old one with the same sockets,\n" +
			"wait until it is ready, and have the old one finish its requests and exit. Any other exit code than 0 means that\n" +
			"the old one serves on; the error says why.",
		Args: maxArgs(0),
	}
	keep := cmd.Flags().Bool("keep-old", false, "keep the old server beside the new one, for you to end one of them")
	return operation(p, cmd, func(ctx context.Context, c *control.Client, _ []string) error {
		st, err := c.Status(ctx)
		if err != nil {
			return err
		}
		u := &upgrading{c: c, out: p.stdout, old: st.PID}
		done, err := u.begin(ctx, *keep)
		if err != nil {
			return err
		}
		fmt.Fprintf(p.stdout, "process %d is ready (%s)\n", done.PID, ago(done.Took))
		if *keep {
			fmt.Fprintf(p.stdout, "both serve: send WINCH to process %d to try the new one alone, then TERM, or TERM to process %d to go back\n",
				st.PID, done.PID)
			return nil
		}
		if err := u.finish(ctx, done.PID); err != nil {
			return err
		}
		fmt.Fprintf(p.stdout, "upgraded: process %d serves, process %d is gone\n", done.PID, st.PID)
		return nil
	})
}

// upgrading is an upgrade as the command follows it.
type upgrading struct {
	c   *control.Client
	out io.Writer
	old int // pid
}

// begin starts the new arbiter and tells how far it is until it is ready.
func (u *upgrading) begin(ctx context.Context, keep bool) (done control.Upgraded, err error) {
	watched, cancel := context.WithCancel(ctx)
	var progress sync.WaitGroup
	progress.Go(func() { u.progress(watched) })
	done, err = u.c.Upgrade(ctx, control.Upgrade{Keep: keep})
	cancel()
	progress.Wait()
	return done, err
}

// progress prints each stage of the new arbiter once.
func (u *upgrading) progress(ctx context.Context) {
	told := ""
	for ctx.Err() == nil {
		st, err := u.c.Status(ctx)
		if err == nil && st.Successor != nil && st.Successor.Stage != told && st.Successor.Stage != "retiring" {
			told = st.Successor.Stage
			if told != "ready" { // which is told by begin's caller
				fmt.Fprintf(u.out, "process %d: %s\n", st.Successor.PID, cell(told))
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(watchPace):
		}
	}
}

// finish waits until the old arbiter is gone. It fails when it is not going to be, because the new one has died.
func (u *upgrading) finish(ctx context.Context, pid int) error {
	fmt.Fprintf(u.out, "process %d finishes its requests\n", u.old)
	gone := watchProcess(u.old)
	defer gone.close()
	for {
		looked, cancel := context.WithTimeout(ctx, watchPace)
		err := gone.wait(looked)
		cancel()
		switch {
		case err == nil && errors.Is(unix.Kill(pid, 0), syscall.ESRCH):
			return fault.New("the log says why; start the server", "process %d took over and has died since", pid)
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		}
		st, err := u.c.Status(ctx)
		if err != nil || st.PID != u.old {
			continue // it is going, and says no more
		}
		if failed := st.Upgrade; st.Successor == nil && failed != nil && failed.Error != "" {
			return fault.New(failed.Hint, "%s; process %d serves on", failed.Error, u.old)
		}
	}
}
