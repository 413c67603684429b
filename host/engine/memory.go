package engine

import (
	"fmt"
	"sync/atomic"

	"github.com/tetratelabs/wazero/experimental"
	"golang.org/x/sys/unix"
)

// pageSize is the size of a page of WebAssembly memory (core specification 4.2.8).
const pageSize = 64 << 10

// maxPages is how many pages a 32-bit memory can have.
const maxPages = 1 << 16

// budget accounts for the linear memory of all live instances of an engine.
type budget struct {
	limit  int64 // bytes, 0 for none
	used   atomic.Int64
	denied atomic.Uint64
}

// take reserves n bytes. It reports false, and counts it, when they would exceed the limit.
func (b *budget) take(n int64) bool {
	for {
		used := b.used.Load()
		if b.limit > 0 && used+n > b.limit {
			b.denied.Add(1)
			return false
		}
		if b.used.CompareAndSwap(used, used+n) {
			return true
		}
	}
}

func (b *budget) give(n int64) { b.used.Add(-n) }

// budgets are those that one memory is charged to.
type budgets []*budget

// take reserves n bytes of each, or nothing. It returns the budget that does not have them.
func (bs budgets) take(n int64) (short *budget) {
	for i, b := range bs {
		if !b.take(n) {
			bs[:i].give(n)
			return b
		}
	}
	return nil
}

func (bs budgets) give(n int64) {
	for _, b := range bs {
		b.give(n)
	}
}

// memory is the linear memory of one instance: a reservation of address space as large as the memory may ever get, of
// which the kernel backs the pages that are touched. Growing it is a matter of a comparison and moves nothing, where
// wazero's own allocation on the Go heap copies the whole memory and makes work for the garbage collector.
//
// It is handed to wazero as its own allocator and outlives what wazero does with it: wazero frees memory the moment a
// module is closed, be there guest code running on it or not, and forgets it when an instantiation fails. So Free does
// nothing, and the Instance releases the memory after its last call has returned.
type memory struct {
	budget budgets
	room   []byte // the reservation
	size   int64  // bytes in use, all of them charged to the budget

	high     int64  // the largest size since the last reset
	shrinkTo []byte // what the next Reallocate returns
	resets   int    // since the last time the memory was dropped as a whole
	state    *scanState
}

// scanState returns the memory's scratch for scans.
func (m *memory) scanState() *scanState {
	if m.state == nil {
		m.state = new(scanState)
	}
	return m.state
}

// newMemory reserves room for a memory of at least minPages and at most maxPages.
func newMemory(b budgets, minPages, maxPages uint32) (*memory, error) {
	size := int64(minPages) * pageSize
	if short := b.take(size); short != nil {
		return nil, fmt.Errorf("the guests' memory budget of %d bytes is used up: %d bytes are in use and the instance needs %d",
			short.limit, short.used.Load(), size)
	}
	m := &memory{budget: b, size: size}
	if maxPages == 0 {
		return m, nil
	}
	room, err := unix.Mmap(-1, 0, int(maxPages)*pageSize, unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_ANON|unix.MAP_PRIVATE|unix.MAP_NORESERVE)
	if err != nil {
		b.give(size)
		return nil, fmt.Errorf("reserve %d bytes of address space: %w", int64(maxPages)*pageSize, err)
	}
	// A fresh instance touches few of its pages: huge ones would have the kernel clear 2 MiB for each. Where the kernel
	// does not know the advice it has no huge pages either.
	_ = unix.Madvise(room, unix.MADV_NOHUGEPAGE)
	m.room = room
	return m, nil
}

// Allocate implements experimental.MemoryAllocator. An instance has one memory, so it is asked once.
func (m *memory) Allocate(_, _ uint64) experimental.LinearMemory { return m }

// Reallocate implements experimental.LinearMemory: it changes the size in place. Wazero takes whatever length it gets,
// and so a reset makes a memory smaller by letting it grow. It returns nil, which makes
// memory.grow return -1, when the instance's limit or the engine's budget is exceeded.
func (m *memory) Reallocate(size uint64) []byte {
	if b := m.shrinkTo; b != nil {
		m.shrinkTo = nil
		m.budget.give(m.size - int64(len(b)))
		m.size = int64(len(b))
		return b
	}
	if size > uint64(len(m.room)) {
		m.budget[0].denied.Add(1)
		return nil
	}
	if more := int64(size) - m.size; more > 0 {
		if short := m.budget.take(more); short != nil {
			if short != m.budget[0] {
				m.budget[0].denied.Add(1)
			}
			return nil
		}
		m.size = int64(size)
		m.high = max(m.high, m.size)
	}
	return m.room[:size:size]
}

// Free implements experimental.LinearMemory. See the comment on memory for why it does nothing.
func (m *memory) Free() {}

// release gives the memory back to the kernel and the budget. No guest code and no view of the memory may be in use.
func (m *memory) release() error {
	m.budget.give(m.size)
	m.size = 0
	room := m.room
	m.room = nil
	if room == nil {
		return nil
	}
	if err := unix.Munmap(room); err != nil {
		return fmt.Errorf("unmap a guest's memory: %w", err)
	}
	return nil
}
