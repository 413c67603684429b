package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/appserver-go/appserver/host/engine/rewrite"
)

// CheckpointExport is what a command exports, of whatever kind, that has its checkpoint where it calls sched_yield: all
// that it has asked the host for by then is its own, and what belongs to a request it asks for afterwards.
const CheckpointExport = "appserver_checkpoint"

// Command is the function that a command exports, for Suspend.
const Command = "_start"

// run is the running of a command that every call goes on with from the same point, its checkpoint: in the middle of
// _start, with all that is on the stack. Wazero can take a copy of the stack and go on with it once, so each call begins
// by taking the next.
//
//	Suspend                              Call
//	  _start                               _start
//	    checkpoint(BeforeStart) = 0          checkpoint(BeforeStart): goes on with the copy, as if the checkpoint had returned 1
//	    ...                                  checkpoint(BeforeCall), since it returned 1: takes a copy; = 0
//	    checkpoint(BeforeCall):              environ_get
//	      takes a copy, ends the call        ...
type run struct {
	fn       api.Function
	yields   bool // the checkpoint is where the guest calls sched_yield
	snapshot experimental.Snapshot
	passed   bool // this call is behind the checkpoint
	taken    bool // the first copy was taken
}

// errCheckpoint ends a command's first call.
var errCheckpoint = errors.New("the guest has reached its checkpoint")

// ErrNoCheckpoint is why a command cannot be suspended: it would have to begin anew each time.
var ErrNoCheckpoint = errors.New("the guest has no checkpoint")

// Suspend runs a command, once it has been instantiated, to its checkpoint, and makes the image of the instance there. From
// then on Resume goes on from the checkpoint, if Reset was called in between, and Rename to give it a request of its own.
// The checkpoint is the guest's first call of the host that can tell one run from another: for arguments, environment,
// clock, randomness, input, output or files. What the guest has done until then is the same each time, so that it makes
// no difference but in time. A module that exports CheckpointExport is taken at its word, and goes on to where it calls
// sched_yield. Errors are those of Capture, a *Trap, or wrap ErrNoCheckpoint; the instance must be closed then.
func (i *Instance) Suspend(ctx context.Context, m *Module) (*Image, error) {
	if !m.checkpoints {
		return nil, ErrNoCheckpoint
	}
	_, yields := m.Export(CheckpointExport)
	i.run = &run{fn: i.Function(Command), yields: yields}
	err := i.Call(ctx, i.run.fn, nil)
	switch {
	case i.lost:
		return nil, fmt.Errorf("%w: it closes a standard stream or a directory before", ErrNoCheckpoint)
	case errors.Is(err, errCheckpoint):
	case err == nil, asKind(err) == KindExit:
		return nil, fmt.Errorf("%w: it ends before", ErrNoCheckpoint)
	default:
		return nil, err
	}
	i.broken = false
	return i.Capture(m, 0)
}

// asKind returns the kind of a trap.
func asKind(err error) TrapKind {
	var t *Trap
	if !errors.As(err, &t) {
		return -1
	}
	return t.Kind
}

// Resume goes on from the checkpoint of Suspend. Errors are those of Call; a command that ends as it should returns nil or
// a *Trap of KindExit.
func (i *Instance) Resume(ctx context.Context) error { return i.Call(ctx, i.run.fn, nil) }

// checkpoint is called by a command before it begins and before it calls the host. What it returns is left on the stack.
func (e *Engine) checkpoint(ctx context.Context, mod api.Module, stack []uint64) {
	kind := uint32(stack[0])
	stack[0] = 0
	i := e.instanceOf(ctx, mod)
	if i.run == nil || i.run.passed {
		return
	}
	r := i.run
	switch {
	case kind == rewrite.BeforeStart && r.snapshot != nil:
		s := r.snapshot
		r.snapshot = nil
		s.Restore([]uint64{1}) // does not return
	case kind == rewrite.BeforeStart:
	case r.taken:
		r.snapshot, r.passed = experimental.GetSnapshotter(ctx).Snapshot(), true
	case r.yields == (kind == rewrite.BeforeYield):
		r.snapshot, r.taken, r.passed = experimental.GetSnapshotter(ctx).Snapshot(), true, true
		panic(errCheckpoint)
	}
}
