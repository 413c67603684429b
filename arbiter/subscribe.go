package arbiter

import (
	"sync"
	"time"
)

// EventName names something that happens in a server's life, with the names of gunicorn's hooks where it has one.
type EventName string

// The events. Those about one worker have PID (0 before it exists), Age, Slot and Generation.
const (
	OnStarting      EventName = "on_starting"      // the arbiter begins, before the first worker
	WhenReady       EventName = "when_ready"       // as many workers are ready as a server that serves needs
	OnReload        EventName = "on_reload"        // a reload's new generation is good and replaces the old one
	ReloadFailed    EventName = "reload_failed"    // a reload came to nothing, for the Reason; not in gunicorn
	NworkersChanged EventName = "nworkers_changed" // there are to be Workers, not OldWorkers
	PreFork         EventName = "pre_fork"         // a worker is about to be started
	PostWorkerInit  EventName = "post_worker_init" // a worker is ready
	WorkerInt       EventName = "worker_int"       // a worker is told to finish and exit
	WorkerAbort     EventName = "worker_abort"     // a worker is aborted, for the Reason
	WorkerExit      EventName = "worker_exit"      // a worker's process has ended, for the Reason
	ChildExit       EventName = "child_exit"       // the arbiter has taken in all that it left behind
	PreExec         EventName = "pre_exec"         // a new binary is about to be executed
	UpgradeReady    EventName = "upgrade_ready"    // the new arbiter NewPID is ready; not in gunicorn
	UpgradeFailed   EventName = "upgrade_failed"   // an upgrade came to nothing, for the Reason; not in gunicorn
	Promoted        EventName = "promoted"         // the old arbiter is gone and this one takes its place; not in gunicorn
	OnExit          EventName = "on_exit"          // the arbiter ends, after the last worker
)

// Event is one thing that happened.
type Event struct {
	Name       EventName `json:"event"`
	Time       time.Time `json:"time"`
	PID        int       `json:"pid,omitempty"` // the worker's
	Age        uint64    `json:"age,omitempty"` // counts the workers ever started, from 1
	Slot       int       `json:"slot"`          // meaningless where Age is 0
	Generation uint64    `json:"generation"`
	Workers    int       `json:"workers,omitempty"`
	OldWorkers int       `json:"old_workers,omitempty"`
	NewPID     int       `json:"new_pid,omitempty"` // of the new arbiter
	Reason     string    `json:"reason,omitempty"`  // why, in words for a log
}

// hub passes events on to subscribers.
type hub struct {
	mu     sync.Mutex
	subs   map[*Subscription]bool
	closed bool
}

// Subscription is a stream of events from the moment of Arbiter.Subscribe.
type Subscription struct {
	hub     *hub
	c       chan Event
	dropped int
}

// Subscribe returns a stream of all events from now on, of which up to buffer (at least 1) may wait to be read. The
// arbiter waits for nobody: of what comes while the buffer is full, Dropped keeps the number. It may be called from any
// goroutine, before Run too.
func (a *Arbiter) Subscribe(buffer int) *Subscription {
	s := &Subscription{hub: &a.hub, c: make(chan Event, max(buffer, 1))}
	a.hub.mu.Lock()
	defer a.hub.mu.Unlock()
	if a.hub.closed {
		close(s.c)
		return s
	}
	if a.hub.subs == nil {
		a.hub.subs = map[*Subscription]bool{}
	}
	a.hub.subs[s] = true
	return s
}

// C returns the channel of the events. It is closed after the last event and by Close.
func (s *Subscription) C() <-chan Event { return s.c }

// Dropped returns how many events did not fit the buffer so far.
func (s *Subscription) Dropped() int {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	return s.dropped
}

// Close ends the stream. Closing it again does nothing.
func (s *Subscription) Close() {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	if s.hub.subs[s] {
		delete(s.hub.subs, s)
		close(s.c)
	}
}

// emit sends an event to all subscribers. Only the arbiter's goroutine calls it.
func (a *Arbiter) emit(e Event) {
	e.Time = time.Now()
	if e.Generation == 0 {
		e.Generation = a.gen.number
	}
	a.hub.mu.Lock()
	defer a.hub.mu.Unlock()
	for s := range a.hub.subs {
		select {
		case s.c <- e:
		default:
			s.dropped++
		}
	}
}

// emitWorker is emit for an event about a worker.
func (a *Arbiter) emitWorker(name EventName, w *worker, reason string) {
	a.emit(Event{Name: name, PID: w.pid, Age: w.spec.age, Slot: w.spec.slot, Generation: w.spec.gen.number, Reason: reason})
}

// close ends all streams.
func (h *hub) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for s := range h.subs {
		close(s.c)
	}
	h.subs = nil
}
