package workers

import (
	"sync"
	"time"
)

// Order says how to drain.
type Order struct {
	// Grace is the time until what is unfinished is cut off, from now on.
	Grace time.Duration
	// Final says that nobody accepts after this worker: it serves what waits in the listeners' queues as well.
	Final bool
	// CloseIdle closes idle connections at once instead of waiting for their next request. It is for a worker whose
	// arbiter is gone, which nobody waits for.
	CloseIdle bool
}

// Drain is the end of a worker's life: who orders it and who carries it out meet here. Its methods may be called from
// any goroutine. The zero value is not usable; see NewDrain.
type Drain struct {
	begun, closeIdle, cut chan struct{}

	mu       sync.Mutex
	final    bool
	deadline time.Time
	timer    *time.Timer
}

// NewDrain returns a drain that has not begun.
func NewDrain() *Drain {
	return &Drain{begun: make(chan struct{}), closeIdle: make(chan struct{}), cut: make(chan struct{})}
}

// Begin orders the drain. Later orders add to the first: the earliest end of grace counts, so a quick one can follow a
// patient one. Final comes too late once the listeners are closed.
func (d *Drain) Begin(o Order) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.final = d.final || o.Final
	if o.CloseIdle {
		closeOnce(d.closeIdle)
	}
	deadline := time.Now().Add(o.Grace)
	switch {
	case d.timer == nil:
		d.deadline = deadline
		d.timer = time.AfterFunc(o.Grace, d.end)
	case deadline.Before(d.deadline):
		d.deadline = deadline
		d.timer.Reset(o.Grace)
	}
	closeOnce(d.begun)
}

// end marks the end of grace. The timer may run it twice when Reset comes late.
func (d *Drain) end() {
	d.mu.Lock()
	defer d.mu.Unlock()
	closeOnce(d.cut)
}

func closeOnce(c chan struct{}) {
	select {
	case <-c:
	default:
		close(c)
	}
}

// Begun returns a channel that is closed by the first Begin.
func (d *Drain) Begun() <-chan struct{} { return d.begun }

// CloseIdle returns a channel that is closed when idle connections are to be closed.
func (d *Drain) CloseIdle() <-chan struct{} { return d.closeIdle }

// Cut returns a channel that is closed when the grace has ended.
func (d *Drain) Cut() <-chan struct{} { return d.cut }

// Final reports whether an order so far was final.
func (d *Drain) Final() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.final
}

// stop releases the timer.
func (d *Drain) stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
	}
}
