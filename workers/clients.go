package workers

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/internal/httprules"
)

// lookInterval is how often the clients of running requests are looked for. Requests that are faster cost nothing but
// their entry.
const lookInterval = 50 * time.Millisecond

// clients finds out that the client of a running request has gone, and interrupts the request when its grace is over. One
// goroutine looks after all slots, and sleeps while they are empty. Its methods may be called from any goroutine.
type clients struct {
	grace  time.Duration // 0: nobody looks
	places []place       // by slot
	asleep atomic.Bool
	wake   chan struct{}
}

// place is a slot as clients sees it.
type place struct {
	mu          sync.Mutex // so that a call is not over while it is looked at
	call        call
	ctx         *requestContext
	seen        bool      // it was there the last time
	gone        time.Time // when its client was found to be
	interrupted bool
}

func newClients(slots int, grace time.Duration) *clients {
	return &clients{grace: grace, places: make([]place, slots), wake: make(chan struct{}, 1)}
}

// enter notes that a call begins to run in a slot; leave must follow.
func (c *clients) enter(slot int, call call, ctx *requestContext) {
	if c.grace <= 0 {
		return
	}
	p := &c.places[slot]
	p.mu.Lock()
	p.call, p.ctx, p.seen, p.interrupted, p.gone = call, ctx, false, false, time.Time{}
	p.mu.Unlock()
	if c.asleep.Load() && c.asleep.CompareAndSwap(true, false) {
		c.wake <- struct{}{}
	}
}

// leave notes that a call has ended and reports whether it was interrupted for its client.
func (c *clients) leave(slot int) (interrupted bool) {
	if c.grace <= 0 {
		return false
	}
	p := &c.places[slot]
	p.mu.Lock()
	defer p.mu.Unlock()
	p.call, p.ctx = nil, nil
	return p.interrupted
}

// watch begins to look for clients. The function it returns ends that.
func (c *clients) watch() (stop func()) {
	if c.grace <= 0 {
		return func() {}
	}
	over, done := make(chan struct{}), make(chan struct{})
	go func() { // ends with stop, which waits
		defer close(done)
		c.look(over)
	}()
	return func() { close(over); <-done }
}

// look looks after the slots until over is closed.
func (c *clients) look(over <-chan struct{}) {
	tick := time.NewTicker(min(lookInterval, max(c.grace, time.Millisecond)))
	defer tick.Stop()
	for {
		select {
		case <-over:
			return
		case <-tick.C:
		}
		if c.all() {
			continue
		}
		c.asleep.Store(true)
		if c.all() && c.asleep.CompareAndSwap(true, false) { // a call that came before it could see
			continue
		}
		tick.Stop()
		select {
		case <-over:
			return
		case <-c.wake:
		}
		tick.Reset(min(lookInterval, max(c.grace, time.Millisecond)))
	}
}

// all looks at all slots once and reports whether any is taken.
func (c *clients) all() (taken bool) {
	for i := range c.places {
		taken = c.places[i].look(c.grace) || taken
	}
	return taken
}

// look looks for the client of the call in a slot, if it has been there for a while, and reports whether there is one.
func (p *place) look(grace time.Duration) (taken bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.call == nil {
		return false
	}
	switch {
	case !p.seen:
		p.seen = true
	case p.interrupted:
	case p.gone.IsZero():
		if p.call.Gone() {
			p.gone = time.Now()
		}
	case time.Since(p.gone) >= grace:
		p.interrupted = true
		p.ctx.cancel()
	}
	return true
}

// errClientGone makes the failure of a request whose client has gone, of the failure that interrupting it made, if any.
func errClientGone(err error) error {
	gone := exchange.Fail(httprules.StatusClientGone, exchange.Canceled, "the client has gone")
	var f *exchange.Failure
	if errors.As(err, &f) {
		gone.Running, gone.Stack = f.Running, f.Stack
	}
	return gone
}
