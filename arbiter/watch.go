package arbiter

import (
	"fmt"
	"time"

	"github.com/appserver-go/appserver/scoreboard"
)

// watch remembers since when a worker's scoreboard has said the same, on the arbiter's clock: a worker cannot lie about
// the time.
type watch struct {
	beat   uint64
	beatAt time.Time
	rows   []rowWatch
}

type rowWatch struct {
	serial uint64
	since  time.Time // when the request was first seen; zero while the slot is idle
}

// begin starts to watch: what happened before now does not count.
func (w *watch) begin(now time.Time) { *w = watch{beatAt: now} }

// observe takes in what the board says now.
func (w *watch) observe(now time.Time, s *scoreboard.Snapshot) {
	if s.Beat != w.beat {
		w.beat, w.beatAt = s.Beat, now
	}
	if w.rows == nil {
		w.rows = make([]rowWatch, len(s.Rows))
	}
	for i := range s.Rows {
		row := &w.rows[i]
		switch {
		case !s.Rows[i].Busy:
			row.since = time.Time{}
		case row.since.IsZero() || row.serial != s.Rows[i].Serial:
			row.since = now
		}
		row.serial = s.Rows[i].Serial
	}
}

// forgive takes back time that the arbiter did not run itself. When the whole machine or container was stopped, the
// workers did not have that time either.
func (w *watch) forgive(gap time.Duration) {
	w.beatAt = w.beatAt.Add(gap)
	for i := range w.rows {
		if !w.rows[i].since.IsZero() {
			w.rows[i].since = w.rows[i].since.Add(gap)
		}
	}
}

// still returns how long the beat has stood still.
func (w *watch) still(now time.Time) time.Duration { return now.Sub(w.beatAt) }

// oldest returns the row whose request has been running longest and for how long, or -1.
func (w *watch) oldest(now time.Time) (row int, age time.Duration) {
	row = -1
	for i := range w.rows {
		if since := w.rows[i].since; !since.IsZero() && (row < 0 || now.Sub(since) > age) {
			row, age = i, now.Sub(since)
		}
	}
	return row, age
}

// poll reads the scoreboards and begins the murder of workers that are stuck.
func (a *Arbiter) poll(now time.Time) {
	gap := now.Sub(a.polled) - pollEvery
	a.polled = now
	a.recycle(now)
	for _, w := range a.workers {
		if w.state != ready && w.state != draining || w.reaped {
			continue
		}
		if gap > pollEvery {
			w.watch.forgive(gap)
		}
		snap := w.proc.board()
		w.watch.observe(now, &snap)
		a.judge(w, now, &snap)
	}
}

// judge aborts a worker that is frozen, or stuck in a request that the worker itself should have ended.
func (a *Arbiter) judge(w *worker, now time.Time, snap *scoreboard.Snapshot) {
	l := w.spec.gen.limits
	row, age := w.watch.oldest(now)
	attrs := []any{"busy", snap.Busy()}
	if row >= 0 {
		call := snap.Rows[row].Call
		attrs = append(attrs, "method", call.Method, "path", call.Target, "request_id", call.ID, "age", age.Round(time.Millisecond))
	}
	switch still := w.watch.still(now); {
	case l.workerTimeout > 0 && still >= l.workerTimeout:
		w.log.Error("Worker is frozen, aborting it", append(attrs, "no_beat_for", still.Round(time.Millisecond))...)
		w.ending = EndedFrozen
		a.abort(w, now, fmt.Sprintf("gave no sign of life for %v (worker_timeout)", l.workerTimeout))
	case l.timeout > 0 && row >= 0 && age >= l.timeout+l.abortGrace:
		w.log.Error("Worker is stuck in a request, aborting it", attrs...)
		w.ending = EndedTimeout
		a.abort(w, now, fmt.Sprintf("stuck in a request for more than %v (timeout) and %v (abort_grace)", l.timeout, l.abortGrace))
	}
}

// abort is worker.abort, told to subscribers.
func (a *Arbiter) abort(w *worker, now time.Time, reason string) {
	if w.state < aborted {
		a.emitWorker(WorkerAbort, w, reason)
	}
	w.abort(now, reason)
}

// expire deals with a worker that let its deadline pass.
func (a *Arbiter) expire(w *worker, now time.Time) {
	switch w.awaited {
	case forReady:
		w.log.Error("Worker takes too long to boot, aborting it", "stage", w.stage)
		w.bootLate, w.ending = true, EndedBootTimeout
		a.abort(w, now, w.overdue)
	case forExaminer:
		w.strike(now)
	case forAbort:
		w.log.Error("Worker survived SIGABRT, killing it", "grace", w.spec.gen.limits.abortGrace)
		w.kill(w.overdue)
	default:
		w.log.Warn("Killing worker", "reason", w.overdue)
		if w.awaited == forDrain && w.served() {
			w.ending = EndedDrain
		}
		w.kill(w.overdue)
	}
}
