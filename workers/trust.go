package workers

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/appserver-go/appserver/config"
	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/internal/httprules"
)

// Trust decides whose word about the original client is taken, and takes it. The peer that is judged is the one that
// wrote the request: where a PROXY header tells of a client behind the peer, it is that client. It is immutable.
type Trust struct {
	peers    *peers
	scheme   []exchange.Field // names that tell the scheme, and the value that means https
	realIP   string           // name of the field with the client's address; "" for none
	realHost string           // name of the field with the host the client asked for; "" for none
	initials [256]bool        // of the names of all fields that count; most others are told apart by that
}

// NewTrust reads the settings about proxies. The error is a *fault.Error.
func NewTrust(c *config.Config) (*Trust, error) {
	p, err := newPeers("forwarded_allow_ips", c.ForwardedAllowIPs)
	if err != nil {
		return nil, err
	}
	t := &Trust{peers: p, realIP: c.RealIPHeader, realHost: c.RealHostHeader}
	for _, pair := range c.SecureSchemeHeaders {
		name, value, _ := strings.Cut(pair, "=")
		t.scheme = append(t.scheme, exchange.Field{Name: name, Value: value})
		t.initials[name[0]|0x20] = true
	}
	for _, name := range []string{"X-Forwarded-For", "Forwarded", t.realIP, t.realHost} {
		if name != "" {
			t.initials[name[0]|0x20] = true
		}
	}
	return t, nil
}

// Believes reports whether a peer, as in exchange.Request.RemoteAddr before Apply, is trusted.
func (t *Trust) Believes(remoteAddr string) bool { return t.peers.contain(remoteAddr) }

// Apply makes a request tell what is known of its client. From an untrusted peer it drops every field that speaks for a
// proxy, so that guests need not know about trust. From a trusted one it takes scheme, address and host over, as far as
// the settings say so. Fields that contradict each other about the scheme, and a host that is none, are a
// *exchange.Failure with status 400.
func (t *Trust) Apply(r *exchange.Request) error {
	if !slices.ContainsFunc(r.Fields, func(f exchange.Field) bool { return t.forwarding(f.Name) }) {
		return nil
	}
	if !t.Believes(r.RemoteAddr) {
		kept := r.Fields[:0]
		for _, f := range r.Fields {
			if !t.forwarding(f.Name) {
				kept = append(kept, f)
			}
		}
		r.Fields = kept
		return nil
	}
	if err := t.takeScheme(r); err != nil {
		return err
	}
	t.takeAddress(r)
	return t.takeHost(r)
}

// takeScheme takes the scheme over.
func (t *Trust) takeScheme(r *exchange.Request) error {
	scheme := ""
	for i := range r.Fields {
		for j := range t.scheme {
			if len(r.Fields[i].Name) != len(t.scheme[j].Name) || !strings.EqualFold(r.Fields[i].Name, t.scheme[j].Name) {
				continue
			}
			says := "http"
			if strings.EqualFold(strings.TrimSpace(r.Fields[i].Value), t.scheme[j].Value) {
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

// takeAddress makes the client's address the remote one. In a list each proxy has appended whom it heard from, so it is
// read from the end, past those that are trusted themselves: what is before the first who is not, anybody may have written.
// An entry that is no address ends the search.
func (t *Trust) takeAddress(r *exchange.Request) {
	if t.realIP == "" {
		return
	}
	var client netip.AddrPort
	for i := len(r.Fields) - 1; i >= 0; i-- {
		if len(r.Fields[i].Name) != len(t.realIP) || !strings.EqualFold(r.Fields[i].Name, t.realIP) {
			continue
		}
		for rest := r.Fields[i].Value; rest != ""; {
			var entry string
			if comma := strings.LastIndexByte(rest, ','); comma >= 0 {
				rest, entry = rest[:comma], rest[comma+1:]
			} else {
				rest, entry = "", rest
			}
			a, ok := forwardedAddr(entry, strings.EqualFold(t.realIP, "Forwarded"))
			if ok {
				client = a
			}
			if !ok || !t.peers.containAddr(a.Addr()) {
				setRemote(r, client)
				return
			}
		}
	}
	setRemote(r, client)
}

func setRemote(r *exchange.Request, client netip.AddrPort) {
	if client.IsValid() {
		r.RemoteAddr = client.String()
	}
}

// forwardedAddr reads an address, with a port or without, from an entry of a list or, if element says so, from the "for"
// parameter of an element of Forwarded (RFC 7239 §6).
func forwardedAddr(entry string, element bool) (netip.AddrPort, bool) {
	entry = strings.Trim(entry, " \t")
	if element {
		found := ""
		for pair := range strings.SplitSeq(entry, ";") {
			if name, value, ok := strings.Cut(strings.Trim(pair, " \t"), "="); ok && strings.EqualFold(name, "for") {
				found = strings.Trim(value, `"`)
			}
		}
		entry = found
	}
	if ap, err := netip.ParseAddrPort(entry); err == nil && ap.Addr().Zone() == "" {
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()), true
	}
	a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(entry, "["), "]"))
	if err != nil || a.Zone() != "" {
		return netip.AddrPort{}, false
	}
	return netip.AddrPortFrom(a.Unmap(), 0), true
}

// takeHost makes the host that the client asked for the request's. Of a list the last counts, the nearest proxy's.
func (t *Trust) takeHost(r *exchange.Request) error {
	if t.realHost == "" {
		return nil
	}
	host := ""
	for i := range r.Fields {
		if len(r.Fields[i].Name) == len(t.realHost) && strings.EqualFold(r.Fields[i].Name, t.realHost) {
			host = r.Fields[i].Value
		}
	}
	if host == "" {
		return nil
	}
	host = strings.Trim(host[strings.LastIndexByte(host, ',')+1:], " \t")
	if !httprules.ValidHost(host) {
		return exchange.Fail(400, exchange.BadRequest, "the proxy's field with the host holds none")
	}
	r.Host = host
	return nil
}

// forwarding reports whether a field is one by which proxies speak for clients.
func (t *Trust) forwarding(name string) bool {
	if !t.initials[name[0]|0x20] {
		return false
	}
	const x = "X-Forwarded-"
	if len(name) > len(x) && strings.EqualFold(name[:len(x)], x) ||
		strings.EqualFold(name, "Forwarded") || strings.EqualFold(name, "X-Real-Ip") ||
		strings.EqualFold(name, t.realIP) || strings.EqualFold(name, t.realHost) {
		return true
	}
	for i := range t.scheme {
		if strings.EqualFold(name, t.scheme[i].Name) {
			return true
		}
	}
	return false
}
