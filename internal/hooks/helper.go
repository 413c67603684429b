package hooks

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	shell = "/bin/sh"
	// maxJob bounds what a helper reads: all settings together are smaller.
	maxJob = 1 << 20
	// outputGrace is how long a helper reads on after its command has ended, for what the command left in the background.
	outputGrace = 500 * time.Millisecond
)

// Main runs one command as the helper of a Runner and returns the exit code of the process, which nobody looks at. Stdin
// has the job, stdout takes the reports. It changes the process as a whole and is called once.
func Main(stdin io.Reader, stdout io.Writer) int {
	var j job
	if err := json.NewDecoder(io.LimitReader(stdin, maxJob)).Decode(&j); err != nil || j.Command == "" {
		return 2 // started by hand
	}
	// The arbiter ignores SIGPIPE, and what is ignored stays so in children. What is handled becomes the default there.
	signal.Notify(make(chan os.Signal, 1), unix.SIGPIPE)
	out := &lines{report: json.NewEncoder(stdout)}
	e := run(&j, out)
	out.end(&e)
	return 0
}

// run runs the command in a process group of its own, which is killed at the time limit.
func run(j *job, out io.Writer) end {
	ctx, cancel := context.WithTimeout(context.Background(), j.Timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, shell, "-c", j.Command)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(append(j.Event, '\n')), out, out
	cmd.WaitDelay = outputGrace
	// The death signal comes when the thread ends that started the command, so this goroutine keeps its thread.
	runtime.LockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil && cmd.ProcessState != nil && !cmd.ProcessState.Success():
		return end{Timeout: true}
	case errors.As(err, &exit):
		if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
			return end{Signal: unix.SignalName(ws.Signal())}
		}
		return end{Code: exit.ExitCode()}
	case err != nil && !errors.Is(err, exec.ErrWaitDelay):
		return end{Error: err.Error()}
	}
	return end{}
}
