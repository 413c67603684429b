package arbiter

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/appserver-go/appserver/internal/fault"
	"github.com/appserver-go/appserver/internal/handover"
	"github.com/appserver-go/appserver/sockets"
)

// upgradeMargin is what a new arbiter gets beyond boot_timeout and abort_grace, within which it gives its own workers up,
// so that it can say why.
const upgradeMargin = 2 * time.Second

// upgrade is another arbiter that this one has executed to take its place. It begins with the same sockets, in a
// process of its own, and nothing here changes until it is ready.
type upgrade struct {
	began    time.Time
	auto     bool // this arbiter retires by itself once the other one is ready
	proc     successor
	pid      int
	stage    upgradeStage
	deadline time.Time    // when patience ends; zero for never
	lent     *sockets.Set // what the other one may go on with
	workers  int          // how many there were here before they were drained in its favour; 0 if they were not
	served   bool         // it was told that it is the service
	waiters  []chan<- error

	failed *handover.Failed // why it ends, if it said so
	reason string           // why it was killed, if it was
	reaped bool             // status is set
	status status
	ended  bool // it said its last word
}

// upgradeStage is where an upgrade is. Later stages are greater.
type upgradeStage uint8

const (
	upgradeStarting upgradeStage = iota // the new arbiter was executed
	upgradeBooting                      // it has its sockets, its workers boot
	upgradeReady                        // it serves, beside this one
	upgradeRetiring                     // this one ends as soon as its workers have
)

func (s upgradeStage) String() string {
	return [...]string{"starting", "booting", "ready", "retiring"}[s]
}

// errRetiring is what is told to those who want something of an arbiter that another one has replaced.
var errRetiring = fault.New("ask the new one", "another arbiter has taken over from this one")

// retiring reports whether this arbiter only waits for its last workers, because another one has taken over.
func (a *Arbiter) retiring() bool { return a.upgrade != nil && a.upgrade.stage == upgradeRetiring }

// mayChange reports why nothing can be changed here any more, or nil.
func (a *Arbiter) mayChange() error {
	switch {
	case a.halt != nil:
		return errHalting
	case a.retiring():
		return errRetiring
	default:
		return nil
	}
}

// mayUpgrade reports why no new arbiter can be executed, or nil.
func (a *Arbiter) mayUpgrade() error {
	switch {
	case a.mayChange() != nil:
		return a.mayChange()
	case a.opts.Program == nil:
		return fault.New("restart the server", "this server cannot be upgraded")
	case a.predecessor != nil:
		return fault.New("end that one with TERM first", "the old arbiter, process %d, is still there", a.opts.Will.PID)
	case a.upgrade != nil:
		return fault.New("one at a time: end the old arbiter or the new one with TERM first",
			"process %d, a new arbiter, is there already (%v)", a.upgrade.pid, a.upgrade.stage)
	default:
		return nil
	}
}

// requestUpgrade executes a new arbiter. Whoever waits is told when it is ready, or why it is not.
func (a *Arbiter) requestUpgrade(auto bool, waiter chan<- error) {
	var waiters []chan<- error
	if waiter != nil {
		waiters = append(waiters, waiter)
	}
	if err := a.mayUpgrade(); err != nil {
		a.log.Warn("Upgrade refused", "reason", err, "hint", fault.Hint(err))
		answer(waiters, err)
		return
	}
	u := &upgrade{began: time.Now(), auto: auto, lent: a.gen.sockets, waiters: waiters}
	a.log.Info("Upgrading", "program", a.opts.Program.Path)
	a.emit(Event{Name: PreExec})
	u.lent.Lend()
	will := handover.Will{
		Version: handover.Version, PID: os.Getpid(), Sockets: u.lent.Bequests(), Workers: len(a.slots), Configured: a.gen.workers,
	}
	proc, err := a.env.execute(a.opts.Program, will, u.lent, func(m handover.Message, err error) bool {
		return a.call(func() { a.hear(u, m, err) })
	})
	if err != nil {
		u.lent.Reclaim()
		a.upgradeFailed(u, fault.New("put the new binary in place and try again", "execute %s: %w", a.opts.Program.Path, err))
		return
	}
	u.proc, u.pid = proc, proc.pid()
	u.expect(a.gen.limits.bootTimeout)
	a.upgrade = u
	a.log.Info("New arbiter started", "new_pid", u.pid)
}

// call has the loop call f, unless it has ended.
func (a *Arbiter) call(f func()) bool {
	select {
	case a.calls <- f:
		return true
	case <-a.done:
		return false
	}
}

// expect sets how long the new arbiter may take to get on.
func (u *upgrade) expect(within time.Duration) {
	u.deadline = time.Time{}
	if within > 0 && !u.reaped {
		u.deadline = time.Now().Add(within)
	}
}

// hear deals with what the new arbiter says; an error is its last word.
func (a *Arbiter) hear(u *upgrade, m handover.Message, err error) {
	switch {
	case a.upgrade != u:
	case err != nil:
		u.ended = true
		a.buryUpgrade(u)
	case m.Type == handover.TypeOpened && u.stage == upgradeStarting:
		u.stage = upgradeBooting
		if limit := a.gen.limits.bootTimeout; limit > 0 {
			u.expect(limit + a.gen.limits.abortGrace + upgradeMargin)
		}
		u.lent.Except(m.Opened.Kept).Reclaim()
		a.log.Info("New arbiter listens, its workers boot", "new_pid", u.pid)
	case m.Type == handover.TypeReady && u.stage < upgradeReady:
		a.upgradeReady(u)
	case m.Type == handover.TypeFailed:
		u.failed = m.Failed
	default:
		a.log.Debug("The new arbiter says nothing that is understood", "message", string(m.Type))
	}
}

