package arbiter

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/appserver-go/appserver/internal/fault"
)

// stderrShown is how much of a dead worker's standard error goes into the error record, which must fit what a pipe keeps
// together (PIPE_BUF, 4 KiB) with its line breaks escaped; debug gets all that was kept.
const stderrShown = 2 << 10

// reap takes the status of every child that died. As process 1 the arbiter also inherits orphans that are not its own.
func (a *Arbiter) reap() {
	for {
		pid, st, ok := a.env.reap()
		if !ok {
			return
		}
		i := slices.IndexFunc(a.workers, func(w *worker) bool { return w.pid == pid && !w.reaped })
		if i < 0 && a.reapUpgrade(pid, st) {
			continue
		}
		if i < 0 {
			a.log.Debug("Reaped a process that is no worker", "pid", pid, "status", st.String())
			continue
		}
		w := a.workers[i]
		w.reaped, w.status, w.deadline = true, st, time.Time{}
		a.emitWorker(WorkerExit, w, w.blame())
		if w.ended {
			a.bury(w, time.Now())
		} else {
			w.proc.finish() // the ended event leads to bury
		}
	}
}

// bury deals with a worker whose process is gone and whose last words have been read, whichever came last.
func (a *Arbiter) bury(w *worker, now time.Time) {
	if !w.reaped {
		return // its descriptors are closed, so its end is near; the eof event has set a deadline
	}
	a.workers = slices.DeleteFunc(a.workers, func(other *worker) bool { return other == w })
	a.explainKill(w)
	a.reportLost(w, now)
	w.proc.close()
	a.emitWorker(ChildExit, w, w.blame())
	if a.isCanary(w) {
		a.canaryDied(w)
		return
	}
	s := a.slotOf(w)
	if s == nil || a.halt != nil {
		a.logExit(w, slog.LevelError)
		return
	}
	s.leave(w)
	level, healthy := slog.LevelDebug, a.healthy
	if w.murdered {
		healthy = 0 // it would live, so its place need not wait
	}
	if s.failed(now, w.readyAt, healthy) {
		level = slog.LevelError
	}
	if !w.served() {
		a.bootFailed(a.bootError(w, a.bootAttempts))
		a.rollFailed()
	}
	switch {
	case a.failure == nil:
		a.logExit(w, level, "retry_in", s.notBefore.Sub(now))
	case w.stderr == "":
		a.logExit(w, slog.LevelDebug) // Run returns the reason
	default:
		a.logExit(w, slog.LevelError)
	}
}

// canaryDied ends the reload whose canary died before it was ready.
func (a *Arbiter) canaryDied(w *worker) {
	a.reload.canary = nil
	err, _ := a.bootError(w, 1)
	a.logExit(w, slog.LevelDebug)
	var attrs []any
	if w.stderr != "" {
		attrs = []any{"stderr", w.stderr[:min(len(w.stderr), stderrShown)]}
	}
	a.reloadFailed(err, attrs...)
}

// explainKill finds out who sent a SIGKILL that the arbiter did not send.
func (a *Arbiter) explainKill(w *worker) {
	if w.status.signal != killSignal || w.reason != "" {
		return
	}
	n, known := a.env.oomKills()
	if known && n > a.oomKills {
		a.oomKills = n
		w.reason, w.ending = "killed by the kernel for want of memory", EndedMemory
		return
	}
	w.reason, w.ending, w.murdered = "killed by SIGKILL, which the arbiter did not send", EndedKilled, known
}

// reportLost counts what the worker did and tells of the requests that died with it.
func (a *Arbiter) reportLost(w *worker, now time.Time) {
	snap, ending := w.proc.board(), a.classify(w)
	a.tally.settle(ending, &snap.Totals)
	for _, row := range snap.Rows {
		if !row.Busy || row.Answered {
			continue
		}
		started := w.plausible(row.Started, now)
		a.tally.miss(ending)
		if a.halt != nil {
			a.halt.cut++
		}
		a.opts.Lost(LostRequest{
			Call: row.Call, Started: started, Duration: now.Sub(started),
			Reason: w.cause(), PID: w.pid, Slot: w.spec.slot,
		})
	}
}

// logExit writes the one record of a worker's end. An end that was asked for and went well is no news.
func (a *Arbiter) logExit(w *worker, level slog.Level, attrs ...any) {
	if w.blame() == "" {
		w.log.Info("Worker exited")
		if w.stderr != "" {
			w.log.Debug("All that the worker wrote to its standard error", "stderr", w.stderr)
		}
		return
	}
	if st := w.status.String(); st != w.cause() {
		attrs = append([]any{"status", st}, attrs...)
	}
	attrs = append([]any{"reason", w.cause()}, attrs...)
	if w.failed != nil && w.failed.Hint != "" {
		attrs = append(attrs, "hint", w.failed.Hint)
	}
	if w.stderr != "" {
		attrs = append(attrs, "stderr", w.stderr[:min(len(w.stderr), stderrShown)])
	}
	w.log.Log(context.Background(), level, "Worker died", attrs...)
	if len(w.stderr) > stderrShown {
		w.log.Debug("All that the worker wrote to its standard error", "stderr", w.stderr)
	}
}

// bootError makes the error with which a server ends whose first worker died like w, and tells whether a second try
// could go no better. Attempts is how many are made.
func (a *Arbiter) bootError(w *worker, attempts int) (err *fault.Error, definite bool) {
	switch {
	case w.failed != nil:
		code := w.failed.Code
		if code != fault.LoadFailed {
			code = fault.BootFailed
		}
		return &fault.Error{Err: errors.New(w.failed.Message), Hint: w.failed.Hint, Code: code}, true
	case w.status.signal == 0 && (w.status.code == fault.BootFailed || w.status.code == fault.LoadFailed):
		return fault.WithCode(w.status.code, "the log may say more", "worker exited with code %d without saying why",
			w.status.code), true
	case w.bootLate:
		code, doing := fault.BootFailed, ""
		switch w.stage {
		case "loading", "compiling", "starting":
			code, doing = fault.LoadFailed, ": it was still "+w.stage+" the guest"
		}
		return fault.WithCode(code, "raise boot_timeout if the guest needs more time to start",
			"worker %s%s", w.reason, doing), true
	}
	const hint = "the log has what workers wrote before they died"
	if attempts == 1 {
		return fault.WithCode(fault.BootFailed, hint, "worker died while booting: %s", w.cause()), true
	}
	return fault.WithCode(fault.BootFailed, hint, "%d workers in a row died while booting, the last one: %s",
		attempts, w.cause()), false
}

// logAt logs an error, or a debug record of it where errors would flood the log.
func (a *Arbiter) logAt(loud bool, msg string, attrs ...any) {
	level := slog.LevelDebug
	if loud {
		level = slog.LevelError
	}
	a.log.Log(context.Background(), level, msg, attrs...)
}
