package sockets

import (
	"errors"
	"slices"
)

// Set is the listening sockets of a server. The arbiter opens it once and keeps it open while it serves; workers borrow
// the descriptors. It is immutable but for Close and may be used by several goroutines.
//
// Sets may have sockets in common, see Relisten. Whoever closes one of two such sets closes what is left after Without.
type Set struct {
	binds []bind
}

// bind is what one address became.
type bind struct {
	given   Addr // as it was asked for; zero for an inherited socket
	addr    Addr // resolved, with the port that was asked for
	v6only  bool
	name    string    // what to tell people; "" for the name that the sockets were opened with
	sockets []*Socket // one for everybody, or one for each slot
}

// shown returns what to tell people.
func (b *bind) shown() string {
	if b.name != "" {
		return b.name
	}
	return b.sockets[0].Name()
}

// Sockets returns every socket in the order of the addresses, those of one address by slot.
func (s *Set) Sockets() []*Socket {
	var all []*Socket
	for _, b := range s.binds {
		all = append(all, b.sockets...)
	}
	return all
}

// Slotted reports whether some address has a socket for each slot, so that workers must be told which are theirs.
func (s *Set) Slotted() bool {
	return slices.ContainsFunc(s.binds, func(b bind) bool { return len(b.sockets) > 1 })
}

// Share returns the sockets that a worker in slot is to accept from while the slots of serving, in ascending order,
// have workers, as indices of Sockets. What one socket serves for everybody is everybody's. Of the others a worker has
// that of its own slot. A socket whose slot has no worker goes to one of those that serve, and a slot past Options.Slots
// shares the socket of a lower one: no queue is without a worker, and no worker without a queue.
func (s *Set) Share(slot int, serving []int) []int {
	var indices []int
	first := 0
	for _, b := range s.binds {
		n := len(b.sockets)
		for j := range n {
			if n == 1 || slot%n == j || owner(j, serving) == slot {
				indices = append(indices, first+j)
			}
		}
		first += n
	}
	return indices
}

// owner returns the slot that has the socket of slot j, or -1 if none can.
func owner(j int, serving []int) int {
	if len(serving) == 0 {
		return -1
	}
	if slices.Contains(serving, j) {
		return j
	}
	return serving[j%len(serving)]
}

// Names returns what to tell people, one name for each address.
func (s *Set) Names() []string {
	names := make([]string, len(s.binds))
	for i := range s.binds {
		names[i] = s.binds[i].shown()
	}
	return names
}

// SocketNames returns what to tell people of each of Sockets. A socket that another Set has as well may have another name
// there: what is spoken on it changes with the settings.
func (s *Set) SocketNames() []string {
	var names []string
	for i := range s.binds {
		for range s.binds[i].sockets {
			names = append(names, s.binds[i].shown())
		}
	}
	return names
}

// Without returns the sockets of s that other does not have.
func (s *Set) Without(other *Set) *Set {
	kept := other.Sockets()
	return s.where(func(_ int, x *Socket) bool { return !slices.Contains(kept, x) })
}

// Indices returns where the sockets of part stand among those of s. Sockets that s does not have are left out.
func (s *Set) Indices(part *Set) []int {
	var indices []int
	members := part.Sockets()
	for i, socket := range s.Sockets() {
		if slices.Contains(members, socket) {
			indices = append(indices, i)
		}
	}
	return indices
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
