package arbiter

import (
	"time"

	"github.com/appserver-go/appserver/internal/handover"
)

// pidfilePatience is how long an old arbiter that was killed may hold its pidfile: the kernel closes the descriptors of
// a process one after the other.
const pidfilePatience = 2 * time.Second

// Predecessor is the arbiter that has executed this one, as far as it can be spoken to. *handover.Heir is one.
type Predecessor interface {
	// Say does not wait.
	Say(handover.Message) error
	// Hear waits for the next message. An error means that the other arbiter is gone.
	Hear() (handover.Message, error)
	Close() error
}

// hearPredecessor follows what the old arbiter says, until it is gone.
func (a *Arbiter) hearPredecessor() {
	p := a.opts.Predecessor
	if p == nil {
		return
	}
	a.predecessor, a.aside = p, true
	go func() {
		for {
			m, err := p.Hear()
			if err != nil {
				a.call(a.promote)
				return
			}
			if m.Type == handover.TypeServe {
				a.call(a.serve)
			}
		}
	}()
}

// tellPredecessor says that this arbiter is ready.
func (a *Arbiter) tellPredecessor() {
	if a.predecessor == nil {
		return
	}
	if err := a.predecessor.Say(handover.Message{Type: handover.TypeReady}); err != nil {
		a.log.Warn("Could not tell the old arbiter that this one is ready", "error", err)
	}
}

// serve makes this arbiter the service: the old one retires.
func (a *Arbiter) serve() {
	a.aside = false
	a.log.Info("Taking over from the old arbiter", "old_pid", a.opts.Will.PID)
}

// promote takes over what is left of the old arbiter, which is gone: its sockets, and the name of its pidfile.
func (a *Arbiter) promote() {
	a.aside = false
	_ = a.predecessor.Close() // nobody is there to miss anything
	a.predecessor = nil
	a.gen.sockets.Reclaim()
	a.promotedAt = time.Now()
	a.promotePidfile(a.promotedAt)
	a.log.Info("Promoted, the old arbiter is gone", "old_pid", a.opts.Will.PID)
	a.emit(Event{Name: Promoted})
	a.opts.Promoted()
}

// promotePidfile takes over the name of the old arbiter's pidfile, again and again for a while.
func (a *Arbiter) promotePidfile(now time.Time) {
	if a.promotedAt.IsZero() || a.opts.Pidfile == nil {
		return
	}
	err := a.opts.Pidfile.Promote()
	if err != nil && now.Sub(a.promotedAt) < pidfilePatience {
		return
	}
	if err != nil {
		a.log.Warn("Could not take over the pidfile", "error", err)
	}
	a.promotedAt = time.Time{}
}
