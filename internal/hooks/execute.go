package hooks

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Command is the first argument with which this program is a helper.
const Command = "hook-runner"

// killGrace is how much longer than its command a helper may take: to start, to kill, to report.
const killGrace = 3 * time.Second

// execute runs a task in a helper and logs what comes of it.
func (r *Runner) execute(t task) {
	began := time.Now()
	log := r.log.With("hook", t.name)
	e, err := r.converse(t, func(line string) { log.Info("Hook wrote", "line", line) })
	took := time.Since(began)
	switch {
	case err != nil:
		log.Warn("Could not run a hook", "error", err)
	case e.Timeout:
		log.Warn("Hook was killed at the end of hook_timeout", "timeout", t.job.Timeout)
	case e.failed():
		log.Warn("Hook failed", "code", e.Code, "signal", e.Signal, "error", e.Error, "duration", took)
	default:
		log.Debug("Hook ran", "duration", took)
	}
	if err == nil && e.Dropped > 0 {
		log.Warn("Hook wrote too many lines", "dropped", e.Dropped)
	}
}

// converse starts a helper, gives it the job and reads its reports to the end.
func (r *Runner) converse(t task, line func(string)) (*end, error) {
	h, err := startHelper(t.name, r.env)
	if err != nil {
		return nil, err
	}
	defer h.close()
	// Without a deadline a helper that something stopped would hold its key for ever.
	ctx, cancel := context.WithTimeout(r.ctx, t.job.Timeout+killGrace)
	defer cancel()
	stop := context.AfterFunc(ctx, h.kill)
	defer stop()
	if err := h.give(&t.job); err != nil {
		return nil, err
	}
	in := bufio.NewScanner(h.reports)
	in.Buffer(nil, 8*maxLine) // a line of control characters is six times as long in JSON
	for in.Scan() {
		var rep report
		if err := json.Unmarshal(in.Bytes(), &rep); err != nil {
			return nil, fmt.Errorf("read from its helper: %w", err)
		}
		switch {
		case rep.Line != nil:
			line(*rep.Line)
		case rep.End != nil:
			return rep.End, nil
		}
	}
	if ctx.Err() != nil {
		return nil, errors.New("its helper did not answer and was killed")
	}
	return nil, errors.Join(errors.New("its helper died"), in.Err())
}

// helper is a helper process and our ends of its pipes.
type helper struct {
	jobs    *os.File // its standard input
	reports *os.File // its standard output
	pidfd   *os.File // the process, whoever reaps it; nil where the kernel has none
}

// startHelper starts this program again, even when its file was replaced.
func startHelper(name string, env []string) (*helper, error) {
	stdin, jobs, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer stdin.Close()
	h := &helper{jobs: jobs}
	reports, stdout, err := os.Pipe()
	if err != nil {
		h.close()
		return nil, err
	}
	defer stdout.Close()
	h.reports = reports
	pidfd := -1
	err = withFDs(stdin, stdout, func(in, out uintptr) error {
		_, err := syscall.ForkExec("/proc/self/exe", append(os.Args[:1:1], Command, name), &syscall.ProcAttr{
			Env: env, Files: []uintptr{in, out, uintptr(unix.Stderr)},
			// A group of its own: Ctrl-C at a terminal is for the arbiter.
			Sys: &syscall.SysProcAttr{Setpgid: true, PidFD: &pidfd},
		})
		return err
	})
	if err != nil {
		h.close()
		return nil, fmt.Errorf("start its helper: %w", err)
	}
	if pidfd >= 0 {
		h.pidfd = os.NewFile(uintptr(pidfd), "pidfd")
	}
	return h, nil
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

// give writes the job.
func (h *helper) give(j *job) error {
	err := json.NewEncoder(h.jobs).Encode(j)
	if err = errors.Join(err, h.jobs.Close()); err != nil {
		return fmt.Errorf("hand it to its helper: %w", err)
	}
	return nil
}

// kill ends the helper, and with it its command. The pid would not do: whoever reaps may have freed it for another.
func (h *helper) kill() {
	if h.pidfd != nil {
		if raw, err := h.pidfd.SyscallConn(); err == nil {
			_ = raw.Control(func(fd uintptr) { _ = unix.PidfdSendSignal(int(fd), unix.SIGKILL, nil, 0) })
		}
	}
	// Neither can fail on an open pipe; they end the conversation where there is no pidfd.
	_ = h.jobs.SetWriteDeadline(time.Unix(1, 0))
	_ = h.reports.SetReadDeadline(time.Unix(1, 0))
}

// close gives back our ends.
func (h *helper) close() {
	for _, f := range []*os.File{h.jobs, h.reports, h.pidfd} {
		if f != nil {
			f.Close() // twice for jobs; nothing was written that could be lost
		}
	}
}
