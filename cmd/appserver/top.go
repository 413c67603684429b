package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/appserver-go/appserver/control"
	"github.com/appserver-go/appserver/internal/fault"
)

// fastest is the shortest interval between two looks at a server.
const fastest = 100 * time.Millisecond

func newTop(p process) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "top",
		Short: "Watch workers and requests of a running server",
		Long:  "Show workers and the requests they are busy with, live. q quits. Without a terminal it prints what it sees once.",
		Args:  maxArgs(0),
	}
	interval := cmd.Flags().Duration("interval", time.Second, "time between two looks")
	return operation(p, cmd, func(ctx context.Context, c *control.Client, _ []string) error {
		if *interval < fastest {
			return fault.WithCode(fault.Usage, "it may be 100ms or more", "interval %v is too short", *interval)
		}
		if p.stdin == nil || !isTerminal(p.stdin) || !isTerminal(p.stdout) || environment(p.environ)["TERM"] == "dumb" {
			return topOnce(ctx, p, c, *interval)
		}
		return topLive(ctx, p, c, *interval)
	})
}

// topOnce prints one picture. Its rates are those of one interval.
func topOnce(ctx context.Context, p process, c *control.Client, interval time.Duration) error {
	before, err := c.Status(ctx)
	if err != nil {
		return err
	}
	select {
	case <-time.After(interval):
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	st, err := c.Status(ctx)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(p.stdout, strings.Join(topView{}.lines(st, before), "\n"))
	return err
}

// topLive shows one picture after the other until a key or a signal ends it. However it ends, the terminal is as it was.
func topLive(ctx context.Context, p process, c *control.Client, interval time.Duration) (err error) {
	ctx, stop := signal.NotifyContext(ctx, unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT)
	defer stop()
	resized := make(chan os.Signal, 1)
	signal.Notify(resized, unix.SIGWINCH)
	defer signal.Stop(resized)
	screen, err := enterScreen(p.stdin, p.stdout)
	if err != nil {
		return err
	}
	defer func() {
		if leaveErr := screen.leave(); err == nil {
			err = leaveErr
		}
	}()
	ctx, quit := context.WithCancel(ctx)
	defer quit()
	var keys sync.WaitGroup
	defer keys.Wait() // before the terminal is given back; quit ends it
	defer quit()
	keys.Go(func() { readKeys(ctx, p.stdin, quit) })

	var st, before *control.Status
	for next := time.Duration(0); ; {
		select {
		case <-ctx.Done():
			return nil
		case <-resized:
		case <-time.After(next):
			next = interval
			now, err := c.Status(ctx)
			if ctx.Err() != nil {
				return nil
			}
			if err != nil {
				return err
			}
			st, before = now, st
		}
		if st == nil {
			continue
		}
		if err := screen.show(st, before); err != nil {
			return err
		}
	}
}

// readKeys calls quit when q is pressed or the terminal is gone, and returns when ctx is done.
func readKeys(ctx context.Context, in *os.File, quit func()) {
	const pace = 50 // milliseconds between looks at ctx
	for ctx.Err() == nil {
		key, err := readKey(in, pace)
		if err != nil || key == 'q' || key == 'Q' || key == 3 { // Ctrl-C, where the terminal sends no signal for it
			quit()
		}
	}
}

// screen is a terminal in the state that top needs.
type screen struct {
	out     *os.File
	restore func() error
}

// enterScreen switches to the alternate screen, without echo and line editing.
func enterScreen(in, out *os.File) (*screen, error) {
	restore, err := rawMode(in)
	if err != nil {
		return nil, fmt.Errorf("set up terminal: %w", err)
	}
	if _, err := out.WriteString("\x1b[?1049h\x1b[?25l"); err != nil {
		return nil, fmt.Errorf("write to terminal: %w", err)
	}
	return &screen{out: out, restore: restore}, nil
}

// leave gives the terminal back.
func (s *screen) leave() error {
	_, err := s.out.WriteString("\x1b[?25h\x1b[?1049l")
	if restoreErr := s.restore(); restoreErr != nil {
		err = fmt.Errorf("restore terminal: %w", restoreErr)
	}
	return err
}

// show draws a picture in one write, without clearing the screen before, which would flicker.
func (s *screen) show(st, before *control.Status) error {
	width, height := windowSize(s.out)
	view := topView{width: width, height: height, head: func(line string) string { return "\x1b[7m" + line + "\x1b[0m" }}
	var b bytes.Buffer
	b.WriteString("\x1b[H")
	for i, line := range view.lines(st, before) {
		if i > 0 {
			b.WriteString("\r\n")
		}
		b.WriteString("\x1b[K" + line) // not the other way round: it would erase a character in the last column
	}
	b.WriteString("\x1b[J")
	_, err := s.out.Write(b.Bytes())
	return err
}
