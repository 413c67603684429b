package hooks

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"
)

const (
	maxRunning = 4
	maxQueued  = 256
)

// Options is what a Runner works with.
type Options struct {
	// Commands are command lines for the shell, by the names of the events.
	Commands map[string]string
	// Timeout bounds each command.
	Timeout time.Duration
	// Env is the environment of the commands.
	Env []string
	// Log gets what the commands write and how they end. It must not block.
	Log *slog.Logger
}

// Runner runs commands. Its methods may be called from any goroutine.
type Runner struct {
	log *slog.Logger

	mu       sync.Mutex
	env      []string
	commands map[string]string
	timeout  time.Duration
	queue    []task          // not begun, oldest first
	busy     map[string]bool // keys of those that run
	running  int
	dropped  int // since the last record about it
	closed   bool

	tasks  sync.WaitGroup
	ctx    context.Context // of the helpers; ends when Close loses patience
	cancel context.CancelFunc
}

// task is a command that waits or runs.
type task struct {
	name, key string
	job       job
}

// New returns a Runner. Close must be called at its end.
func New(o Options) *Runner {
	r := &Runner{env: o.Env, log: o.Log, busy: map[string]bool{}}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	r.Update(o.Commands, o.Timeout)
	return r
}

// Update changes the commands and their time limit, for events that are yet to come.
func (r *Runner) Update(commands map[string]string, timeout time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.commands, r.timeout = maps.Clone(commands), timeout
}

// SetEnv changes the environment of the commands, for those that are not running yet.
func (r *Runner) SetEnv(env []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.env = env
}

func (r *Runner) environ() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.env
}

// Wants reports whether a command is attached to the event, so that others need not be made.
func (r *Runner) Wants(name string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.commands[name] != ""
}

// Run queues the command of an event, if it has one, and returns at once. Event is what the command reads. Commands with
// the same key, which names what the event happened to, never run at the same time.
func (r *Runner) Run(name, key string, event []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	command := r.commands[name]
	switch {
	case command == "" || r.closed:
		return
	case len(r.queue) >= maxQueued:
		if r.dropped++; r.dropped == 1 {
			r.log.Warn("Too many hooks wait, dropping some", "hook", name, "waiting", len(r.queue))
		}
		return
	}
	r.queue = append(r.queue, task{name: name, key: key, job: job{Command: command, Timeout: r.timeout, Event: event}})
	r.dispatch()
}

// dispatch starts what may run now; the caller holds the lock.
func (r *Runner) dispatch() {
	for r.running < maxRunning {
		i := slices.IndexFunc(r.queue, func(t task) bool { return !r.busy[t.key] })
		if i < 0 {
			break
		}
		t := r.queue[i]
		r.queue = slices.Delete(r.queue, i, i+1)
		r.running++
		r.busy[t.key] = true
		r.tasks.Go(func() {
			r.execute(t)
			r.finished(t)
		})
	}
	if r.dropped > 0 && len(r.queue) < maxQueued/2 {
		r.log.Warn("Hooks were dropped", "dropped", r.dropped)
		r.dropped = 0
	}
}

func (r *Runner) finished(t task) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.running--
	delete(r.busy, t.key)
	r.dispatch()
}

// Close waits for the commands that are queued and running, but no longer than the time limit of one; then it drops and
// kills the rest. Events that come later are ignored. It is idempotent.
func (r *Runner) Close() {
	r.mu.Lock()
	r.closed = true
	timeout := r.timeout
	r.mu.Unlock()
	late := time.AfterFunc(timeout+killGrace, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if n := len(r.queue); n > 0 {
			r.log.Warn("No time is left for these hooks", "dropped", n)
		}
		r.queue = nil
		r.cancel()
	})
	defer late.Stop()
	r.tasks.Wait()
	r.cancel()
}
