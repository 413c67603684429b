package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/appserver-go/appserver/arbiter"
	"github.com/appserver-go/appserver/config"
	"github.com/appserver-go/appserver/control"
	"github.com/appserver-go/appserver/internal/fault"
)

// backend is the arbiter as the control socket sees it.
type backend struct {
	arbiter *arbiter.Arbiter
	desk    *desk
}

var _ control.Backend = (*backend)(nil)

// Status translates the arbiter's.
func (b *backend) Status(ctx context.Context) (*control.Status, error) {
	st, err := b.arbiter.Status(ctx)
	if err != nil {
		return nil, b.explain(ctx, err)
	}
	cfg, now := &b.desk.inForce().Config, time.Now()
	out := &control.Status{
		App: appName(cfg), Guest: cfg.Serves(), Version: ownVersion(), PID: st.PID, State: serverState(st), Stage: st.Reloading,
		Generation: st.Generation, Now: now, Started: st.Started, Uptime: now.Sub(st.Started).Seconds(), Sockets: st.Sockets,
		Predecessor: st.Predecessor, Target: st.Target, Ready: st.Ready, RSS: ownRSS(), Workers: make([]control.Worker, len(st.Workers)),
	}
	if last := st.LastReload; last != nil {
		out.Reload = &control.Reload{
			At: last.Ended, Took: last.Took.Seconds(), Generation: last.Generation, Error: last.Error, Hint: last.Hint,
		}
	}
	if u := st.Upgrade; u != nil {
		out.Successor = &control.Successor{PID: u.PID, Stage: u.Stage, Auto: u.Auto, Age: now.Sub(u.Began).Seconds()}
	}
	if last := st.LastUpgrade; last != nil {
		out.Upgrade = upgradedOf(last)
	}
	for i := range st.Workers {
		out.Workers[i] = workerOf(&st.Workers[i], now)
	}
	slices.SortStableFunc(out.Workers, func(a, b control.Worker) int { return a.Slot - b.Slot })
	return out, nil
}

// serverState says in a word what the server is doing.
func serverState(st *arbiter.Status) string {
	switch {
	case st.Halting:
		return "stopping"
	case st.Upgrade != nil && st.Upgrade.Stage == "retiring":
		return "retiring"
	case st.Reloading != "":
		return "reloading"
	case st.Target == 0:
		return "draining"
	case !st.Announced:
		return "starting"
	default:
		return "serving"
	}
}

func workerOf(w *arbiter.WorkerStatus, now time.Time) control.Worker {
	out := control.Worker{
		PID: w.PID, Slot: w.Slot, Number: w.Age, Generation: w.Generation, State: w.State, Stage: w.Stage, Canary: w.Canary,
		Retiring: w.Retiring, Age: now.Sub(w.Spawned).Seconds(), Threads: w.Threads, Busy: len(w.Busy), Queued: w.Queued, WebSockets: w.WebSockets,
		Conns: w.Connections, Requests: w.Requests, Errors: w.ServerFails, Traps: w.Traps, Timeouts: w.Timeouts,
		Refused: w.Refused, LogDrops: w.LogDrops, RSS: w.Memory, InFlight: make([]control.Request, len(w.Busy)),
	}
	for i, r := range w.Busy {
		out.InFlight[i] = control.Request{
			Worker: w.PID, Slot: w.Slot, Row: r.Row, ID: r.ID, Method: r.Method, Path: r.Path, Host: r.Host, Remote: r.RemoteAddr,
			Age: r.Age.Seconds(),
		}
	}
	return out
}

