package arbiter

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"

	"github.com/appserver-go/appserver/internal/fault"
)

// What a person or a program may ask of a running arbiter. All of these may be called from any goroutine, wait until the
// arbiter's own goroutine has done it, and fail with ctx's cause or, once Run has ended, with a fault. Before Run has
// begun they wait for it.

// errEnded is what is told to those who come too late.
var errEnded = fault.New("", "the server has ended")

// do runs f in the arbiter's goroutine. When it returns nil, f has run.
func (a *Arbiter) do(ctx context.Context, f func()) error {
	ran := make(chan struct{})
	call := func() { f(); close(ran) }
	select {
	case a.calls <- call:
		<-ran // soon: the loop waits for nobody
		return nil
	case <-a.done:
		return errEnded
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Status returns what the arbiter and its workers are doing.
func (a *Arbiter) Status(ctx context.Context) (*Status, error) {
	var s *Status
	err := a.do(ctx, func() { s = a.status() })
	return s, err
}

// Reload does what SIGHUP does and waits until all workers are replaced, or returns the *fault.Error why not. One that is
// asked for while another is under way waits for its turn. When ctx ends, the reload goes on.
func (a *Arbiter) Reload(ctx context.Context) error {
	outcome := make(chan error, 1)
	if err := a.do(ctx, func() { a.requestReload(outcome) }); err != nil {
		return err
	}
	return await(ctx, outcome)
}

// maxWorkers bounds Scale as the workers setting is bounded.
const maxWorkers = 4096

// Scale changes the number of workers by n, or to n where absolute says so, and returns the new number, which holds from
// now on although workers may still boot or drain. Like TTOU it leaves one worker at least; WINCH and Drain do not. The
// number survives reloads until the workers setting changes.
func (a *Arbiter) Scale(ctx context.Context, n int, absolute bool) (int, error) {
	var failed error
	err := a.do(ctx, func() {
		target := n
		if !absolute {
			target += len(a.slots)
		}
		switch {
		case a.mayChange() != nil:
			failed = a.mayChange()
		case target > maxWorkers || absolute && target < 1:
			failed = fault.New("it may be 1 to 4096", "%d is no number of workers to have", target)
		default:
			n = max(target, min(len(a.slots), 1))
			a.rescale(n)
		}
	})
	if err == nil {
		err = failed
	}
	return n, err
}

// ReopenLogs does what SIGUSR1 does. An error is that of the arbiter's own files; workers log theirs.
func (a *Arbiter) ReopenLogs(ctx context.Context) error {
	var failed error
	if err := a.do(ctx, func() { failed = a.reopenLogs() }); err != nil {
		return err
	}
	return failed
}

// Renew replaces the secrets of the present generation, in its workers and for those to come. It is for certificates and
// keys that change while nothing else does. Where the present secrets are not the old ones, a reload was faster, and has
// read what there is by itself: nothing is done then.
func (a *Arbiter) Renew(ctx context.Context, old, secrets json.RawMessage) error {
	if err := fitSecrets(secrets); err != nil {
		return err
	}
	return a.do(ctx, func() {
		if old == nil || !bytes.Equal(a.gen.secrets, old) {
			return
		}
		a.gen.secrets = secrets
		for _, w := range a.workers {
			if w.spec.gen == a.gen && w.state >= booted && !w.reaped {
				w.send(secretsMessage(secrets))
			}
		}
	})
}

// Drain does what SIGWINCH does to a server that has no terminal: all workers finish and exit, the sockets stay open, and
// connections wait until Scale or Reload brings workers back. It does not wait for the workers.
func (a *Arbiter) Drain(ctx context.Context) error {
	var failed error
	err := a.do(ctx, func() {
		if failed = a.mayChange(); failed == nil {
			a.rescale(0)
		}
	})
	if err == nil {
		err = failed
	}
	return err
}

// Stop does what SIGTERM does, or SIGINT if quick. It returns when the halt has begun; Run returns at its end.
func (a *Arbiter) Stop(ctx context.Context, quick bool) error {
	return a.do(ctx, func() { a.stop(quick, "command") })
}

// Kill ends a worker and with it the requests that it has: the arbiter sends it SIGKILL and replaces it as one that died.
func (a *Arbiter) Kill(ctx context.Context, pid int) error {
	var failed error
	err := a.do(ctx, func() {
		i := slices.IndexFunc(a.workers, func(w *worker) bool { return w.pid == pid && !w.reaped })
		if i < 0 {
			failed = fault.New("see the status for the process ids of workers", "there is no worker with process id %d", pid)
			return
		}
		w := a.workers[i]
		w.log.Info("Killing worker", "reason", "command")
		w.murdered, w.ending = w.state == ready, EndedKilled
		w.kill("killed by command")
	})
	if err == nil {
		err = failed
	}
	return err
}

// Upgrade executes a new arbiter as SIGUSR2 does and waits until it is ready, or returns the *fault.Error why it is not.
// With auto this arbiter then retires by itself, whatever Settings.AutoUpgrade says. When ctx ends, the upgrade goes on.
func (a *Arbiter) Upgrade(ctx context.Context, auto bool) error {
	outcome := make(chan error, 1)
	if err := a.do(ctx, func() { a.requestUpgrade(auto, outcome) }); err != nil {
		return err
	}
	return await(ctx, outcome)
}

// await waits for the outcome of what the loop has begun.
func await(ctx context.Context, outcome <-chan error) error {
	select {
	case err := <-outcome:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
