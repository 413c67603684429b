package arbiter

import (
	"context"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// Alive is called on and on, and follows the server from its first worker to its last.
func TestAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim()
		s.conduct.drain = 700 * time.Millisecond
		var seen []Vitals
		var last time.Time
		o := testOptions()
		o.Workers, o.MinReady, o.GracefulTimeout = 2, 1, time.Second
		o.Alive = func(v Vitals) {
			if gap := time.Since(last); !last.IsZero() && gap > pollEvery {
				t.Errorf("no sign of life for %v", gap)
			}
			last = time.Now()
			if len(seen) == 0 || seen[len(seen)-1] != v {
				seen = append(seen, v)
			}
		}
		if err := o.check(); err != nil {
			t.Fatal(err)
		}
		a := newArbiter(o, s)
		done := make(chan error, 1)
		go func() { done <- a.Run(context.Background()) }()
		time.Sleep(10 * time.Second)
		s.sigs <- syscall.SIGTTIN
		time.Sleep(10 * time.Second)
		s.sigs <- syscall.SIGTERM
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		want := []Vitals{
			{Workers: 2},
			{Up: true, Ready: 1, Workers: 2},
			{Up: true, Ready: 2, Workers: 2},
			{Up: true, Ready: 2, Workers: 3},
			{Up: true, Ready: 3, Workers: 3},
			{Up: true, Workers: 3, Halting: true},
		}
		if !slices.Equal(seen, want) {
			t.Errorf("saw\n%+v, want\n%+v", seen, want)
		}
	})
}
