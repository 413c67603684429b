package sockets

import (
	"errors"
	"slices"
)

// Set is the listening sockets of a server. The arbiter opens it once and keeps it open while it serves; workers borrow
// the descriptors. It is immutable but for Close and may be used by several goroutines.
type Set struct {
	binds []bind
}

// bind is what one address became: one socket for everybody, or one for each slot.
type bind []*Socket

func (b bind) forSlot(i int) *Socket { return b[i%len(b)] }

// Sockets returns every socket in the order of the addresses, those of one address by slot.
func (s *Set) Sockets() []*Socket {
	var all []*Socket
	for _, b := range s.binds {
		all = append(all, b...)
	}
	return all
}

// ForSlot returns the sockets that a worker in slot i accepts from, one for each address, in their order. Slots past
// Options.Slots share those of the first ones, so every worker gets sockets; a slot without a worker has a queue that
// nobody empties. i must not be negative.
func (s *Set) ForSlot(i int) []*Socket {
	sockets := make([]*Socket, len(s.binds))
	for k, b := range s.binds {
		sockets[k] = b.forSlot(i)
	}
	return sockets
}

// Names returns what to tell people, one name for each address.
func (s *Set) Names() []string {
	names := make([]string, len(s.binds))
	for i, b := range s.binds {
		names[i] = b[0].Name()
	}
	return names
}

// Close closes all sockets. With unlink it also removes the files of the unix sockets that this Set created and that
// nobody has replaced: right at the final exit, wrong after a handover to another arbiter. Only the first call does
// anything. Workers that still hold a descriptor keep accepting.
func (s *Set) Close(unlink bool) error {
	var errs []error
	for _, socket := range slices.Backward(s.Sockets()) {
		errs = append(errs, socket.close(unlink))
	}
	return errors.Join(errs...)
}
