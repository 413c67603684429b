package arbiter

import (
	"fmt"
	"slices"
	"time"

	"github.com/appserver-go/appserver/internal/fault"
)

// scale makes n slots: new ones take the lowest free numbers, and those of the oldest workers go.
func (a *Arbiter) scale(n int) {
	if old := len(a.slots); n != old {
		a.emit(Event{Name: NworkersChanged, Workers: n, OldWorkers: old})
	}
	for len(a.slots) < n {
		number := 0
		for number < len(a.slots) && a.slots[number].number == number {
			number++
		}
		a.slots = slices.Insert(a.slots, number, &slot{number: number})
	}
	for len(a.slots) > n {
		i := a.surplus()
		s := a.slots[i]
		a.slots = slices.Delete(a.slots, i, i+1)
		a.retire(s.next, "surplus")
		a.retire(s.current, "surplus")
	}
}

// surplus chooses the slot to give up: one without a worker, or one whose worker does not serve yet, so that whoever
// serves goes on, or else that of the oldest worker.
func (a *Arbiter) surplus() int {
	rank := func(s *slot) uint64 {
		switch {
		case s.current == nil:
			return 0
		case !s.current.served():
			return 1
		default:
			return 1 + s.current.spec.age
		}
	}
	best := 0
	for i, s := range a.slots {
		if rank(s) < rank(a.slots[best]) {
			best = i
		}
	}
	return best
}

// retire ends a worker that has lost its place: it drains, or stops to boot.
func (a *Arbiter) retire(w *worker, why string) {
	switch {
	case w == nil || w.state >= draining:
	case w.state < ready:
		w.leaves(why)
		a.stopBooting(w, why, false)
	default:
		w.leaves(why)
		w.log.Info("Draining worker", "reason", why)
		grace := w.spec.gen.limits.gracefulTimeout
		final := a.farewell(w)
		if len(final) > 0 {
			w.accept(final)
		}
		a.drain(w, time.Now(), grace, grace+drainMargin, len(final) > 0)
	}
}

// stopBooting ends a worker that is not known to serve. It may do so already, with a request in hand, when its word has not
// arrived yet: so one that knows what to serve is told to drain, and any other is killed. See bootedAfterAll.
func (a *Arbiter) stopBooting(w *worker, why string, final bool) {
	if w.state != booted {
		w.dismiss(why)
		return
	}
	now, grace := time.Now(), w.spec.gen.limits.gracefulTimeout
	patience := min(exitGrace, grace+drainMargin)
	a.drain(w, now, grace, patience, final)
	w.expect(now, forDrain, patience, fmt.Sprintf("did not stop booting within %v", patience))
}

// bootedAfterAll gives a worker its time that was told to stop booting when it had begun to serve.
func (a *Arbiter) bootedAfterAll(w *worker, now time.Time) {
	if grace := w.spec.gen.limits.gracefulTimeout; w.state == draining && (a.halt == nil || !a.halt.quick) {
		w.expect(now, forDrain, grace+drainMargin, fmt.Sprintf("did not finish within %v (graceful_timeout)", grace))
	}
}

// drain is worker.drain, told to subscribers.
func (a *Arbiter) drain(w *worker, now time.Time, grace, patience time.Duration, final bool) {
	if w.state < draining {
		a.emitWorker(WorkerInt, w, "")
	}
	w.drain(now, grace, patience, final)
}

// manage fills the slots that may be filled now.
func (a *Arbiter) manage(now time.Time) {
	if a.halt != nil {
		return
	}
	for _, s := range a.slots {
		if t := a.due(s); !t.IsZero() && !now.Before(t) && a.halt == nil {
			a.spawn(s, now)
		}
	}
	if a.halt == nil {
		a.roll(now)
	}
}

// due returns when the slot may be given a process it needs; zero if it needs none. A worker that is to be recycled can
// wait for others.
func (a *Arbiter) due(s *slot) time.Time {
	switch {
	case !s.wanting():
		return time.Time{}
	case s.current == nil:
		return s.earliest()
	case !a.mayRecycle():
		return time.Time{}
	case a.recycled.After(s.notBefore):
		return a.recycled
	default:
		return s.earliest()
	}
}

// spawn starts a worker for s, beside its present one if there is one.
func (a *Arbiter) spawn(s *slot, now time.Time) {
	w, err := a.startWorker(s.number, a.gen, now)
	if err != nil {
		a.spawnFailed(s, now, err)
		return
	}
	if s.current == nil {
		s.current = w
	} else {
		s.next = w
	}
	w.log.Info("Booting worker")
}

// startWorker starts a worker process.
func (a *Arbiter) startWorker(slot int, gen *generation, now time.Time) (*worker, error) {
	a.age++
	sp := spec{age: a.age, slot: slot, gen: gen, check: a.checked != nil, shared: slices.Clone(gen.shared)}
	a.emit(Event{Name: PreFork, Age: sp.age, Slot: slot, Generation: gen.number})
	proc, err := a.env.start(sp, a.post)
	if err != nil {
		return nil, err
	}
	w := &worker{
		proc: proc, pid: proc.pid(), spec: sp, spawnedAt: now,
		log: a.log.With("pid", proc.pid(), "worker", sp.age, "slot", sp.slot),
	}
	if limit := gen.limits.bootTimeout; limit > 0 {
		w.expect(now, forReady, limit, fmt.Sprintf("was not ready within boot_timeout (%v)", limit))
	}
	a.workers = append(a.workers, w)
	a.tally.spawned++
	return w, nil
}

// spawnFailed deals with a system that gives no more processes: it counts as a worker that died at once.
func (a *Arbiter) spawnFailed(s *slot, now time.Time, err error) {
	loud := s.failed(now, time.Time{}, a.healthy)
	a.bootFailed(fault.WithCode(fault.BootFailed, "check the limits on processes, descriptors and memory",
		"start worker process: %w", err), false)
	if a.halt == nil {
		a.logAt(loud, "Could not start a worker", "slot", s.number, "error", err, "retry_in", s.backoff)
	}
}

// slotOf returns the slot w belongs to, or nil if it has lost its place.
func (a *Arbiter) slotOf(w *worker) *slot {
	for _, s := range a.slots {
		if s.current == w || s.next == w {
			return s
		}
	}
	return nil
}

// serving counts the workers that are ready.
func (a *Arbiter) serving() int {
	n := 0
	for _, w := range a.workers {
		if w.state == ready {
			n++
		}
	}
	return n
}
