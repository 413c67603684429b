package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/appserver-go/appserver/control"
	"github.com/appserver-go/appserver/internal/fault"
)

// The commands that talk to a running server over its control socket.

// controlFlag names the socket on the command line.
const controlFlag = "control"

// operation makes a command for a running server. Run gets a client of the server that is meant.
func operation(p process, cmd *cobra.Command, run func(ctx context.Context, c *control.Client, args []string) error) *cobra.Command {
	cmd.Flags().String(controlFlag, "", "control `socket` of the server, when there are several")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		path, err := cmd.Flags().GetString(controlFlag)
		if err != nil {
			return err
		}
		c, err := findServer(cmd.Context(), p.environ, path)
		if err != nil {
			return err
		}
		defer c.Close()
		return run(cmd.Context(), c, args)
	}
	return cmd
}

func newReload(p process) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "reload",
		Short: "Reload configuration and guest of a running server",
		Long: "Reload configuration and guest of a running server, and wait until the new workers serve. Any other exit code\n" +
			"than 0 means that they do not, and that the old ones go on; the error says why.",
		Args: maxArgs(0),
	}
	return operation(p, cmd, func(ctx context.Context, c *control.Client, _ []string) error {
		done, err := c.Reload(ctx)
		if err != nil {
			return err
		}
		fmt.Fprintf(p.stdout, "reloaded, generation %d serves\n", done.Generation)
		return nil
	})
}

func newScale(p process) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "scale [flags] N|+N|-N",
		Short: "Change the number of workers of a running server",
		Long:  "Change the number of workers of a running server to N, or by N. A reload keeps it unless the workers setting changes.",
		// A number like -1 is not a flag; numbers and flags are told apart below.
		DisableFlagParsing: true,
	}
	operation(p, cmd, func(ctx context.Context, c *control.Client, args []string) error {
		want, err := parseScale(args[0])
		if err != nil {
			return err
		}
		done, err := c.Scale(ctx, want)
		if err != nil {
			return err
		}
		fmt.Fprintf(p.stdout, "%d workers, were %d\n", done.To, done.From)
		return nil
	})
	run := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var numbers, rest []string
		for _, arg := range args {
			if _, err := strconv.Atoi(arg); err == nil {
				numbers = append(numbers, arg)
			} else {
				rest = append(rest, arg)
			}
		}
		if err := cmd.Flags().Parse(rest); err != nil {
			return flagFault(cmd, err)
		}
		if help, _ := cmd.Flags().GetBool("help"); help {
			return cmd.Help()
		}
		numbers = append(numbers, cmd.Flags().Args()...)
		if len(numbers) != 1 {
			return fault.WithCode(fault.Usage, "write it like: appserver scale 4, or scale +1", "want one number of workers")
		}
		if _, err := parseScale(numbers[0]); err != nil {
			return err
		}
		return run(cmd, numbers)
	}
	return cmd
}

// parseScale reads N, +N or -N.
func parseScale(text string) (control.Scale, error) {
	n, err := strconv.Atoi(text)
	switch {
	case err != nil:
		return control.Scale{}, fault.WithCode(fault.Usage, "write it like 4, +1 or -1", "%q is no number of workers", text)
	case strings.HasPrefix(text, "+") || strings.HasPrefix(text, "-"):
		return control.Scale{By: &n}, nil
	default:
		return control.Scale{Workers: &n}, nil
	}
}

func newStop(p process) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "stop",
		Short: "Stop a running server, and wait until it is gone",
		Long: "Stop a running server: requests are finished within graceful_timeout, or with --quick cut off. The command returns\n" +
			"when the server is gone.",
		Args: maxArgs(0),
	}
	quick := cmd.Flags().Bool("quick", false, "cut requests off")
	return operation(p, cmd, func(ctx context.Context, c *control.Client, _ []string) error {
		st, err := c.Status(ctx)
		if err != nil {
			return err
		}
		gone := watchProcess(st.PID)
		defer gone.close()
		if err := c.Stop(ctx, control.Stop{Quick: *quick}); err != nil {
			return err
		}
		if err := gone.wait(ctx); err != nil {
			return err
		}
		fmt.Fprintf(p.stdout, "stopped process %d\n", st.PID)
		return nil
	})
}

// processWatch sees the end of a process that is not a child.
type processWatch struct {
	pid int
	fd  int // -1 where the kernel gives none; then kill(2) must do
}

func watchProcess(pid int) *processWatch {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		fd = -1
	}
	return &processWatch{pid: pid, fd: fd}
}

// wait returns when the process is gone.
func (w *processWatch) wait(ctx context.Context) error {
	const pace = 100 // milliseconds between looks at ctx
	for ctx.Err() == nil {
		if w.fd < 0 {
			if errors.Is(unix.Kill(w.pid, 0), syscall.ESRCH) {
				return nil
			}
			time.Sleep(pace * time.Millisecond)
			continue
		}
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(w.fd), Events: unix.POLLIN}}, pace)
		switch {
		case n > 0:
			return nil
		case err != nil && !errors.Is(err, unix.EINTR):
			return fmt.Errorf("wait for process %d: %w", w.pid, err)
		}
	}
	return context.Cause(ctx)
}

func (w *processWatch) close() {
	if w.fd >= 0 {
		unix.Close(w.fd) // a descriptor that was only read
	}
}
