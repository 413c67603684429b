package kit

import (
	"slices"
	"testing"
)

func TestReseedCallsAll(t *testing.T) {
	defer func(before []func()) { reseeds = before }(reseeds)
	var called []int
	OnReseed(func() { called = append(called, 1) })
	OnReseed(func() { called = append(called, 2) })
	reseed()
	reseed()
	if want := []int{1, 2, 1, 2}; !slices.Equal(called, want) {
		t.Errorf("called %v, want %v", called, want)
	}
}

func TestWarmReturns(t *testing.T) { warm() }
