package dev

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// outputMax bounds what is kept of a build's output: the first error is at its beginning.
	outputMax = 256 << 10
	// killGrace is how long a build that is given up has to tidy up.
	killGrace = 2 * time.Second
)

// command is one run of a build.
type command struct {
	argv []string
	dir  string
	env  []string // beside that of this process
	// machine says that standard output is not for people: module reads it.
	machine bool
}

// String is the command as one would type it.
func (c *command) String() string {
	words := make([]string, 0, len(c.env)+len(c.argv))
	words = append(words, c.env...)
	if len(c.argv) == 3 && c.argv[0] == "sh" && c.argv[1] == "-c" {
		return strings.Join(append(words, c.argv[2]), " ")
	}
	for _, a := range c.argv {
		if a == "" || strings.ContainsAny(a, " \t\n\"'$\\&|;<>()*?`") {
			a = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
		words = append(words, a)
	}
	return strings.Join(words, " ")
}

// built is how a run ended.
type built struct {
	output string // for people
	stdout string // for machines, if the command was of that kind
	err    error  // nil for exit code 0
	took   time.Duration
}

// run runs the command in a process group of its own, so that when ctx ends the whole of it can be ended: it has
// killGrace to do so itself. A build that leaves a process behind on purpose, like a compiler's daemon, may do so.
func (c *command) run(ctx context.Context) *built {
	// The kernel kills the command when the thread that started it ends, which is with this process: nothing else would
	// if this process were killed.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	began := time.Now()
	var output, stdout capped
	cmd := exec.CommandContext(ctx, c.argv[0], c.argv[1:]...)
	cmd.Dir, cmd.Env = c.dir, append(append(os.Environ(), "NO_COLOR=1"), c.env...)
	cmd.Stdout, cmd.Stderr = &output, &output
	if c.machine {
		cmd.Stdout = &stdout
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	var deadline time.Time
	cmd.Cancel = func() error {
		deadline = time.Now().Add(killGrace)
		return unix.Kill(-cmd.Process.Pid, unix.SIGTERM)
	}
	cmd.WaitDelay = killGrace
	err := cmd.Run()
	if ctx.Err() != nil && cmd.Process != nil {
		endGroup(cmd.Process.Pid, deadline)
		err = ctx.Err()
	}
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil // it went well and left somebody behind who has its output open
	}
	return &built{output: output.text(), stdout: stdout.text(), err: err, took: time.Since(began)}
}

// endGroup ends what is left of a process group: those that have not heeded SIGTERM by the deadline are killed.
func endGroup(pgid int, deadline time.Time) {
	for ; time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if unix.Kill(-pgid, 0) != nil {
			return
		}
	}
	_ = unix.Kill(-pgid, unix.SIGKILL) // the group may just have ended
}

// capped keeps the first outputMax bytes written to it.
type capped struct {
	mu   sync.Mutex
	b    bytes.Buffer
	lost int64
}

// Write implements io.Writer and never fails.
func (c *capped) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := min(len(p), outputMax-c.b.Len())
	c.b.Write(p[:n])
	c.lost += int64(len(p) - n)
	return len(p), nil
}

func (c *capped) text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	text := c.b.String()
	if c.lost > 0 {
		text += fmt.Sprintf("\n[%d more bytes left out]\n", c.lost)
	}
	return text
}
