package workers

import (
	"context"
	"log/slog"

	"github.com/appserver-go/appserver/config"
	"github.com/appserver-go/appserver/internal/link"
	"github.com/appserver-go/appserver/scoreboard"
)

// Class is a way to spread connections and requests over a worker's slots; the worker_class setting names one.
type Class interface {
	// Run serves until the environment's Drain has been carried out. It returns nil when nothing was left then, and
	// an error wrapping ErrCutOff when requests were cut off that still run. Ending ctx is the same as a drain
	// without grace.
	Run(ctx context.Context) error
}

// Factory makes a class for one worker. The error, a setting the class cannot work with, fails the worker's boot.
type Factory func(*Env) (Class, error)

// Env is what a class works with. It is complete before the Factory sees it and is not changed afterwards.
type Env struct {
	// Config is the worker's settings.
	Config *config.Config
	// Acceptor is where connections come from. The class closes it.
	Acceptor Acceptor
	// Board is the worker's scoreboard, with a row for each slot.
	Board *scoreboard.Board
	// Service answers requests.
	Service *Service
	// Door takes off what clients put before HTTP; nil where they put nothing there.
	Door *link.Door
	// Drain tells when to stop.
	Drain *Drain
	// Closed is to be called once the class accepts no more connections.
	Closed func()
	// Files answers requests that are for files; nil has none.
	Files Files
	// Log is the worker's log.
	Log *slog.Logger
}
