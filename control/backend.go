package control

import (
	"context"
	"errors"
)

// Backend is the server behind the socket. Methods are called from any number of goroutines at once and must return
// when ctx is done, which is when the client went away or the socket closes; what was begun goes on. Errors with a
// hint are *fault.Error; those that wrap ErrConflict or ErrNotFound get a status of their own.
type Backend interface {
	// Status takes a snapshot.
	Status(ctx context.Context) (*Status, error)
	// Config returns the settings in force.
	Config(ctx context.Context) ([]Setting, error)
	// Reload makes a new generation and returns when it serves, or why it does not.
	Reload(ctx context.Context) (Reloaded, error)
	// Upgrade starts a new arbiter and returns when it is ready, or why it is not.
	Upgrade(ctx context.Context, u Upgrade) (Upgraded, error)
	// Scale changes the number of workers. The request was checked: one field is set, and Workers is at least 1.
	Scale(ctx context.Context, s Scale) (Scaled, error)
	// Reopen reopens the log files.
	Reopen(ctx context.Context) error
	// Drain ends all workers after their requests and keeps the sockets.
	Drain(ctx context.Context) error
	// Stop begins to shut down and does not wait for the end of it.
	Stop(ctx context.Context, s Stop) error
	// Kill kills a worker.
	Kill(ctx context.Context, pid int) error
}

// ErrConflict says that the server cannot do this now: it is reloading or going down.
var ErrConflict = errors.New("not now")

// ErrNotFound says that there is no such worker.
var ErrNotFound = errors.New("no such worker")
