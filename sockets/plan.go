package sockets

import (
	"context"
	"net"
	"net/netip"
	"path/filepath"

	"github.com/appserver-go/appserver/internal/fault"
)

// plan is one address ready to be opened: its host is a literal address.
type plan struct {
	addr   Addr
	given  Addr // before resolution, for messages
	v6only bool // TCP6: leave IPv4 to another of the addresses
}

// resolve looks host names up and refuses addresses that get in each other's way.
func resolve(ctx context.Context, addrs []Addr) ([]plan, error) {
	plans := make([]plan, 0, len(addrs))
	for _, given := range addrs {
		addr, err := lookup(ctx, given)
		if err != nil {
			return nil, err
		}
		p := plan{addr: addr, given: given}
		for i := range plans {
			if err := p.reconcile(&plans[i]); err != nil {
				return nil, err
			}
		}
		plans = append(plans, p)
	}
	return plans, nil
}

// lookup replaces a host name by its first IPv4 address, or by its first IPv6 one if it has no other. Gunicorn binds
// names to IPv4 only.
func lookup(ctx context.Context, a Addr) (Addr, error) {
	if !a.isTCP() {
		return a, nil
	}
	if _, err := netip.ParseAddr(a.Host); err == nil {
		return a, nil
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", a.Host)
	if err != nil || len(ips) == 0 {
		return Addr{}, fault.New("bind an address of this machine, like 127.0.0.1 or 0.0.0.0",
			"listen on %s: resolve host: %w", a, err)
	}
	best := ips[0].Unmap()
	for _, ip := range ips {
		if ip = ip.Unmap(); ip.Is4() && !best.Is4() {
			best = ip
		}
	}
	a.Network, a.Host = TCP, best.String()
	if best.Is6() {
		a.Network = TCP6
	}
	return a, nil
}

// reconcile checks p against an earlier address. [::] also takes IPv4 connections, so beside an IPv4 address with the
// same port it is limited to IPv6: both were asked for.
func (p *plan) reconcile(earlier *plan) error {
	if p.key() == earlier.key() && (!p.addr.isTCP() || p.addr.Port != 0) {
		return fault.New("remove one of them", "bind addresses %s and %s are the same", earlier.given, p.given)
	}
	if !p.addr.isTCP() || !earlier.addr.isTCP() || p.addr.Port != earlier.addr.Port || p.addr.Port == 0 {
		return nil
	}
	if p.addr.Network == earlier.addr.Network {
		if p.wildcard() || earlier.wildcard() {
			return fault.New("remove one of them", "bind addresses %s and %s overlap", earlier.given, p.given)
		}
		return nil
	}
	for _, q := range []*plan{p, earlier} {
		q.v6only = q.v6only || q.addr.Network == TCP6 && q.wildcard()
	}
	return nil
}

// key identifies the address: paths of unix sockets are compared as absolute ones.
func (p *plan) key() Addr {
	key := p.addr
	if key.Network == Unix && !key.abstract() {
		if abs, err := filepath.Abs(key.Path); err == nil {
			key.Path = abs
		}
	}
	return key
}

// wildcard reports whether the address stands for all addresses of its family.
func (p *plan) wildcard() bool {
	ip, err := netip.ParseAddr(p.addr.Host)
	return err == nil && ip.IsUnspecified()
}
