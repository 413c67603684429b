package arbiter

import "slices"

// assign tells workers which listeners to accept from where the slots of an address have sockets of their own
// (listen_mode=slots): a slot without a worker that serves has a queue all the same, and others empty it. Workers
// themselves are told only what is new to them.
func (a *Arbiter) assign() {
	if a.halt != nil {
		return // everybody accepts from everything
	}
	var serving []int
	for _, w := range a.workers {
		if w.spec.gen.sockets.Slotted() {
			serving = a.servingSlots()
			break
		}
	}
	if serving == nil {
		return
	}
	for _, w := range a.workers {
		if w.state != booted && w.state != ready || !w.spec.gen.sockets.Slotted() {
			continue
		}
		with := serving
		if i, found := slices.BinarySearch(serving, w.spec.slot); !found {
			with = slices.Insert(slices.Clone(serving), i, w.spec.slot)
		}
		w.accept(w.spec.gen.sockets.Share(w.spec.slot, with))
	}
}

// servingSlots returns the numbers of the slots with a worker that is ready, in ascending order. It is never nil.
func (a *Arbiter) servingSlots() []int {
	numbers := []int{}
	for _, s := range a.slots {
		if s.current != nil && s.current.state == ready {
			numbers = append(numbers, s.number)
		}
	}
	return numbers
}

// acceptAll undoes assign for a worker that is about to drain for good: queues whose own worker is gone or stuck must be
// emptied too.
func (a *Arbiter) acceptAll(w *worker) {
	if w.accepts == nil {
		return
	}
	all := make([]int, len(w.spec.gen.sockets.Sockets()))
	for i := range all {
		all[i] = i
	}
	w.accept(all)
}
