package arbiter

import (
	"slices"
	"time"

	"github.com/appserver-go/appserver/internal/fault"
	"github.com/appserver-go/appserver/sockets"
)

// leaving is sockets of past generations that the present one does not have. Nothing new gets into their queues, and they
// are closed once no worker accepts from them any more.
type leaving struct {
	set    *sockets.Set
	before uint64 // workers of generations before this one may have them
	empty  bool   // the queues are to be emptied first; nobody else goes on with the sockets
}

// commit makes the generation of a canary that is ready the present one. From here on there is no way back: every worker
// that is started is of the new generation.
func (a *Arbiter) commit(w *worker, now time.Time) {
	r, old := a.reload, a.gen
	r.canary, r.rolling = nil, true
	a.gen = r.gen
	old.closeFiles()
	a.log.Info("The new generation is good, replacing all workers", "generation", a.gen.number, "workers", len(a.slots))
	if r.next.Adopt != nil {
		r.next.Adopt()
	}
	a.emit(Event{Name: OnReload, Generation: a.gen.number})
	a.leave(old.sockets.Without(a.gen.sockets))
	for _, s := range a.slots {
		s.failures, s.backoff, s.notBefore = 0, 0, now // a new generation is judged by itself
		if s.next != nil {                             // of the old generation, like the worker it was to replace
			a.retire(s.next, "superseded")
			s.next = nil
		}
		if s.current != nil && !s.current.served() {
			a.retire(s.current, "superseded")
			s.current = nil
		}
	}
	if i := slices.IndexFunc(a.slots, func(s *slot) bool { return s.number == w.spec.slot }); i >= 0 {
		a.takeOver(a.slots[i], w)
	} else if len(a.slots) == 0 { // drained by WINCH, which a reload ends
		a.slots = []*slot{{number: w.spec.slot, current: w}}
		a.rescale(a.gen.workers)
	} else {
		a.retire(w, "surplus")
	}
	if a.gen.workers != old.workers {
		a.rescale(a.gen.workers)
	}
}

// takeOver gives a slot to a worker that is ready, and ends the one that had it.
func (a *Arbiter) takeOver(s *slot, w *worker) {
	old := s.current
	s.current, s.next = w, nil
	if old == nil {
		return
	}
	why := old.retiring
	if old.spec.gen != w.spec.gen {
		why = "reload"
	}
	a.retire(old, why)
}

// leave begins the end of sockets that the present generation does not have.
func (a *Arbiter) leave(set *sockets.Set) {
	if len(set.Sockets()) == 0 {
		return
	}
	a.log.Info("Listening no more", "addresses", set.Names())
	all, err := a.env.refuse(set)
	if err != nil {
		a.log.Debug("Could not refuse new connections", "error", err)
	}
	a.leavings = append(a.leavings, &leaving{set: set, before: a.gen.number, empty: all})
}

// farewell returns those of w's listeners that nobody accepts from after the workers of its generation, by index.
func (a *Arbiter) farewell(w *worker) []int {
	var indices []int
	for _, l := range a.leavings {
		if l.empty {
			indices = append(indices, w.spec.gen.sockets.Indices(l.set)...)
		}
	}
	return indices
}

// closeLeavings closes the sockets that no worker accepts from any more.
func (a *Arbiter) closeLeavings(force bool) {
	a.leavings = slices.DeleteFunc(a.leavings, func(l *leaving) bool {
		held := slices.ContainsFunc(a.workers, func(w *worker) bool {
			return w.spec.gen.number < l.before && w.served() && !w.closed
		})
		if held && !force {
			return false
		}
		if err := a.env.closeSockets(l.set); err != nil {
			a.log.Warn("Could not close the listening sockets cleanly", "error", err)
		}
		return true
	})
}

// outdated reports whether the slot's worker is to be replaced because of a reload.
func (a *Arbiter) outdated(s *slot) bool {
	return s.current != nil && s.current.spec.gen != a.gen
}

// roll starts replacements for workers of old generations, a batch at a time, and finds out when all are replaced. A slot
// whose replacement fails waits longer each time and keeps what it has.
func (a *Arbiter) roll(now time.Time) {
	booting := 0
	for _, s := range a.slots {
		if a.outdated(s) && s.next != nil {
			booting++
		}
	}
	done := true
	for _, s := range a.slots {
		done = done && s.current != nil && s.current.spec.gen == a.gen && s.current.served()
		if a.outdated(s) && s.next == nil && booting < a.gen.batch && !now.Before(s.notBefore) && a.halt == nil {
			a.spawn(s, now)
			booting++
		}
	}
	if done && a.reload != nil && a.reload.rolling && !a.oldAccept() {
		a.endRoll()
	}
}

// oldAccept reports whether a worker of a past generation may still accept: whoever is told that a reload is complete gets
// answers of the new generation only.
func (a *Arbiter) oldAccept() bool {
	return slices.ContainsFunc(a.workers, func(w *worker) bool { return w.spec.gen != a.gen && w.served() && !w.closed })
}

// rollDue returns when roll has something to do that no event announces, or zero.
func (a *Arbiter) rollDue(s *slot, now time.Time) time.Time {
	if !a.outdated(s) || s.next != nil || !s.notBefore.After(now) {
		return time.Time{} // what could be done now has been, save for a full batch, whose end is an event
	}
	return s.notBefore
}

// endRoll ends a reload whose workers have all been replaced. Old ones may still drain.
func (a *Arbiter) endRoll() {
	r := a.reload
	a.reload = nil
	a.log.Info("Reload complete", "generation", a.gen.number, "workers", len(a.slots),
		"took", time.Since(r.began).Round(time.Millisecond))
	a.noteReload(r, nil)
	a.nextReload()
}

// rollFailed notes that a replacement of the roll under way has failed.
func (a *Arbiter) rollFailed() {
	if a.reload == nil || !a.reload.rolling {
		return
	}
	a.reload.failed = true
	a.supersede()
}

// supersede gives way to a reload that waits for one which may never end: workers that its canary did not foresee fail.
func (a *Arbiter) supersede() {
	r := a.reload
	if !a.pending || r == nil || !r.rolling || !r.failed {
		return
	}
	a.reload = nil
	a.log.Warn("Reload is superseded, its workers kept failing", "generation", a.gen.number)
	a.noteReload(r, fault.New("see the next reload", "workers kept failing until another reload took over"))
	a.nextReload()
}
