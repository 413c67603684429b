package workers

import (
	"context"
	"sync"
	"time"

	"github.com/appserver-go/appserver/exchange"
)

// requestContext is the context of a request: it ends at the deadline, with the base context, or when the request is
// over. The standard library's would cost a timer, a place among the base's children and several allocations for every
// request. This one makes them when somebody asks for Done, which guests that are called and return do not, and is used
// again for the next request unless somebody did. Handlers must not use it after they have returned.
//
// The lock is for goroutines that a handler left behind: they then see the context of a later request, or its end.
type requestContext struct {
	base context.Context

	mu       sync.Mutex
	exchange *exchange.Exchange // until the request is over
	deadline time.Time          // zero for none
	over     bool
	err      error
	done     chan struct{} // nil until asked for
	timer    *time.Timer
	unwatch  func() bool // stops watching base
}

// contexts are the requestContexts of a Service that wait to be used again.
type contexts struct{ pool sync.Pool }

// get returns a context for an exchange that ends with base and at the deadline; the zero time is none.
func (p *contexts) get(base context.Context, x *exchange.Exchange, deadline time.Time) *requestContext {
	c, ok := p.pool.Get().(*requestContext)
	if !ok {
		c = &requestContext{}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.base, c.exchange, c.deadline, c.over, c.err = base, x, deadline, false, nil
	return c
}

// put ends a context with its request.
func (p *contexts) put(c *requestContext) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over, c.exchange = true, nil
	if c.done == nil {
		p.pool.Put(c)
		return
	}
	c.end(context.Canceled)
}

// cancel ends a context before its time, unless its request is over.
func (c *requestContext) cancel() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.over {
		c.end(context.Canceled)
	}
}

// end closes done. The caller holds mu.
func (c *requestContext) end(err error) {
	if c.err != nil {
		return
	}
	c.err = err
	if c.timer != nil {
		c.timer.Stop()
	}
	if c.unwatch != nil {
		c.unwatch()
	}
	if c.done != nil {
		close(c.done)
	}
}

// Deadline implements context.Context.
func (c *requestContext) Deadline() (time.Time, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.deadline, !c.deadline.IsZero()
}

// Done implements context.Context.
func (c *requestContext) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done != nil {
		return c.done
	}
	c.done = make(chan struct{})
	if c.check(); c.err != nil {
		close(c.done)
		return c.done
	}
	if !c.deadline.IsZero() {
		c.timer = time.AfterFunc(time.Until(c.deadline), func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.end(context.DeadlineExceeded)
		})
	}
	base := c.base
	c.unwatch = context.AfterFunc(base, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.end(base.Err())
	})
	return c.done
}

// Err implements context.Context.
func (c *requestContext) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil && c.done == nil {
		c.check()
	}
	return c.err
}

// check looks at what nobody watches. The caller holds mu.
func (c *requestContext) check() {
	switch {
	case c.over:
		c.err = context.Canceled
	case c.base.Err() != nil:
		c.err = c.base.Err()
	case !c.deadline.IsZero() && !time.Now().Before(c.deadline):
		c.err = context.DeadlineExceeded
	}
}

// Value implements context.Context. It is how context.Cause finds the cause with which base ended.
func (c *requestContext) Value(key any) any {
	c.mu.Lock()
	base, x := c.base, c.exchange
	c.mu.Unlock()
	if _, ok := key.(exchange.ContextKey); ok && x != nil {
		return x
	}
	return base.Value(key)
}
