package abi

import (
	"errors"
	"fmt"

	"github.com/appserver-go/appserver/host/component/types"
)

// maxHandles is how many handles a component instance may have (CanonicalABI.md allows 2^28-1). What they stand for is
// on our heap, which no memory limit counts.
const maxHandles = 1 << 16

// handle is an entry of a table of handles.
type handle struct {
	res   *types.Resource // nil for a free entry
	obj   any             // of a resource of the host
	rep   uint32          // of a resource of a guest; of a free entry, the next free one
	own   bool
	lends uint32 // how many borrows of it are in use
	scope *task  // the call that a borrowed handle must not outlive
}

// table is a component instance's table of handles. Entry 0 is never used.
type table struct {
	entries []handle
	free    uint32 // the first free entry, 0 for none
	live    int
}

func (t *table) add(h handle) (uint32, error) {
	if t.live >= maxHandles {
		return 0, fmt.Errorf("the guest has more than %d handles", maxHandles)
	}
	t.live++
	if i := t.free; i != 0 {
		t.free = t.entries[i].rep
		t.entries[i] = h
		return i, nil
	}
	if len(t.entries) == 0 {
		t.entries = append(t.entries, handle{})
	}
	t.entries = append(t.entries, h)
	return uint32(len(t.entries) - 1), nil
}

// get returns the entry of a handle of a resource.
func (t *table) get(index uint32, res *types.Resource) (*handle, error) {
	if uint64(index) >= uint64(len(t.entries)) || t.entries[index].res == nil {
		return nil, fmt.Errorf("unknown handle index %d", index)
	}
	h := &t.entries[index]
	if h.res != res {
		return nil, fmt.Errorf("handle index %d used with the wrong type, expected guest-defined resource %s but found %s", index, res.Name, h.res.Name)
	}
	return h, nil
}

// remove frees the entry of a handle.
func (t *table) remove(index uint32) {
	t.entries[index] = handle{rep: t.free}
	t.free = index
	t.live--
}

var (
	errLent   = errors.New("cannot remove owned resource while borrowed")
	errNotOwn = errors.New("cannot lift own resource from a borrow")
)

// value returns what a handle stands for outside of the component instance.
func (h *handle) value() any {
	if h.res.Host {
		return h.obj
	}
	return &Guest{h.res, h.rep}
}

// newHandle makes an entry of a value.
func newHandle(res *types.Resource, v any, own bool) handle {
	h := handle{res: res, own: own}
	if res.Host {
		h.obj = v
	} else {
		h.rep = v.(*Guest).Rep
	}
	return h
}
