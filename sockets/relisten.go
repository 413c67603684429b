package sockets

import (
	"context"
	"errors"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/appserver-go/appserver/internal/fault"
)

// Relisten opens the addresses of a server that listens on s already. Addresses that s has keep their very sockets, so
// that no connection is lost; the others are opened as Listen does. The result shares sockets with s, which stays as it
// is: what goes is s.Without(result), or on second thoughts result.Without(s). On an error everything opened by this call
// is closed. Errors are faults with a hint.
//
// An address that overlaps one of s without being the same, like 0.0.0.0:80 beside 127.0.0.1:80, cannot be opened while
// the other is open. A socket that is kept also keeps the number of its slots, its backlog, its mode and its owner.
func (s *Set) Relisten(ctx context.Context, addrs []Addr, opts Options) (*Set, error) {
	if len(addrs) == 0 {
		return nil, fault.New(grammarHint, "no address to listen on")
	}
	plans, err := s.resolve(ctx, addrs)
	if err != nil {
		return nil, err
	}
	set, left := &Set{}, slices.Clone(s.binds)
	for _, p := range plans {
		if i := slices.IndexFunc(left, p.same); i >= 0 {
			kept := left[i]
			kept.given, kept.name = p.given, kept.sockets[0].addr.URL(opts.TLS)
			set.binds = append(set.binds, kept)
			left = slices.Delete(left, i, i+1)
			continue
		}
		b, err := p.bindBeside(ctx, s, opts)
		if err != nil {
			return nil, errors.Join(err, set.Without(s).Close(true))
		}
		set.binds = append(set.binds, b)
	}
	return set, nil
}

// resolve is the function resolve, save that it does not look up again what s has: the name of a server that serves is
// good, whatever the resolver says today.
func (s *Set) resolve(ctx context.Context, addrs []Addr) ([]plan, error) {
	known := slices.Clone(addrs)
	for i, given := range addrs {
		if j := slices.IndexFunc(s.binds, func(b bind) bool { return b.given == given }); j >= 0 {
			known[i] = s.binds[j].addr
		}
	}
	plans, err := resolve(ctx, known)
	for i := range plans {
		plans[i].given = addrs[i]
	}
	return plans, err
}

// same reports whether b is what p would open.
func (p plan) same(b bind) bool {
	other := plan{addr: b.addr}
	return p.key() == other.key() && p.v6only == b.v6only
}

// bindBeside opens an address of a server that listens on others.
func (p plan) bindBeside(ctx context.Context, s *Set, opts Options) (bind, error) {
	if p.addr.Network == FD {
		return bind{}, fault.New("restart the server to hand it another socket",
			"listen on %s: a running server cannot be given a descriptor", p.given)
	}
	b, err := p.bind(ctx, opts)
	ours := func(o bind) bool { return o.addr.isTCP() && p.addr.isTCP() && o.addr.Port == p.addr.Port }
	if i := slices.IndexFunc(s.binds, ours); errors.Is(err, unix.EADDRINUSE) && i >= 0 {
		return bind{}, fault.New("choose another port, or restart the server",
			"listen on %s: this server already listens on %s, which overlaps it", p.given, s.binds[i].given)
	}
	return b, err
}
