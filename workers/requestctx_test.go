package workers

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestRequestContextEnds(t *testing.T) {
	cause := errors.New("cause")
	for name, tt := range map[string]struct {
		end         func(p *contexts, c *requestContext, cut context.CancelCauseFunc)
		err, reason error
	}{
		"deadline": {func(*contexts, *requestContext, context.CancelCauseFunc) { time.Sleep(time.Second) }, context.DeadlineExceeded, context.DeadlineExceeded},
		"cut":      {func(_ *contexts, _ *requestContext, cut context.CancelCauseFunc) { cut(cause) }, context.Canceled, cause},
		"over":     {func(p *contexts, c *requestContext, _ context.CancelCauseFunc) { p.put(c) }, context.Canceled, context.Canceled},
	} {
		for _, watched := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				base, cut := context.WithCancelCause(context.Background())
				defer cut(nil)
				var p contexts
				c := p.get(base, nil, time.Now().Add(time.Second))
				if d, ok := c.Deadline(); !ok || !d.Equal(time.Now().Add(time.Second)) {
					t.Errorf("%s: deadline %v", name, d)
				}
				child, cancel := context.WithCancel(context.Background())
				defer cancel()
				if watched {
					child, cancel = context.WithCancel(c)
					defer cancel()
				}
				if c.Err() != nil {
					t.Errorf("%s: %v at the beginning", name, c.Err())
				}
				tt.end(&p, c, cut)
				synctest.Wait()
				if !errors.Is(c.Err(), tt.err) || !errors.Is(context.Cause(c), tt.reason) {
					t.Errorf("%s, watched %v: error %v, cause %v", name, watched, c.Err(), context.Cause(c))
				}
				if watched && !errors.Is(child.Err(), tt.err) {
					t.Errorf("%s: the child's error is %v", name, child.Err())
				}
				select {
				case <-c.Done():
				default:
					t.Errorf("%s, watched %v: Done is not closed", name, watched)
				}
			})
		}
	}
}

// A context that somebody may still wait for is not given to the next request; others cost nothing.
func TestRequestContextIsUsedAgain(t *testing.T) {
	base, cut := context.WithCancelCause(context.Background())
	defer cut(nil)
	var p contexts
	watched := p.get(base, nil, time.Time{})
	done := watched.Done()
	p.put(watched)
	select {
	case <-done:
	default:
		t.Error("Done is not closed at the request's end")
	}
	for range 100 {
		c := p.get(base, nil, time.Time{})
		if c == watched || c.Err() != nil {
			t.Fatalf("a used context: %v", c.Err())
		}
		p.put(c)
	}
	deadline := time.Now().Add(time.Hour)
	if n := testing.AllocsPerRun(100, func() {
		c := p.get(base, nil, deadline)
		if c.Err() != nil || c.Value("x") != nil {
			t.Error("the context has ended")
		}
		p.put(c)
	}); n > 0.5 && !raceEnabled {
		t.Errorf("%v allocations per request", n)
	}
}
