package engine

import (
	"context"
	"errors"
	"sync"
)

// ErrPoolClosed is what Get returns once the pool is closed.
var ErrPoolClosed = errors.New("pool is closed")

// Pool is a bounded stack of reusable values, such as instances. Get hands out the value returned last, whose memory
// is warm in the processor's caches; the ones that are never needed stay untouched. It is safe for concurrent use.
type Pool[T any] struct {
	places chan struct{} // holds one token for each place that is neither taken nor being filled
	create func(context.Context) (T, error)
	drop   func(T)

	mu     sync.Mutex
	idle   []T // the top is the last element
	closed bool
	done   chan struct{} // closed by Close
}

// NewPool makes a pool of at most size values. Create makes a value; drop releases one and runs on the goroutine that
// calls Discard, Put or Close.
func NewPool[T any](size int, create func(context.Context) (T, error), drop func(T)) *Pool[T] {
	p := &Pool[T]{
		places: make(chan struct{}, size),
		create: create, drop: drop,
		done: make(chan struct{}),
	}
	for range size {
		p.places <- struct{}{}
	}
	return p
}

// Get returns the value put back last, else a new one if fewer than size exist, else it waits for one until ctx is
// done. Errors are those of create, of ctx, or ErrPoolClosed.
func (p *Pool[T]) Get(ctx context.Context) (T, error) {
	var none T
	select {
	case <-p.places:
	default:
		select {
		case <-p.places:
		case <-ctx.Done():
			return none, context.Cause(ctx)
		case <-p.done:
			return none, ErrPoolClosed
		}
	}
	v, ok, err := p.take()
	if ok || err != nil {
		return v, err
	}
	v, err = p.create(ctx)
	if err != nil {
		p.places <- struct{}{}
		return none, err
	}
	return v, nil
}

// take pops an idle value. The caller holds a token; take gives it back when the pool is closed.
func (p *Pool[T]) take() (v T, ok bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		p.places <- struct{}{}
		return v, false, ErrPoolClosed
	}
	n := len(p.idle)
	if n == 0 {
		return v, false, nil
	}
	var none T
	v, p.idle[n-1] = p.idle[n-1], none
	p.idle = p.idle[:n-1]
	return v, true, nil
}

// Put gives a value back for reuse. In a closed pool it is dropped.
func (p *Pool[T]) Put(v T) {
	p.mu.Lock()
	closed := p.closed
	if !closed {
		p.idle = append(p.idle, v)
	}
	p.mu.Unlock()
	if closed {
		p.drop(v)
	}
	p.places <- struct{}{}
}

// Add gives the pool a value that it has not made. There must be room for it.
func (p *Pool[T]) Add(v T) {
	<-p.places
	p.Put(v)
}

// Discard drops a value that must not be used again and frees its place.
func (p *Pool[T]) Discard(v T) {
	p.drop(v)
	p.places <- struct{}{}
}

// Forget frees the place of a value that is its taker's from now on.
func (p *Pool[T]) Forget() { p.places <- struct{}{} }

// Warm makes values until n exist that wait for a Get, or the pool is full. It stops at the first error.
func (p *Pool[T]) Warm(ctx context.Context, n int) error {
	var taken []T
	var failed error
	for range min(n, cap(p.places)) {
		v, err := p.Get(ctx)
		if err != nil {
			failed = err
			break
		}
		taken = append(taken, v)
	}
	for _, v := range taken {
		p.Put(v)
	}
	return failed
}

// Close drops the idle values, and makes Get fail and Put drop. It does not wait for values that are out. Calling it
// again does nothing.
func (p *Pool[T]) Close() {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return
	}
	p.closed = true
	idle := p.idle
	p.idle = nil
	close(p.done)
	p.mu.Unlock()
	for _, v := range idle {
		p.drop(v)
	}
}
