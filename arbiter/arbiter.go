package arbiter

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"time"

	"github.com/appserver-go/appserver/internal/fault"
	"github.com/appserver-go/appserver/internal/proto"
)

const (
	// pollEvery is how often the scoreboards are read.
	pollEvery = 250 * time.Millisecond
	// exitGrace is how long a worker may take to exit that has no reason to live on: it reported a failure, its control
	// socket closed, or a quick halt told it to go.
	exitGrace = 2 * time.Second
	// drainMargin is what a worker gets beyond graceful_timeout to cut its last requests off by itself.
	drainMargin = 500 * time.Millisecond
	// bootAttempts is how many workers in a row may die before one was ever ready.
	bootAttempts = 5
)

// Arbiter keeps workers alive. Make one with New; Run owns it from then on.
type Arbiter struct {
	opts Options
	env  env
	log  *slog.Logger

	events chan event
	calls  chan func()   // what others want the loop to do
	done   chan struct{} // closed when nobody reads events and calls any more
	hub    hub

	gen     *generation // what new workers are spawned in
	age     uint64      // of the youngest worker
	workers []*worker   // every process that has not been reaped, oldest first
	slots   []*slot     // the places to fill, by number

	bootAttempts int           // see the constant; a check makes one
	checked      *proto.Ready  // not nil in a check: where its result goes
	healthy      time.Duration // see healthyAfter; tests shorten it

	polled     time.Time
	oomKills   int64
	everReady  bool  // some worker was ready once
	announced  bool  // Options.Ready was called
	bootDeaths int   // workers that died in a row before one was ever ready
	failure    error // why the server ends, when nobody asked it to
	halt       *halt // not nil once the server is going down
	portsGone  bool  // the listening sockets are closed

	began       time.Time
	upgrade     *upgrade       // nil unless there is a new arbiter that this one has executed
	lastUpgrade *UpgradeResult // nil if there was none
	predecessor Predecessor    // the arbiter that has executed this one; nil once it is gone
	aside       bool           // that one is the service still
	promotedAt  time.Time      // when that one was gone, while its pidfile is to be taken over

	generations    uint64  // how many were made
	reload         *reload // nil unless one is under way
	pending        bool    // another one waits
	pendingWaiters []chan<- error
	lastReload     *ReloadResult
	leavings       []*leaving
	recycled       time.Time // no worker is recycled before
	weighed        time.Time // when memory was last looked at
	tally          tally
}

// New returns an arbiter that runs workers of this very executable. An error means that o makes no sense, or that the
// settings are too large for the message that carries them to a worker.
func New(o Options) (*Arbiter, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	a := newArbiter(o, newSystem(&o))
	if err := a.gen.fits(); err != nil {
		return nil, err
	}
	return a, nil
}

func newArbiter(o Options, e env) *Arbiter {
	a := &Arbiter{
		opts: o, env: e, log: o.Log,
		events: make(chan event), calls: make(chan func()), done: make(chan struct{}),
		gen: newGeneration(1, &o.Settings), generations: 1, bootAttempts: bootAttempts, healthy: healthyAfter,
	}
	a.oomKills, _ = e.oomKills()
	return a
}

// Run serves until a signal or the end of ctx, which counts as TERM, halts it. It returns nil after a halt that was
// asked for, and a *fault.Error with the exit code when the first workers could not boot. However it returns, no worker
// is left, the sockets are closed, files of unix sockets are unlinked and the pidfile is removed. Signals are
// handled by Run from its beginning to its end. It must be called once.
func (a *Arbiter) Run(ctx context.Context) (err error) {
	signals, stopSignals := a.env.signals()
	defer stopSignals()
	defer func() {
		if p := recover(); p != nil {
			a.log.Error("Internal error", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			err = fault.New("this is a bug in appserver: please report it with the log", "internal error in the arbiter: %v", p)
		}
		a.release()
	}()
	a.began = time.Now()
	a.polled = a.began
	a.emit(Event{Name: OnStarting})
	a.hearPredecessor()
	a.scale(a.startWith())
	a.loop(ctx.Done(), signals)
	return a.failure
}

// loop waits for something to happen and deals with it, until the last worker of a halt is gone.
func (a *Arbiter) loop(canceled <-chan struct{}, signals <-chan os.Signal) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		a.tick(time.Now())
		if a.halt != nil && len(a.workers) == 0 {
			a.endHalt()
			return
		}
		timer.Reset(time.Until(a.nextTick()))
		select {
		case <-timer.C:
		case sig := <-signals:
			a.handleSignal(sig)
		case ev := <-a.events:
			a.handleEvent(ev)
		case call := <-a.calls:
			call()
		case <-canceled:
			canceled = nil
			a.beginHalt(false, "canceled")
		}
	}
}

// tick does everything whose time has come.
func (a *Arbiter) tick(now time.Time) {
	if now.Sub(a.polled) >= pollEvery {
		a.reap()
		a.promotePidfile(now)
		a.poll(now)
	}
	for _, w := range a.workers {
		if !w.deadline.IsZero() && !now.Before(w.deadline) {
			a.expire(w, now)
		}
	}
	a.manage(now)
	a.assign()
	a.closeInHalt(now)
	a.closeLeavings(false)
	a.expireUpgrade(now)
	a.stepDown()
	a.opts.Alive(a.vitals())
}

// vitals sum up the state of the server.
func (a *Arbiter) vitals() Vitals {
	return Vitals{
		Up: a.announced, Ready: a.serving(), Workers: len(a.slots), Halting: a.halt != nil,
		Reloading: a.reload != nil, Aside: a.aside || a.upgrade != nil && a.upgrade.served,
	}
}

// nextTick returns when the next thing is due that no event announces.
func (a *Arbiter) nextTick() time.Time {
	next := a.polled.Add(pollEvery)
	sooner := func(t time.Time) {
		if !t.IsZero() && t.Before(next) {
			next = t
		}
	}
	for _, w := range a.workers {
		sooner(w.deadline)
	}
	if a.upgrade != nil {
		sooner(a.upgrade.deadline)
	}
	if a.halt != nil {
		if !a.portsGone {
			sooner(a.halt.closeBy)
		}
		return next
	}
	now := time.Now()
	for _, s := range a.slots {
		if t := a.due(s); t.After(now) {
			sooner(t)
		}
		sooner(a.rollDue(s, now))
	}
	return next
}

// post is how the workers' goroutines reach the loop.
func (a *Arbiter) post(ev event) bool {
	select {
	case a.events <- ev:
		return true
	case <-a.done:
		return false
	}
}

// release gives back everything the arbiter holds. Workers are left only when the loop broke.
func (a *Arbiter) release() {
	a.endReloads(errHalting)
	close(a.done)
	for _, w := range a.workers {
		w.signal(killSignal)
		w.proc.close()
	}
	a.closeSockets()
	a.gen.closeFiles()
	a.emit(Event{Name: OnExit})
	a.hub.close()
	if a.opts.Pidfile != nil {
		if err := a.opts.Pidfile.Remove(); err != nil {
			a.log.Warn("Could not remove the pidfile", "error", err)
		}
	}
	if a.upgrade != nil {
		a.upgrade.proc.close() // last: the new arbiter takes it for the end of this one
	}
}

// startWith returns how many workers to begin with: as many as the old arbiter had, if it was configured alike.
func (a *Arbiter) startWith() int {
	if w := &a.opts.Will; w.Workers > 0 && w.Configured == a.gen.workers {
		return w.Workers
	}
	return a.gen.workers
}
