package workers

import (
	"net/netip"
	"strings"

	"github.com/appserver-go/appserver/internal/fault"
)

// peers are the addresses that a setting trusts. Unix sockets, which the file system guards, are always among them, as
// in gunicorn. It is immutable.
type peers struct {
	all  bool
	nets []netip.Prefix
}

// newPeers reads the value of a setting: addresses, CIDR blocks, or "*" for everybody.
func newPeers(setting string, texts []string) (*peers, error) {
	p := &peers{}
	for _, text := range texts {
		switch text = strings.TrimSpace(text); {
		case text == "*":
			p.all = true
		case strings.Contains(text, "/"):
			n, err := netip.ParsePrefix(text)
			if err != nil {
				return nil, badPeer(setting, text)
			}
			p.nets = append(p.nets, unmapPrefix(n))
		default:
			a, err := netip.ParseAddr(text)
			if err != nil || a.Zone() != "" {
				return nil, badPeer(setting, text)
			}
			a = a.Unmap()
			p.nets = append(p.nets, netip.PrefixFrom(a, a.BitLen()))
		}
	}
	return p, nil
}

func badPeer(setting, text string) error {
	return fault.New("write addresses, networks like 10.0.0.0/8, or *", "%s: %q is neither an address nor a network", setting, text)
}

// unmapPrefix turns a block of IPv4-mapped IPv6 addresses into the IPv4 block, the form peers are compared in.
func unmapPrefix(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked()
}

// contain reports whether a peer, as in exchange.Request.RemoteAddr, is among them.
func (p *peers) contain(remoteAddr string) bool {
	if p.all || remoteAddr == "" {
		return true
	}
	ap, err := netip.ParseAddrPort(remoteAddr)
	return err == nil && p.containAddr(ap.Addr())
}

func (p *peers) containAddr(a netip.Addr) bool {
	if p.all {
		return true
	}
	a = a.Unmap().WithZone("")
	for _, n := range p.nets {
		if n.Contains(a) {
			return true
		}
	}
	return false
}
