package engine

import (
	"context"
	"errors"
	"testing"
	"time"
)

// failed is what memory.grow and table.grow return when they fail.
const failed = 0xffffffff

func TestMemoryLimit(t *testing.T) {
	m, _ := compileGuest(t, Options{MemoryLimit: 10*pageSize + 100})
	i := instantiate(t, m, Spec{})
	if got := call(t, i, "grow", 9); got != 1 {
		t.Errorf("growing to the limit returned %d", got)
	}
	if got := call(t, i, "grow", 1); got != failed {
		t.Errorf("growing past the limit returned %d", got)
	}
	call(t, i, "poke", 10*pageSize-1) // the last byte is there
	if got := trap(t, t.Context(), i, "poke", 10*pageSize); got.Kind != KindTrap {
		t.Errorf("writing past the limit: %v", got)
	}
	want := Stats{Instances: 1, MemoryBytes: 10 * pageSize, DeniedGrows: 1, Made: 1}
	if s := m.engine.Stats(); s != want {
		t.Errorf("stats are %+v, want %+v", s, want)
	}
}

func TestMemoryBudget(t *testing.T) {
	m, _ := compileGuest(t, Options{MemoryLimit: 100 * pageSize, MemoryBudget: 10 * pageSize})
	a, b := instantiate(t, m, Spec{}), instantiate(t, m, Spec{})
	if got := call(t, a, "grow", 6); got != 1 {
		t.Errorf("growing to 7 of 10 pages returned %d", got)
	}
	if got := call(t, b, "grow", 3); got != failed {
		t.Errorf("growing to 11 of 10 pages returned %d", got)
	}
	if got := call(t, b, "grow", 2); got != 1 {
		t.Errorf("growing to 10 of 10 pages returned %d", got)
	}
	var trap *Trap
	if _, err := m.Instantiate(t.Context(), Spec{}); !errors.As(err, &trap) || trap.Kind != KindMemoryLimit {
		t.Errorf("an instance over the budget returned %v", err)
	}
	if s := m.engine.Stats(); s.MemoryBytes != 10*pageSize || s.Instances != 2 || s.DeniedGrows != 2 {
		t.Errorf("stats are %+v", s)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if got := call(t, b, "grow", 7); got != 3 {
		t.Errorf("growing into what another instance gave back returned %d", got)
	}
}

// TestFreshMemoryIsZero proves that an instance sees nothing of one before it.
func TestFreshMemoryIsZero(t *testing.T) {
	m, _ := compileGuest(t, Options{})
	for range 3 {
		i, err := m.Instantiate(t.Context(), Spec{})
		if err != nil {
			t.Fatal(err)
		}
		call(t, i, "grow", 1)
		for _, at := range []uint64{4096, 2*pageSize - 1 - 4} {
			if got := call(t, i, "peek", at); got != 0 {
				t.Errorf("byte %d of a fresh memory is %d", at, got)
			}
			call(t, i, "poke", at)
		}
		if err := i.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestGrowIsCheap grows a page at a time, which copies the memory each time where it lies on the Go heap (157 ms).
func TestGrowIsCheap(t *testing.T) {
	m, _ := compileGuest(t, Options{})
	best := time.Hour
	for range 20 { // the machine may be busy: one fast round is enough
		i := instantiate(t, m, Spec{})
		fn, stack := i.Function("grow"), make([]uint64, 1)
		start := time.Now()
		for range 1024 {
			stack[0] = 1
			if err := i.Call(t.Context(), fn, stack); err != nil || stack[0] == failed {
				t.Fatal(stack[0], err)
			}
		}
		best = min(best, time.Since(start))
	}
	if best > slower*time.Millisecond {
		t.Errorf("growing 1024 times took %v", best)
	}
}

func TestTableLimit(t *testing.T) {
	m, _ := compileGuest(t, Options{TableLimit: 1000})
	i := instantiate(t, m, Spec{})
	if got := call(t, i, "grow_table", 999); got != 1 {
		t.Errorf("growing to the limit returned %d", got)
	}
	if got := call(t, i, "grow_table", 1); got != failed {
		t.Errorf("growing past the limit returned %d", got)
	}
	if got := m.Tables(); len(got) != 1 || got[0] != (TableLimits{1, 1000}) {
		t.Errorf("tables are %v", got)
	}
}

func TestBudgetIsSharedSafely(t *testing.T) {
	b := &budget{limit: 100}
	done := make(chan int64)
	for range 8 {
		go func() {
			var sum int64
			for range 1000 {
				if b.take(3) {
					if used := b.used.Load(); used > 100 {
						sum = used
					}
					b.give(3)
				}
			}
			done <- sum
		}()
	}
	for range 8 {
		if over := <-done; over != 0 {
			t.Errorf("%d of 100 were taken", over)
		}
	}
	if b.used.Load() != 0 {
		t.Errorf("%d are left", b.used.Load())
	}
}

func BenchmarkInstantiate(b *testing.B) {
	m, _ := compileGuest(b, Options{MemoryLimit: 128 << 20, Interrupt: InterruptFuel})
	for b.Loop() {
		i, err := m.Instantiate(context.Background(), Spec{})
		if err != nil {
			b.Fatal(err)
		}
		if err := i.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCall(b *testing.B) {
	for _, interrupt := range []Interrupt{InterruptOff, InterruptClose, InterruptFuel} {
		b.Run(string(interrupt), func(b *testing.B) {
			m, _ := compileGuest(b, Options{Interrupt: interrupt})
			i := instantiate(b, m, Spec{})
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			fn := i.Function("nop")
			for b.Loop() {
				if err := i.Call(ctx, fn, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