// Config lists the settings of the present generation.
func (b *backend) Config(context.Context) ([]control.Setting, error) {
	loaded := b.desk.inForce()
	var all []control.Setting
	for _, s := range config.Settings() {
		value := s.Get(&loaded.Config)
		switch v := value.(type) {
		case time.Duration:
			value = config.FormatDuration(v)
		case fmt.Stringer: // sizes and modes
			value = v.String()
		}
		all = append(all, control.Setting{Key: s.Key, Value: value, Source: loaded.Sources[s.Key].String()})
	}
	for _, a := range config.Arrays() {
		if items := a.Get(&loaded.Config); len(items) > 0 {
			all = append(all, control.Setting{Key: a.Key, Value: items, Source: loaded.Sources[a.Key].String()})
		}
	}
	return all, nil
}

// Reload waits until the new generation serves.
func (b *backend) Reload(ctx context.Context) (control.Reloaded, error) {
	if err := b.arbiter.Reload(ctx); err != nil {
		return control.Reloaded{}, b.explain(ctx, err)
	}
	st, err := b.arbiter.Status(ctx)
	if err != nil {
		return control.Reloaded{}, b.explain(ctx, err)
	}
	return control.Reloaded{Generation: st.Generation}, nil
}

// Upgrade waits until the new arbiter is ready.
func (b *backend) Upgrade(ctx context.Context, u control.Upgrade) (control.Upgraded, error) {
	if err := b.arbiter.Upgrade(ctx, !u.Keep); err != nil {
		return control.Upgraded{}, b.explain(ctx, err)
	}
	st, err := b.arbiter.Status(ctx)
	if err != nil || st.LastUpgrade == nil {
		return control.Upgraded{}, b.explain(ctx, err)
	}
	return *upgradedOf(st.LastUpgrade), nil
}

func upgradedOf(u *arbiter.UpgradeResult) *control.Upgraded {
	return &control.Upgraded{At: u.Ended, Took: u.Took.Seconds(), PID: u.PID, Error: u.Error, Hint: u.Hint}
}

// Scale changes the number of workers.
func (b *backend) Scale(ctx context.Context, s control.Scale) (control.Scaled, error) {
	st, err := b.arbiter.Status(ctx)
	if err != nil {
		return control.Scaled{}, b.explain(ctx, err)
	}
	n := s.Workers
	if n == nil {
		n = s.By
	}
	to, err := b.arbiter.Scale(ctx, *n, s.Workers != nil)
	if err != nil {
		return control.Scaled{}, b.explain(ctx, err)
	}
	return control.Scaled{From: st.Target, To: to}, nil
}

// Reopen reopens the log files.
func (b *backend) Reopen(ctx context.Context) error { return b.explain(ctx, b.arbiter.ReopenLogs(ctx)) }

// Drain ends all workers and keeps the sockets.
func (b *backend) Drain(ctx context.Context) error { return b.explain(ctx, b.arbiter.Drain(ctx)) }

// Stop begins to shut down.
func (b *backend) Stop(ctx context.Context, s control.Stop) error {
	return b.explain(ctx, b.arbiter.Stop(ctx, s.Quick))
}

// Kill kills a worker.
func (b *backend) Kill(ctx context.Context, pid int) error {
	st, err := b.arbiter.Status(ctx)
	if err != nil {
		return b.explain(ctx, err)
	}
	if !slices.ContainsFunc(st.Workers, func(w arbiter.WorkerStatus) bool { return w.PID == pid }) {
		return fault.New("`appserver status` lists them", "process %d: %w", pid, control.ErrNotFound)
	}
	return b.explain(ctx, b.arbiter.Kill(ctx, pid))
}

// explain makes a conflict of what a server refuses because it goes down.
func (b *backend) explain(ctx context.Context, err error) error {
	if err == nil || ctx.Err() != nil {
		return err
	}
	if st, statusErr := b.arbiter.Status(ctx); statusErr == nil && !st.Halting {
		return err
	}
	return fault.New("", "%w: %w", control.ErrConflict, err)
}

// ownRSS returns the resident memory of this process in bytes, 0 if it is not known.
func ownRSS() int64 {
	var size, resident int64
	data, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	if _, err := fmt.Sscan(string(data), &size, &resident); err != nil {
		return 0
	}
	return resident * int64(os.Getpagesize())
}
