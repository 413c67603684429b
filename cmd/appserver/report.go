package main

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/appserver-go/appserver/arbiter"
	"github.com/appserver-go/appserver/internal/fault"
	"github.com/appserver-go/appserver/internal/sdnotify"
)

// manager is what the reporter needs of a service manager.
type manager interface {
	Ready(status string) error
	Status(status string) error
	Stopping(status string) error
	Reloading(status string) error
	MainPID(pid int) error
	Ping() error
	Watchdog() time.Duration
}

var _ manager = (*sdnotify.Notifier)(nil)

// reporter keeps a service manager informed. The arbiter's goroutine calls it, so that it falls silent when that hangs.
type reporter struct {
	to     manager
	log    *slog.Logger
	told   arbiter.Vitals // what the manager knows
	pinged time.Time
	failed bool // the last message did not arrive, which was logged
}

// newReporter makes a reporter of the environment, and returns what is left of that for the workers. Without a
// service manager the reporter does nothing. What is wrong with the variables is logged and no reason not to serve.
func newReporter(environ []string, pid int, log *slog.Logger) (*reporter, []string) {
	n, rest, err := sdnotify.New(environ, pid)
	if err != nil {
		log.Warn("Cannot tell the service manager everything", "error", err, "hint", fault.Hint(err))
	}
	r := &reporter{log: log}
	if n != nil {
		r.to = n
	}
	return r, rest
}

// alive takes what the arbiter says of itself. A message that did not arrive is sent again the next time.
func (r *reporter) alive(v arbiter.Vitals) {
	if r.to == nil || v.Aside {
		return // another arbiter speaks for the service
	}
	if err := r.tell(v); err == nil {
		r.told, r.failed = v, false
	} else if !r.failed {
		r.failed = true
		r.log.Warn("Cannot reach the service manager", "error", err)
	}
	every := r.to.Watchdog() / 2
	if now := time.Now(); every > 0 && now.Sub(r.pinged) >= every && r.to.Ping() == nil {
		r.pinged = now
	}
}

// tell sends what the manager does not know yet.
func (r *reporter) tell(v arbiter.Vitals) error {
	switch {
	case v == r.told:
		return nil
	case v.Halting:
		if r.told.Halting {
			return nil
		}
		return r.to.Stopping("Shutting down")
	case v.Up && v.Reloading && !r.told.Reloading:
		return r.to.Reloading("Reloading: " + summary(v))
	case v.Up && (!r.told.Up || r.told.Reloading && !v.Reloading):
		return r.to.Ready(summary(v))
	default:
		return r.to.Status(summary(v))
	}
}

// handOver tells the manager which process is the service from now on. It is the last thing the manager hears from a
// process that is not.
func (r *reporter) handOver(pid int) {
	if r.to == nil {
		return
	}
	if err := r.to.MainPID(pid); err != nil {
		r.log.Warn("Cannot tell the service manager about the new arbiter", "new_pid", pid, "error", err)
	}
}

// summary is the line that systemctl status shows.
func summary(v arbiter.Vitals) string {
	text := fmt.Sprintf("%d of %d workers ready", v.Ready, v.Workers)
	if !v.Up {
		text = "Starting: " + text
	}
	return text
}
