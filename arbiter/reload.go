package arbiter

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/appserver-go/appserver/internal/fault"
	"github.com/appserver-go/appserver/sockets"
)

// reload is a change of generations under way. It has three stages: Options.Load runs; one worker of the new
// generation, the canary, boots beside all others; the other workers are replaced. The first two leave everything as it
// is when they fail. After them the new generation is the present one.
type reload struct {
	began   time.Time
	cancel  context.CancelFunc // of the loader
	next    *Next              // nil while it loads
	gen     *generation        // nil while it loads
	canary  *worker            // nil but in the second stage
	rolling bool               // the third stage
	failed  bool               // a worker of the third stage has failed
	waiters []chan<- error
}

// stage names where the reload is, for status.
func (r *reload) stage() string {
	switch {
	case r == nil:
		return ""
	case r.rolling:
		return "rolling"
	case r.gen != nil:
		return "canary"
	default:
		return "loading"
	}
}

// errHalting is what becomes of a reload, and of anything else one may ask for, once the server goes down.
var errHalting = fault.New("", "the server is shutting down")

// requestReload begins a reload, or notes that another is to follow the one under way. One may wait: since it loads
// when its turn has come, it stands for all that were asked for meanwhile.
func (a *Arbiter) requestReload(waiter chan<- error) {
	var waiters []chan<- error
	if waiter != nil {
		waiters = append(waiters, waiter)
	}
	switch {
	case a.mayChange() != nil:
		answer(waiters, a.mayChange())
	case a.opts.Load == nil:
		a.log.Warn("This server cannot be reloaded")
		answer(waiters, fault.New("restart the server", "this server cannot be reloaded"))
	case a.reload == nil:
		a.beginReload(waiters)
	default:
		a.log.Info("Reload waits for the one under way", "stage", a.reload.stage())
		a.pending, a.pendingWaiters = true, append(a.pendingWaiters, waiters...)
		a.supersede()
	}
}

// answer tells everybody who waits how a reload ended.
func answer(waiters []chan<- error, err error) {
	for _, w := range waiters {
		w <- err // has room for it
	}
}

// beginReload runs the loader.
func (a *Arbiter) beginReload(waiters []chan<- error) {
	a.log.Info("Reloading", "generation", a.gen.number)
	_ = a.reopenLogs() // which has logged what went wrong
	ctx, cancel := context.WithCancel(context.Background())
	r := &reload{began: time.Now(), cancel: cancel, waiters: waiters}
	a.reload = r
	current := a.gen.sockets
	// Nobody waits for it at the end: a file on a dead network must not keep the server from exiting.
	go func() {
		next, err := a.opts.Load(ctx, current)
		if err == nil && next == nil {
			err = errors.New("nothing was loaded")
		}
		if !a.call(func() { a.loaded(r, next, err) }) {
			a.discard(next, current)
		}
	}()
}

// discard frees what came with a generation that nobody wants.
func (a *Arbiter) discard(next *Next, current *sockets.Set) {
	if next == nil {
		return
	}
	if next.Artifact != nil {
		next.Artifact.Close()
	}
	if next.Sockets != nil {
		if fresh := next.Sockets.Without(current); len(fresh.Sockets()) > 0 {
			if err := a.env.closeSockets(fresh); err != nil {
				a.log.Warn("Could not close the listening sockets cleanly", "error", err)
			}
		}
	}
	if next.Discard != nil {
		next.Discard()
	}
}

// loaded goes on with what the loader brought: a canary.
func (a *Arbiter) loaded(r *reload, next *Next, err error) {
	if a.reload != r {
		a.discard(next, a.gen.sockets)
		return
	}
	r.next = next
	if err == nil {
		err = next.check()
	}
	if err == nil {
		a.generations++
		r.gen = newGeneration(a.generations, &next.Settings)
		err = r.gen.fits()
	}
	if err == nil {
		err = a.spawnCanary(r)
	}
	if err != nil {
		a.reloadFailed(err)
	}
}

// spawnCanary starts the first worker of the new generation. It has no slot until it has proved itself.
func (a *Arbiter) spawnCanary(r *reload) error {
	number := 0
	if i := slices.IndexFunc(a.slots, func(s *slot) bool { return s.next == nil }); i >= 0 {
		number = a.slots[i].number
	}
	w, err := a.startWorker(number, r.gen, time.Now())
	if err != nil {
		return fault.New("check the limits on processes, descriptors and memory", "start worker process: %w", err)
	}
	r.canary = w
	w.log.Info("Booting canary", "generation", r.gen.number)
	return nil
}

// isCanary reports whether w is the worker that a reload waits for.
func (a *Arbiter) isCanary(w *worker) bool { return a.reload != nil && a.reload.canary == w }

// reloadFailed ends a reload before it has changed anything.
func (a *Arbiter) reloadFailed(err error, attrs ...any) {
	r := a.reload
	attrs = append([]any{"reason", err.Error(), "stage", r.stage(), "generation", a.gen.number}, attrs...)
	if hint := fault.Hint(err); hint != "" {
		attrs = append(attrs, "hint", hint)
	}
	a.log.Error("Reload failed, the old generation serves on", attrs...)
	a.dropReload(err)
	a.emit(Event{Name: ReloadFailed, Generation: a.gen.number, Reason: err.Error()})
	a.nextReload()
}

// dropReload frees what a reload holds, in one of its first two stages, and tells who waits for it.
func (a *Arbiter) dropReload(err error) {
	r := a.reload
	a.reload = nil
	r.cancel()
	if r.canary != nil {
		a.stopBooting(r.canary, "the reload was given up", false)
	}
	if r.gen != nil {
		r.gen.closeFiles()
	}
	a.discard(r.next, a.gen.sockets)
	a.noteReload(r, err)
}

// noteReload keeps the outcome of a reload and passes it on.
func (a *Arbiter) noteReload(r *reload, err error) {
	now := time.Now()
	if err == nil {
		a.tally.reloads++
	} else {
		a.tally.failures++
	}
	a.lastReload = &ReloadResult{Ended: now, Took: now.Sub(r.began), Generation: a.gen.number}
	if err != nil {
		a.lastReload.Error, a.lastReload.Hint = err.Error(), fault.Hint(err)
	}
	answer(r.waiters, err)
}

// nextReload begins the reload that has waited, if there is one.
func (a *Arbiter) nextReload() {
	if !a.pending || a.reload != nil {
		return
	}
	waiters := a.pendingWaiters
	a.pending, a.pendingWaiters = false, nil
	a.beginReload(waiters)
}

// endReloads gives up all reloads because the server goes down, or is replaced.
func (a *Arbiter) endReloads(why error) {
	waiters := a.pendingWaiters
	a.pending, a.pendingWaiters = false, nil
	answer(waiters, why)
	switch {
	case a.reload == nil:
	case a.reload.rolling:
		a.noteReload(a.reload, why)
		a.reload = nil
	default:
		a.dropReload(why)
	}
}
