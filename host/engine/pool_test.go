package engine

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// numbers makes a pool of ascending numbers and records which were dropped.
func numbers(size int) (p *Pool[int], dropped *[]int) {
	made := 0
	dropped = new([]int)
	p = NewPool(size, func(context.Context) (int, error) { made++; return made, nil }, func(v int) { *dropped = append(*dropped, v) })
	return p, dropped
}

// get takes a value that must be want.
func get(t *testing.T, p *Pool[int], want int) {
	t.Helper()
	if v, err := p.Get(t.Context()); err != nil || v != want {
		t.Errorf("got %d, %v; want %d", v, err, want)
	}
}

func TestPoolReusesTheLatest(t *testing.T) {
	p, dropped := numbers(3)
	get(t, p, 1)
	get(t, p, 2)
	p.Put(1)
	p.Put(2)
	get(t, p, 2)
	get(t, p, 1)
	get(t, p, 3)
	p.Discard(2)
	get(t, p, 4)
	p.Put(1)
	p.Close()
	p.Close()
	if _, err := p.Get(t.Context()); !errors.Is(err, ErrPoolClosed) {
		t.Errorf("a closed pool returned %v", err)
	}
	p.Put(3)
	if got := *dropped; len(got) != 3 || got[0] != 2 || got[1] != 1 || got[2] != 3 {
		t.Errorf("dropped %v", got)
	}
}

func TestPoolWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := numbers(1)
		get(t, p, 1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := p.Get(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a full pool returned %v", err)
		}
		time.AfterFunc(time.Minute, func() { p.Put(1) })
		get(t, p, 1)
		time.AfterFunc(time.Minute, func() { p.Discard(1) })
		get(t, p, 2)
		time.AfterFunc(time.Minute, p.Close)
		if _, err := p.Get(t.Context()); !errors.Is(err, ErrPoolClosed) {
			t.Errorf("waiting on a pool that closes returned %v", err)
		}
	})
}

func TestPoolFailures(t *testing.T) {
	why := errors.New("no more")
	fail := true
	p := NewPool(2, func(context.Context) (int, error) {
		if fail {
			return 0, why
		}
		return 1, nil
	}, func(int) {})
	for range 5 { // a failure must not cost a place
		if _, err := p.Get(t.Context()); !errors.Is(err, why) {
			t.Fatalf("got %v", err)
		}
	}
	if err := p.Warm(t.Context(), 2); !errors.Is(err, why) {
		t.Errorf("warm returned %v", err)
	}
	fail = false
	if err := p.Warm(t.Context(), 99); err != nil {
		t.Errorf("warm returned %v", err)
	}
	fail = true // two are there already
	get(t, p, 1)
	get(t, p, 1)
}

// TestPoolHammer has many goroutines take, return and discard values and checks that no value is ever with two of
// them and that no more exist than the pool's size.
func TestPoolHammer(t *testing.T) {
	const size = 4
	type value struct{ holders atomic.Int32 }
	var live, most atomic.Int32
	p := NewPool(size, func(context.Context) (*value, error) {
		if n := live.Add(1); n > most.Load() {
			most.Store(n)
		}
		if rand.IntN(10) == 0 {
			live.Add(-1)
			return nil, errHost
		}
		return &value{}, nil
	}, func(*value) { live.Add(-1) })
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range 2000 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rand.IntN(100))*time.Microsecond)
				v, err := p.Get(ctx)
				cancel()
				if err != nil {
					continue
				}
				if n := v.holders.Add(1); n != 1 {
					t.Errorf("a value is with %d goroutines", n)
				}
				v.holders.Add(-1)
				if rand.IntN(5) == 0 {
					p.Discard(v)
				} else {
					p.Put(v)
				}
			}
		})
	}
	wg.Wait()
	if most.Load() > size {
		t.Errorf("%d values existed in a pool of %d", most.Load(), size)
	}
	p.Close()
	if live.Load() != 0 {
		t.Errorf("%d values were never dropped", live.Load())
	}
}
