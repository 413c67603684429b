package sockets

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// Bequest describes an address of a Set to another arbiter, which inherits the descriptors and may be of another
// version: fields can be added, and must not change.
type Bequest struct {
	// Given and Addr are the address as it was asked for and as it was resolved, for Parse; empty for sockets that a
	// service manager has opened.
	Given string `json:"given,omitempty"`
	Addr  string `json:"addr,omitempty"`
	// V6Only says that a TCP6 address takes no IPv4 connections.
	V6Only bool `json:"v6only,omitempty"`
	// Count is the number of sockets: 1, or one for each slot.
	Count int `json:"count"`
	// Lent sockets were opened by somebody who goes on with them, and are never ours to end.
	Lent bool `json:"lent,omitempty"`
	// File is the file of a unix socket that goes with it.
	File *BequestFile `json:"file,omitempty"`
}

// BequestFile is the file of a unix socket, known by its inode.
type BequestFile struct {
	Path string `json:"path"`
	Dev  uint64 `json:"dev"`
	Ino  uint64 `json:"ino"`
}

// Bequests describes the Set for Succeed in the process that inherits the descriptors of Sockets, in that order.
func (s *Set) Bequests() []Bequest {
	all := make([]Bequest, 0, len(s.binds))
	for _, b := range s.binds {
		first := b.sockets[0]
		q := Bequest{V6Only: b.v6only, Count: len(b.sockets), Lent: first.lent}
		if b.addr.Network != "" {
			q.Given, q.Addr = b.given.String(), b.addr.String()
		}
		if f := first.file; f != nil {
			q.File = &BequestFile{Path: f.path, Dev: f.dev, Ino: f.ino}
		}
		all = append(all, q)
	}
	return all
}

// Activated reports whether a service manager has opened the sockets, so that they stand instead of configured addresses.
func Activated(bequests []Bequest) bool {
	return slices.ContainsFunc(bequests, func(b Bequest) bool { return b.Addr == "" })
}

// Succeed makes the Set of an arbiter that inherits the sockets of another: descriptors from first on, as the other's
// Bequests describe them. Of addrs it keeps those that were inherited, and opens the others as Relisten does; when a service
// manager has opened the sockets, it keeps all and ignores addrs. Kept are the inherited sockets that it goes on with, by
// index; the others are closed here. What it keeps is shared until Reclaim: the other arbiter may be the one that goes on.
func Succeed(ctx context.Context, first int, bequests []Bequest, addrs []Addr, opts Options) (set *Set, kept []int, err error) {
	old := &Set{}
	for _, q := range bequests {
		b, err := q.adopt(first, opts)
		if err != nil {
			return nil, nil, errors.Join(err, old.Close(false))
		}
		first += q.Count
		old.binds = append(old.binds, b)
	}
	old.Lend()
	set = old
	if !Activated(bequests) {
		if set, err = old.Relisten(ctx, addrs, opts); err != nil {
			return nil, nil, errors.Join(err, old.Close(false))
		}
	}
	kept = old.Indices(set)
	return set, kept, old.Without(set).Close(false)
}

// adopt makes a bind of inherited descriptors from fd on. On an error those it has not taken stay open.
func (q Bequest) adopt(fd int, opts Options) (b bind, err error) {
	b.v6only = q.V6Only
	if q.Addr != "" {
		if b.given, err = Parse(q.Given); err == nil {
			b.addr, err = Parse(q.Addr)
		}
	}
	if err == nil && q.Count < 1 {
		err = errors.New("no socket")
	}
	opts.Backlog = 0 // the other arbiter still has it
	for i := 0; err == nil && i < q.Count; i++ {
		var one bind
		if one, err = adoptShared(fd+i, opts); err == nil {
			one.sockets[0].lent = q.Lent
			b.sockets = append(b.sockets, one.sockets[0])
		}
	}
	if err != nil {
		return b, fmt.Errorf("inherit the sockets of %q: %w", q.Given, errors.Join(err, (&Set{binds: []bind{b}}).Close(false)))
	}
	if q.File != nil {
		b.sockets[0].file = &socketFile{path: q.File.Path, dev: q.File.Dev, ino: q.File.Ino}
	}
	return b, nil
}

// Lend notes that another arbiter has the sockets too and may go on with them: Refuse leaves them as they are, and Close
// leaves their files.
func (s *Set) Lend() { s.setShared(true) }

// Reclaim undoes Lend: the other arbiter is gone, or does not want the sockets.
func (s *Set) Reclaim() { s.setShared(false) }

func (s *Set) setShared(shared bool) {
	for _, socket := range s.Sockets() {
		socket.mu.Lock()
		socket.shared = shared
		socket.mu.Unlock()
	}
}

// Owned returns the sockets that nobody else goes on with.
func (s *Set) Owned() *Set { return s.where(func(_ int, x *Socket) bool { return x.owned() }) }

// Except returns the sockets of s save those with the indices.
func (s *Set) Except(indices []int) *Set {
	return s.where(func(i int, _ *Socket) bool { return !slices.Contains(indices, i) })
}

// where returns the sockets that want accepts, which gets their indices.
func (s *Set) where(want func(int, *Socket) bool) *Set {
	rest, i := &Set{}, 0
	for _, b := range s.binds {
		var some []*Socket
		for _, x := range b.sockets {
			if want(i, x) {
				some = append(some, x)
			}
			i++
		}
		if b.sockets = some; len(some) > 0 {
			rest.binds = append(rest.binds, b)
		}
	}
	return rest
}

// owned reports whether nobody else goes on with the socket.
func (s *Socket) owned() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return !s.lent && !s.shared
}

// MoveFile gives the file of a unix socket another path on the same file system, and replaces what is there: clients find
// one or the other. The file is not moved if somebody has replaced it.
func (s *Socket) MoveFile(path string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var st unix.Stat_t
	if s.fd < 0 || s.file == nil {
		return ErrClosed
	}
	if err := unix.Lstat(s.file.path, &st); err != nil || !s.file.is(&st) {
		return fmt.Errorf("the unix socket %q was removed", s.file.path)
	}
	if err := os.Rename(s.file.path, path); err != nil {
		return err
	}
	s.file = &socketFile{path: path, dev: s.file.dev, ino: s.file.ino}
	return nil
}
