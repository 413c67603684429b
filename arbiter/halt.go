package arbiter

import "time"

// halt is the state of a server that is going down.
type halt struct {
	since   time.Time
	quick   bool
	closeBy time.Time // when the sockets go even if some worker has not said that it accepts no more
	cut     int       // requests that died with their workers
}

// beginHalt tells all workers to finish and starts no new ones. A graceful halt gives them graceful_timeout.
func (a *Arbiter) beginHalt(quick bool, reason string) {
	if a.halt != nil {
		return
	}
	now := time.Now()
	a.halt = &halt{since: now, closeBy: now}
	a.endReloads(errHalting)
	a.log.Info("Shutting down", "reason", reason, "graceful", !quick, "workers", len(a.workers))
	a.leaveToSuccessor()
	if quick {
		a.hasten()
		return
	}
	// First of all, or a connection could come in after the last worker has found the queue empty.
	all, err := a.env.refuse(a.gen.sockets)
	if err != nil {
		a.log.Debug("Could not refuse new connections", "error", err)
	}
	owned := a.gen.sockets.Owned()
	for _, w := range a.workers {
		grace := w.spec.gen.limits.gracefulTimeout
		switch w.state {
		case spawned:
			w.dismiss("shutting down")
		case booted:
			a.stopBooting(w, "shutting down", all)
		case ready:
			a.halt.closeBy = later(a.halt.closeBy, now.Add(grace+drainMargin))
			final := all
			if mine := w.spec.gen.sockets.Indices(owned); all {
				a.acceptAll(w)
			} else if final = len(mine) > 0; final {
				w.accept(mine) // others go on with the rest, and nobody with these
			}
			a.drain(w, now, grace, grace+drainMargin, final)
		}
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// hasten makes the halt a quick one: workers cut off what they have, and go.
func (a *Arbiter) hasten() {
	now := time.Now()
	a.halt.quick = true
	for _, w := range a.workers {
		if w.state == spawned {
			w.dismiss("shutting down")
			continue
		}
		a.drain(w, now, 0, min(exitGrace, w.spec.gen.limits.gracefulTimeout+drainMargin), true)
	}
}

// closeInHalt closes the listening sockets once nobody accepts any more. Until then the last workers empty the queues,
// and a connection that comes in is served, not reset.
func (a *Arbiter) closeInHalt(now time.Time) {
	if a.halt == nil || a.portsGone {
		return
	}
	open := false
	for _, w := range a.workers {
		open = open || w.served() && !w.closed
	}
	if !open || a.halt.quick || !now.Before(a.halt.closeBy) {
		a.closeSockets()
	}
}

// closeSockets closes the listening sockets once.
func (a *Arbiter) closeSockets() {
	if a.portsGone {
		return
	}
	a.portsGone = true
	a.closeLeavings(true)
	if err := a.env.closeSockets(a.gen.sockets); err != nil {
		a.log.Warn("Could not close the listening sockets cleanly", "error", err)
	}
}

// endHalt says how it went.
func (a *Arbiter) endHalt() {
	if a.halt.cut > 0 {
		a.log.Warn("Requests were cut off", "requests", a.halt.cut)
	}
	if a.failure == nil {
		a.log.Info("Shutdown complete")
	}
}