// upgradeReady goes on with a new arbiter that has proved itself.
func (a *Arbiter) upgradeReady(u *upgrade) {
	u.stage = upgradeReady
	u.expect(0)
	a.log.Info("New arbiter is ready", "new_pid", u.pid, "took", time.Since(u.began).Round(time.Millisecond))
	a.emit(Event{Name: UpgradeReady, NewPID: u.pid})
	a.noteUpgrade(u, nil)
	if u.auto && a.halt == nil {
		a.retireFor(u)
	}
}

// retireFor begins the end of this arbiter in favour of another: its workers drain, and it follows. There is a way back
// until then, in case that the other one dies.
func (a *Arbiter) retireFor(u *upgrade) {
	a.log.Info("Retiring, the new arbiter has taken over", "new_pid", u.pid)
	a.endReloads(errRetiring)
	a.handOver(u)
	a.rescale(0)
	u.stage = upgradeRetiring
}

// handOver makes the other arbiter the service, once.
func (a *Arbiter) handOver(u *upgrade) {
	if u.served {
		return
	}
	u.served = true
	a.opts.HandOver(u.pid)
	if err := u.proc.send(handover.Message{Type: handover.TypeServe}); err != nil {
		a.log.Debug("Could not tell the new arbiter that it is the service", "error", err)
	}
}

// leaveToSuccessor leaves the service to a new arbiter, be it ready or not, because this one ends.
func (a *Arbiter) leaveToSuccessor() {
	u := a.upgrade
	if u == nil {
		return
	}
	answer(u.waiters, errHalting)
	u.waiters = nil
	if !u.reaped && u.reason == "" {
		a.log.Info("Leaving the sockets to the new arbiter", "new_pid", u.pid)
		a.handOver(u)
	}
}

// stepDown ends an arbiter that retires and has no workers left.
func (a *Arbiter) stepDown() {
	if a.retiring() && a.halt == nil && len(a.workers) == 0 {
		a.beginHalt(false, "upgraded")
	}
}

// expireUpgrade kills a new arbiter that takes too long.
func (a *Arbiter) expireUpgrade(now time.Time) {
	u := a.upgrade
	if u == nil || u.deadline.IsZero() || now.Before(u.deadline) {
		return
	}
	u.deadline = time.Time{}
	u.reason = fmt.Sprintf("was not ready in time (boot_timeout is %v)", a.gen.limits.bootTimeout)
	a.log.Error("New arbiter takes too long, killing it", "new_pid", u.pid, "stage", u.stage.String())
	if err := u.proc.signal(killSignal); err != nil {
		a.log.Error("Could not kill the new arbiter", "new_pid", u.pid, "error", err)
	}
}

// reapUpgrade takes the status of a child that may be the new arbiter.
func (a *Arbiter) reapUpgrade(pid int, st status) bool {
	u := a.upgrade
	if u == nil || u.pid != pid || u.reaped {
		return false
	}
	u.reaped, u.status, u.deadline = true, st, time.Time{}
	u.proc.finish() // its last word leads to buryUpgrade
	a.buryUpgrade(u)
	return true
}

// buryUpgrade deals with the end of a new arbiter, whose status and last word come in any order.
func (a *Arbiter) buryUpgrade(u *upgrade) {
	if !u.reaped || !u.ended || a.upgrade != u {
		return
	}
	a.upgrade = nil
	u.proc.close()
	u.lent.Reclaim()
	stopped := u.stage >= upgradeReady && u.status == (status{})
	switch {
	case stopped && u.stage == upgradeRetiring:
		a.log.Info("The new arbiter was stopped, stopping too", "new_pid", u.pid)
		a.beginHalt(false, "the new arbiter was stopped")
		return
	case stopped:
		a.log.Info("The new arbiter was stopped", "new_pid", u.pid)
	default:
		a.upgradeFailed(u, u.err())
	}
	if u.served {
		a.opts.HandOver(os.Getpid())
	}
	if u.workers > 0 && len(a.slots) == 0 && a.halt == nil {
		a.log.Info("Bringing the workers back")
		a.rescale(u.workers)
	}
}

// err says why the new arbiter is no more.
func (u *upgrade) err() error {
	const hint = "the log has what it wrote before"
	switch {
	case u.reason != "":
		return fault.New("raise boot_timeout if it needs more time to start", "the new arbiter %s: it was still %v", u.reason, u.stage)
	case u.failed != nil:
		return &fault.Error{Err: errors.New(u.failed.Message), Hint: u.failed.Hint, Code: u.failed.Code}
	case u.stage >= upgradeReady:
		return fault.New(hint, "the new arbiter died: %v", u.status)
	default:
		return fault.New(hint, "the new arbiter ended before it was ready: %v", u.status)
	}
}

// upgradeFailed tells everybody that an upgrade has come to nothing.
func (a *Arbiter) upgradeFailed(u *upgrade, err error) {
	attrs := []any{"reason", err.Error(), "stage", u.stage.String()}
	if hint := fault.Hint(err); hint != "" {
		attrs = append(attrs, "hint", hint)
	}
	a.log.Error("Upgrade failed, the old arbiter serves on", attrs...)
	a.emit(Event{Name: UpgradeFailed, NewPID: u.pid, Reason: err.Error()})
	a.noteUpgrade(u, err)
}

// noteUpgrade keeps the outcome of an upgrade and tells whoever waits for it.
func (a *Arbiter) noteUpgrade(u *upgrade, err error) {
	now := time.Now()
	a.lastUpgrade = &UpgradeResult{Ended: now, Took: now.Sub(u.began), PID: u.pid}
	if err != nil {
		a.lastUpgrade.Error, a.lastUpgrade.Hint = err.Error(), fault.Hint(err)
	}
	answer(u.waiters, err)
	u.waiters = nil
}
