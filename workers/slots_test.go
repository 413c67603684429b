package workers

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func claim(t *testing.T, s *Slots) *Claim {
	t.Helper()
	c, err := s.Claim()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestSlotsAreHandedOnInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		length := 0
		s := NewSlots(2, 2, func(d int) { length += d })
		a, b, c, d := claim(t, s), claim(t, s), claim(t, s), claim(t, s)
		if _, err := s.Claim(); !errors.Is(err, ErrQueueFull) {
			t.Errorf("a third in the queue: %v", err)
		}
		if length != 2 || s.Free() != 0 {
			t.Errorf("queue %d, free %d", length, s.Free())
		}
		first, _ := a.Wait(t.Context(), 0)
		second, _ := b.Wait(t.Context(), 0)
		if first != 0 || second != 1 {
			t.Errorf("slots %d and %d", first, second)
		}
		s.Release(second)
		s.Release(first)
		for i, want := range map[*Claim]int{c: second, d: first} {
			if slot, err := i.Wait(t.Context(), time.Second); err != nil || slot != want {
				t.Errorf("got slot %d %v, want %d", slot, err, want)
			}
		}
		s.Release(second)
		if length != 0 || s.Free() != 1 {
			t.Errorf("queue %d, free %d", length, s.Free())
		}
	})
}

func TestWaitingForASlotEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewSlots(1, 10, nil)
		claim(t, s)
		start := time.Now()
		if _, err := claim(t, s).Wait(t.Context(), time.Second); !errors.Is(err, ErrQueueTimeout) || time.Since(start) != time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		cause := errors.New("enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(cause)
		if _, err := claim(t, s).Wait(ctx, 0); !errors.Is(err, cause) {
			t.Errorf("got %v", err)
		}
		// Those who gave up are not in the way of the next.
		last := claim(t, s)
		s.Release(0)
		if slot, err := last.Wait(t.Context(), time.Second); err != nil || slot != 0 {
			t.Errorf("got slot %d %v", slot, err)
		}
	})
}

func TestAGrantedSlotIsNotLost(t *testing.T) {
	s := NewSlots(1, 10, nil)
	claim(t, s)
	late := claim(t, s)
	s.Release(0)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if slot, err := late.Wait(ctx, 0); err != nil || slot != 0 {
		t.Errorf("a claim that was granted before its context ended got %d %v", slot, err)
	}
}
