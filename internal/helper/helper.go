// Package helper starts this very program once more, to do in a process of its own what a server cannot do itself: wait
// for a command, or stop and look at another process. Packages hooks and postmortem do so. What the helper does is
// theirs; here are only its start, its pipes and its end.
//
// Whoever reaps children reaps the helper too; its status says nothing.
package helper

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Process is a helper process and our ends of its pipes. The owner calls Close.
type Process struct {
	In    *os.File // its standard input
	Out   *os.File // its standard output
	pidfd *os.File // the process, whoever reaps it; nil where the kernel has none
}

// Start starts this program again, even when its file was replaced, with the arguments and environment. Its standard
// error is ours.
func Start(args, env []string) (*Process, error) {
	stdin, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer stdin.Close()
	p := &Process{In: in}
	out, stdout, err := os.Pipe()
	if err != nil {
		p.Close()
		return nil, err
	}
	defer stdout.Close()
	p.Out = out
	pidfd := -1
	err = withFDs(stdin, stdout, func(in, out uintptr) error {
		_, err := syscall.ForkExec("/proc/self/exe", append(os.Args[:1:1], args...), &syscall.ProcAttr{
			Env: env, Files: []uintptr{in, out, uintptr(unix.Stderr)},
			// A group of its own: Ctrl-C at a terminal is for the arbiter.
			Sys: &syscall.SysProcAttr{Setpgid: true, PidFD: &pidfd},
		})
		return err
	})
	if err != nil {
		p.Close()
		return nil, fmt.Errorf("start its helper: %w", err)
	}
	if pidfd >= 0 {
		p.pidfd = os.NewFile(uintptr(pidfd), "pidfd")
	}
	return p, nil
}

// withFDs lends the descriptors of two files; os.File.Fd would set the files blocking.
func withFDs(a, b *os.File, use func(a, b uintptr) error) error {
	rawA, errA := a.SyscallConn()
	rawB, errB := b.SyscallConn()
	if err := errors.Join(errA, errB); err != nil {
		return err
	}
	var useErr error
	err := rawA.Control(func(fdA uintptr) {
		errB = rawB.Control(func(fdB uintptr) { useErr = use(fdA, fdB) })
	})
	return errors.Join(err, errB, useErr)
}

// Kill ends the helper and makes what uses its pipes return. The pid would not do: whoever reaps may have freed it for
// another. It may be called from any goroutine, before Close.
func (p *Process) Kill() {
	if p.pidfd != nil {
		if raw, err := p.pidfd.SyscallConn(); err == nil {
			_ = raw.Control(func(fd uintptr) { _ = unix.PidfdSendSignal(int(fd), unix.SIGKILL, nil, 0) })
		}
	}
	// Neither can fail on an open pipe; they end the conversation where there is no pidfd.
	_ = p.In.SetWriteDeadline(time.Unix(1, 0))
	_ = p.Out.SetReadDeadline(time.Unix(1, 0))
}

// Close gives back our ends.
func (p *Process) Close() {
	for _, f := range []*os.File{p.In, p.Out, p.pidfd} {
		if f != nil {
			f.Close() // In may be closed already, as the end of what the helper reads
		}
	}
}
