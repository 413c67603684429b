package dev

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"strconv"
	"sync"
)

// Phase says what there is to show.
type Phase int

// The phases.
const (
	Building Phase = iota // a change is being built or loaded
	Serving               // the guest answers
	Failed                // it was not built, or does not load
)

// State is what the Hub knows at a moment.
type State struct {
	Phase Phase
	// Version names the outcome that is shown. It changes with every end of a Building, and with every start of dev.
	Version string
	// Step says what Building is busy with.
	Step string
	// Report says why Failed.
	Report *Report
}

// Hub is the state of a Session for everybody who waits for the next one. Its methods may be called from any goroutine.
type Hub struct {
	prefix string

	mu      sync.Mutex
	n       int
	state   State
	changed chan struct{} // closed by the next change
}

// NewHub makes a Hub that is Building.
func NewHub() *Hub {
	var b [6]byte
	rand.Read(b[:]) // never fails
	return &Hub{prefix: hex.EncodeToString(b[:]) + "-", changed: make(chan struct{})}
}

// State returns the present state, and a channel that is closed when there is another.
func (h *Hub) State() (State, <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.state, h.changed
}

// Build says that something is being done about a change.
func (h *Hub) Build(step string) {
	h.change(func(s *State) { s.Phase, s.Step = Building, step })
}

// Serve says that the guest serves.
func (h *Hub) Serve() { h.settle(State{Phase: Serving}) }

// Fail says that there is no guest, and why.
func (h *Hub) Fail(r *Report) { h.settle(State{Phase: Failed, Report: r}) }

func (h *Hub) settle(next State) {
	h.change(func(s *State) {
		h.n++
		next.Version = h.prefix + strconv.Itoa(h.n)
		*s = next
	})
}

func (h *Hub) change(f func(s *State)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f(&h.state)
	close(h.changed)
	h.changed = make(chan struct{})
}

// Settled waits until nothing is being built, or until ctx is done, and returns the state then.
func (h *Hub) Settled(ctx context.Context) State {
	for {
		s, changed := h.State()
		if s.Phase != Building {
			return s
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return s
		}
	}
}
