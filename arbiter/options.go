package arbiter

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"time"

	"github.com/appserver-go/appserver/internal/handover"
	"github.com/appserver-go/appserver/scoreboard"
	"github.com/appserver-go/appserver/sockets"
)

// Options is what an arbiter works with. It is not changed by anybody after New.
type Options struct {
	// Settings are those of the first generation. MinReady belongs to them.
	Settings
	// MinReady is how many workers must be ready for the server to count as ready; 0 means all of Workers.
	MinReady int

	// AppName tells people who run ps which server a worker belongs to.
	AppName string
	// Env is the environment of the workers.
	Env []string
	// Pidfile is held until Run has ended all workers, and then removed; nil means none.
	Pidfile *Pidfile

	// Program is what SIGUSR2 executes as a new arbiter; nil means that there are no upgrades.
	Program *Program
	// HandOver is called from the arbiter's goroutine when another process is the service from now on, for a service
	// manager; nil ignores it.
	HandOver func(pid int)
	// Predecessor is the arbiter that has executed this one and left Will; nil without one. Run does not close it before
	// it is gone.
	Predecessor Predecessor
	Will        handover.Will
	// Promoted is called from the arbiter's goroutine once the predecessor is gone; nil ignores it.
	Promoted func()

	// Log gets everything there is to say. It must not block: the arbiter logs from its only goroutine.
	Log *slog.Logger
	// ReopenLogs reopens the arbiter's own log files; nil means that there are none.
	ReopenLogs func() error
	// Lost is called from the arbiter's goroutine for each request that was in a worker when it died; nil ignores them.
	Lost func(LostRequest)
	// Examine finds out what a process is doing that is about to be aborted, for the log; "" is nothing to say. It is called
	// from goroutines of its own and returns when ctx is done. nil aborts at once.
	Examine func(ctx context.Context, pid int) string
	// Ready is called once from the arbiter's goroutine, when MinReady workers are ready for the first time.
	Ready func()
	// Alive is called from the arbiter's goroutine whenever its loop has come round: after everything that happens, and at
	// least every 250 ms. When the calls stop, the arbiter hangs. It must not block; nil ignores the calls.
	Alive func(Vitals)
	// Load makes the next generation for a reload; nil means that there are no reloads. It reads configuration and guest
	// anew and opens what is to be listened on in addition to current, the sockets of the present generation, with
	// sockets.Set.Relisten. It runs in a goroutine of its own, one at a time, and may take long; ctx ends when nobody
	// waits for it any more. Run does not wait for it either.
	Load func(ctx context.Context, current *sockets.Set) (*Next, error)
}

// Settings is what one generation can have different from another.
type Settings struct {
	// Workers is the number of workers to keep alive, at least 1.
	Workers int
	// ReloadBatch is how many workers a reload replaces at a time; 0 means 1.
	ReloadBatch int
	// Threads is the number of requests a worker may run at once: the rows of its scoreboard.
	Threads int

	// Timeout bounds a request; 0 means that requests are not timed. The worker itself ends a request at Timeout; the
	// arbiter steps in AbortGrace later.
	Timeout time.Duration
	// AbortGrace is the time between the steps of the murder ladder.
	AbortGrace time.Duration
	// WorkerTimeout is how long a ready worker's beat may stand still; 0 means for ever.
	WorkerTimeout time.Duration
	// BootTimeout bounds the way from spawned to ready; 0 means no bound.
	BootTimeout time.Duration
	// GracefulTimeout bounds the drain of a worker.
	GracefulTimeout time.Duration
	// MaxMemory is the resident memory in bytes past which a worker is replaced; 0 means no bound.
	MaxMemory int64
	// AutoUpgrade says that the arbiter retires by itself once the new one of a SIGUSR2 is ready.
	AutoUpgrade bool
	// MaxAge is how long a worker serves before it is replaced, give or take a tenth; 0 means for ever.
	MaxAge time.Duration

	// ShareLimit is the size in bytes of the largest file that a worker may share with those after it; 0 means that nothing
	// is shared.
	ShareLimit int64

	// Config is handed to the workers as it is.
	Config json.RawMessage
	// Secrets are handed to the workers in a message of their own, and shown to nobody; nil means that there are none.
	Secrets json.RawMessage
	// Sockets are the listening sockets. Run closes and unlinks them.
	Sockets *sockets.Set
	// Artifact is a sealed memfd with the guest's bytes, or nil. The arbiter closes it when no worker will be started with
	// it any more; closing it once more does no harm.
	Artifact *os.File
}

