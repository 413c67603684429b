package workers

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/internal/fault"
)

// Trust decides whose word about the original client is taken: the peers named by forwarded_allow_ips, and those on
// unix sockets, as in gunicorn. It is immutable.
type Trust struct {
	all  bool
	nets []netip.Prefix
}

// NewTrust reads the forwarded_allow_ips setting: addresses, CIDR blocks, or "*" for everybody.
func NewTrust(peers []string) (*Trust, error) {
	t := &Trust{}
	for _, p := range peers {
		switch p = strings.TrimSpace(p); {
		case p == "*":
			t.all = true
		case strings.Contains(p, "/"):
			n, err := netip.ParsePrefix(p)
			if err != nil {
				return nil, badPeer(p)
			}
			t.nets = append(t.nets, unmapPrefix(n))
		default:
			a, err := netip.ParseAddr(p)
			if err != nil || a.Zone() != "" {
				return nil, badPeer(p)
			}
			a = a.Unmap()
			t.nets = append(t.nets, netip.PrefixFrom(a, a.BitLen()))
		}
	}
	return t, nil
}

func badPeer(p string) error {
	return fault.New("write addresses, networks like 10.0.0.0/8, or *", "forwarded_allow_ips: %q is neither an address nor a network", p)
}

// unmapPrefix turns a block of IPv4-mapped IPv6 addresses into the IPv4 block, the form peers are compared in.
func unmapPrefix(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked()
}

// Peer reports whether a peer, as in exchange.Request.RemoteAddr, is trusted.
func (t *Trust) Peer(remoteAddr string) bool {
	if t.all || remoteAddr == "" {
		return true
	}
	ap, err := netip.ParseAddrPort(remoteAddr)
	if err != nil {
		return false
	}
	a := ap.Addr().Unmap().WithZone("")
	for _, n := range t.nets {
		if n.Contains(a) {
			return true
		}
	}
	return false
}

// secureScheme are gunicorn's secure_scheme_headers: the fields that tell the scheme, and the value that means https.
var secureScheme = [...]exchange.Field{
	{Name: "X-Forwarded-Protocol", Value: "ssl"},
	{Name: "X-Forwarded-Proto", Value: "https"},
	{Name: "X-Forwarded-Ssl", Value: "on"},
}

// Apply makes a request tell what is known of its client. From an untrusted peer it drops every field that speaks for a
// proxy, so that guests need not know about trust. From a trusted one it takes the scheme; fields that contradict
// each other are a *exchange.Failure with status 400. RemoteAddr stays the peer's, as in gunicorn.
func (t *Trust) Apply(r *exchange.Request) error {
	if !slices.ContainsFunc(r.Fields, func(f exchange.Field) bool { return forwarding(f.Name) }) {
		return nil
	}
	if !t.Peer(r.RemoteAddr) {
		kept := r.Fields[:0]
		for _, f := range r.Fields {
			if !forwarding(f.Name) {
				kept = append(kept, f)
			}
		}
		r.Fields = kept
		return nil
	}
	scheme := ""
	for _, s := range secureScheme {
		for i := range r.Fields {
			if !strings.EqualFold(r.Fields[i].Name, s.Name) {
				continue
			}
			says := "http"
			if strings.EqualFold(strings.TrimSpace(r.Fields[i].Value), s.Value) {
				says = "https"
			}
			if scheme != "" && scheme != says {
				return exchange.Fail(400, exchange.BadRequest, "fields of the proxy contradict each other about the scheme")
			}
			scheme = says
		}
	}
	if scheme != "" {
		r.Scheme = scheme
	}
	return nil
}

// forwarding reports whether a field is one by which proxies speak for clients.
func forwarding(name string) bool {
	if first := name[0] | 0x20; first != 'x' && first != 'f' {
		return false
	}
	const x = "X-Forwarded-"
	return len(name) > len(x) && strings.EqualFold(name[:len(x)], x) ||
		strings.EqualFold(name, "Forwarded") || strings.EqualFold(name, "X-Real-Ip")
}
