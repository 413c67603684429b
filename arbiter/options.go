package arbiter

import (
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"time"

	"github.com/appserver-go/appserver/scoreboard"
	"github.com/appserver-go/appserver/sockets"
)

// Options is what an arbiter works with. It is not changed by anybody after New.
type Options struct {
	// Workers is the number of workers to keep alive, at least 1.
	Workers int
	// MinReady is how many workers must be ready for the server to count as ready; 0 means all of Workers.
	MinReady int
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

	// Config is handed to the workers as it is.
	Config json.RawMessage
	// AppName tells people who run ps which server a worker belongs to.
	AppName string
	// Env is the environment of the workers.
	Env []string
	// Sockets are the listening sockets. Run closes and unlinks them.
	Sockets *sockets.Set
	// Artifact is a sealed memfd with the guest's bytes, or nil. The caller keeps it open until Run returns.
	Artifact *os.File
	// Pidfile is held until Run has ended all workers, and then removed; nil means none.
	Pidfile *Pidfile

	// Log gets everything there is to say. It must not block: the arbiter logs from its only goroutine.
	Log *slog.Logger
	// ReopenLogs reopens the arbiter's own log files; nil means that there are none.
	ReopenLogs func() error
	// Lost is called from the arbiter's goroutine for each request that was in a worker when it died; nil ignores them.
	Lost func(LostRequest)
	// Ready is called once from the arbiter's goroutine, when MinReady workers are ready for the first time.
	Ready func()
	// Alive is called from the arbiter's goroutine whenever its loop has come round: after everything that happens, and at
	// least every 250 ms. When the calls stop, the arbiter hangs. It must not block; nil ignores the calls.
	Alive func(Vitals)
}

// Vitals say how the server is doing.
type Vitals struct {
	// Up tells that MinReady workers were ready once: Ready was called.
	Up bool
	// Ready workers serve; Workers are wanted.
	Ready, Workers int
	// Halting tells that the server is going down.
	Halting bool
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
	switch {
	case o.Workers < 1:
		return errors.New("arbiter: fewer than one worker")
	case o.Threads < 1 || o.Threads > scoreboard.MaxSlots:
		return errors.New("arbiter: the number of threads does not fit a scoreboard")
	case o.MinReady < 0 || o.MinReady > o.Workers:
		return errors.New("arbiter: min ready is not between 0 and the number of workers")
	case min(o.Timeout, o.AbortGrace, o.WorkerTimeout, o.BootTimeout, o.GracefulTimeout) < 0:
		return errors.New("arbiter: negative duration")
	case o.Sockets == nil || o.Log == nil:
		return errors.New("arbiter: no sockets or no log")
	}
	if o.MinReady == 0 {
		o.MinReady = o.Workers
	}
	if o.Config == nil {
		o.Config = json.RawMessage("null")
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
	if o.Alive == nil {
		o.Alive = func(Vitals) {}
	}
	return nil
}

// generation is one configuration with everything that comes from it. Workers keep the generation they were spawned in.
type generation struct {
	number   uint64 // from 1
	config   json.RawMessage
	sockets  *sockets.Set
	artifact *os.File
	threads  int
	limits   limits
}

// limits are a generation's bounds of time; see Options for zero.
type limits struct {
	timeout, abortGrace, workerTimeout, bootTimeout, gracefulTimeout time.Duration
}

// firstGeneration makes the generation that the arbiter starts with.
func (o *Options) firstGeneration() *generation {
	return &generation{
		number: 1, config: o.Config, sockets: o.Sockets, artifact: o.Artifact, threads: o.Threads,
		limits: limits{
			timeout: o.Timeout, abortGrace: o.AbortGrace, workerTimeout: o.WorkerTimeout,
			bootTimeout: o.BootTimeout, gracefulTimeout: o.GracefulTimeout,
		},
	}
}