// Next is a generation that a reload may change to. The arbiter owns its artifact and those of its sockets that the
// present generation does not have.
type Next struct {
	Settings
	// Adopt is called from the arbiter's goroutine when the generation has proved itself and is the present one; nil does
	// nothing.
	Adopt func()
	// Discard is called instead of Adopt when the generation is given up; nil does nothing. It is not for the artifact and
	// the sockets.
	Discard func()
}

// Vitals say how the server is doing.
type Vitals struct {
	// Up tells that MinReady workers were ready once: Ready was called.
	Up bool
	// Ready workers serve; Workers are wanted.
	Ready, Workers int
	// Halting tells that the server is going down.
	Halting bool
	// Reloading tells that a reload is under way.
	Reloading bool
	// Aside tells that another arbiter is the service: the one that has executed this one, or that this one has executed.
	Aside bool
}

// LostRequest is a request that died with its worker. It got no answer, or half of one.
type LostRequest struct {
	// Call is what the worker had noted of the request.
	Call scoreboard.Call
	// Started is when the request began, by the worker's wall clock, and Duration the time from then to the worker's
	// death. A worker that wrote nonsense there is corrected to the time it lived.
	Started  time.Time
	Duration time.Duration
	// Reason says why the worker died, in words for a log.
	Reason string
	// PID and Slot are the worker's.
	PID  int
	Slot int
}

// check reports what no arbiter can work with, and fills in defaults. Settings were validated by package config, so
// these are mistakes of the caller.
func (o *Options) check() error {
	if err := o.Settings.check(); err != nil {
		return err
	}
	switch {
	case o.MinReady < 0 || o.MinReady > o.Workers:
		return errors.New("arbiter: min ready is not between 0 and the number of workers")
	case o.Log == nil:
		return errors.New("arbiter: no log")
	}
	if o.MinReady == 0 {
		o.MinReady = o.Workers
	}
	if o.ReopenLogs == nil {
		o.ReopenLogs = func() error { return nil }
	}
	if o.Lost == nil {
		o.Lost = func(LostRequest) {}
	}
	if o.Ready == nil {
		o.Ready = func() {}
	}
	if o.HandOver == nil {
		o.HandOver = func(int) {}
	}
	if o.Promoted == nil {
		o.Promoted = func() {}
	}
	if o.Alive == nil {
		o.Alive = func(Vitals) {}
	}
	return nil
}

func (s *Settings) check() error {
	switch {
	case s.Workers < 1:
		return errors.New("arbiter: fewer than one worker")
	case s.Threads < 1 || s.Threads > scoreboard.MaxSlots:
		return errors.New("arbiter: the number of threads does not fit a scoreboard")
	case min(s.Timeout, s.AbortGrace, s.WorkerTimeout, s.BootTimeout, s.GracefulTimeout, s.MaxAge) < 0:
		return errors.New("arbiter: negative duration")
	case min(s.MaxMemory, s.ShareLimit) < 0 || s.ReloadBatch < 0:
		return errors.New("arbiter: negative number")
	case s.Sockets == nil:
		return errors.New("arbiter: no sockets")
	}
	s.ReloadBatch = max(s.ReloadBatch, 1)
	if s.Config == nil {
		s.Config = json.RawMessage("null")
	}
	return nil
}
