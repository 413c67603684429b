package workers

import (
	"container/list"
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"time"
)

// ErrQueueFull means that a request found all slots busy and the queue full.
var ErrQueueFull = errors.New("every slot is busy and the queue is full")

// ErrQueueTimeout means that a request waited too long for a slot.
var ErrQueueTimeout = errors.New("no slot came free in time")

// Slots hands out a worker's slots, the places in which a request may run a guest. Requests that find none wait in a
// bounded queue, first come, first served. Its methods may be called from any goroutine.
type Slots struct {
	size   int // how many slots there are
	limit  int // of the queue
	queued func(delta int)

	mu    sync.Mutex
	free  []*Claim  // a stack: the slot used last has the warmest guest
	queue list.List // of *Claim

	granted []*Claim // by slot: what is returned for one that is free, to be used again
}

// Claim is a request for a slot.
type Claim struct {
	slots *Slots
	slot  int           // valid once granted
	ready chan struct{} // closed when granted; nil if that was at once
	place *list.Element // in the queue; nil when out of it
}

// NewSlots makes n slots with a queue for limit requests. queued, which may be nil, is told of changes of the
// queue's length.
func NewSlots(n, limit int, queued func(delta int)) *Slots {
	s := &Slots{limit: limit, queued: queued}
	if queued == nil {
		s.queued = func(int) {}
	}
	s.size = n
	for i := n - 1; i >= 0; i-- {
		s.free = append(s.free, &Claim{slots: s, slot: i})
	}
	s.granted = slices.Clone(s.free)
	slices.Reverse(s.granted)
	return s
}

// Claim asks for a slot without waiting. It fails with ErrQueueFull.
func (s *Slots) Claim() (*Claim, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.free); n > 0 {
		c := s.free[n-1]
		s.free = s.free[:n-1]
		return c, nil
	}
	if s.queue.Len() >= s.limit {
		return nil, ErrQueueFull
	}
	c := &Claim{slots: s, ready: make(chan struct{})}
	c.place = s.queue.PushBack(c)
	s.queued(1)
	return c, nil
}

// waits reports whether Wait may have to wait.
func (c *Claim) waits() bool { return c.ready != nil }

// Wait waits until the claim is granted and returns the slot, which must be given back with Release. It gives up with
// ErrQueueTimeout after timeout, 0 meaning never, and with the context's cause.
func (c *Claim) Wait(ctx context.Context, timeout time.Duration) (int, error) {
	if c.ready == nil {
		return c.slot, nil
	}
	var late <-chan time.Time
	if timeout > 0 {
		t := time.NewTimer(timeout)
		defer t.Stop()
		late = t.C
	}
	err := ErrQueueTimeout
	select {
	case <-c.ready:
		return c.slot, nil
	case <-late:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	s := c.slots
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.place == nil {
		return c.slot, nil // granted in the meantime
	}
	s.queue.Remove(c.place)
	s.queued(-1)
	return 0, err
}

// Release gives a slot back: to the first in the queue, or to the free ones.
func (s *Slots) Release(slot int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := s.queue.Front()
	if first == nil {
		s.free = append(s.free, s.granted[slot])
		return
	}
	c, _ := s.queue.Remove(first).(*Claim)
	c.place, c.slot = nil, slot
	s.queued(-1)
	close(c.ready)
}

// Free returns the number of slots without a request.
func (s *Slots) Free() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.free)
}

// LiftLimit lets any number of requests wait from now on: those that a draining worker has accepted cannot go elsewhere.
func (s *Slots) LiftLimit() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limit = math.MaxInt
}

// Busy returns the number of slots with a request.
func (s *Slots) Busy() int { return s.size - s.Free() }

// Waiting returns the number of requests that wait for a slot.
func (s *Slots) Waiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.queue.Len()
}
