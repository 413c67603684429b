package arbiter

import (
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/appserver-go/appserver/internal/proto"
)

// handled returns the signals that the arbiter answers. SIGABRT keeps Go's default: a dump of all stacks.
func handled() []os.Signal {
	return []os.Signal{
		syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2,
		syscall.SIGTTIN, syscall.SIGTTOU, syscall.SIGWINCH, syscall.SIGCHLD,
	}
}

// termEcho is how soon after the first a second SIGTERM is taken for the same wish: timeout(1), and supervisors that signal
// a process and then its group, send two.
const termEcho = 500 * time.Millisecond

// handleSignal does what a signal asks for; the package comment lists the signals.
func (a *Arbiter) handleSignal(s os.Signal) {
	sig, _ := s.(syscall.Signal)
	if sig == syscall.SIGCHLD {
		a.reap()
		return
	}
	if sig == syscall.SIGWINCH && a.env.terminal() {
		a.log.Debug("Ignoring the resize of a terminal")
		return
	}
	a.log.Info("Handling signal", "signal", shortName(sig))
	if a.retiring() && slices.Contains([]syscall.Signal{syscall.SIGHUP, syscall.SIGTTIN, syscall.SIGTTOU, syscall.SIGWINCH}, sig) {
		a.log.Warn("Ignoring the signal, the new arbiter has taken over", "signal", shortName(sig), "new_pid", a.upgrade.pid)
		return
	}
	switch sig {
	case syscall.SIGTERM:
		if a.halt != nil && time.Since(a.halt.since) < termEcho {
			a.log.Debug("Ignoring the echo of a signal")
			return
		}
		a.stop(false, "signal")
	case syscall.SIGINT, syscall.SIGQUIT:
		a.stop(true, "signal")
	case syscall.SIGTTIN:
		a.rescale(len(a.slots) + 1)
	case syscall.SIGTTOU:
		a.rescale(max(len(a.slots)-1, min(len(a.slots), 1)))
	case syscall.SIGWINCH:
		a.rescale(0)
	case syscall.SIGUSR1:
		_ = a.reopenLogs() // which has logged what went wrong
		a.passOn(sig)
	case syscall.SIGHUP:
		a.requestReload(nil)
	case syscall.SIGUSR2:
		a.requestUpgrade(a.gen.autoUpgrade, nil)
	}
}

// stop begins a halt, or hastens the one that is under way.
func (a *Arbiter) stop(quick bool, reason string) {
	switch {
	case a.halt == nil:
		a.beginHalt(quick, reason)
	case !a.halt.quick:
		a.log.Info("Quick shutdown requested")
		a.hasten()
	}
}

// passOn sends a new arbiter that is ready what concerns both: the pidfile still has this one.
func (a *Arbiter) passOn(sig syscall.Signal) {
	if u := a.upgrade; u != nil && u.stage >= upgradeReady && !u.reaped {
		if err := u.proc.signal(sig); err != nil {
			a.log.Debug("Could not signal the new arbiter", "signal", signalName(sig), "error", err)
		}
	}
}

// rescale changes the number of workers unless the server is going down. It remembers how many there were before they were
// drained in favour of a new arbiter, in case that one dies.
func (a *Arbiter) rescale(n int) {
	if a.mayChange() != nil || n == len(a.slots) {
		return
	}
	if u := a.upgrade; u != nil && u.stage >= upgradeReady {
		u.workers = 0
		if n == 0 {
			u.workers = len(a.slots)
		}
	}
	a.log.Info("Changing the number of workers", "from", len(a.slots), "to", n)
	a.scale(n)
}

// reopenLogs reopens the log files everywhere, after a rotation. The error is that of our own.
func (a *Arbiter) reopenLogs() error {
	err := a.opts.ReopenLogs()
	if err != nil {
		a.log.Error("Could not reopen the log files", "error", err)
	}
	for _, w := range a.workers {
		if w.state != spawned && w.state < aborted {
			w.send(proto.Message{Type: proto.TypeReopen})
		}
	}
	return err
}
