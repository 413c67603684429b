package link

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/pires/go-proxyproto"
	"github.com/pires/go-proxyproto/tlvparse"
)

// Proxy reads the header with which proxies tell whose connection they pass on (the PROXY protocol, versions 1 and 2).
//
// A peer that may send one must: a receiver that guessed would let clients write headers of their own wherever the proxy
// has none (section 5 of the protocol's specification). Other peers are served as they are, and a header of theirs is no
// HTTP.
type Proxy struct {
	// Version is 1 or 2, or 0 for either.
	Version int
	// Allowed reports whether a peer, "" for one on a unix socket, may speak for others.
	Allowed func(remote string) bool
}

// ErrProxyHeader is wrapped by errors about the header of a peer that must send one: a proxy that is not set up for it, or
// somebody who reaches the port past the proxy.
var ErrProxyHeader = errors.New("PROXY header")

// read takes the header off the link, and its addresses over. A header cut in the middle of a line by version 1's sender
// is refused; the specification has it sent at once.
func (p *Proxy) read(l *Link) error {
	if !p.Allowed(l.Remote) {
		return nil
	}
	r := bufio.NewReaderSize(l.Socket, proxyBuffer)
	h, err := proxyproto.Read(r)
	switch {
	case errors.Is(err, proxyproto.ErrNoProxyProtocol) && r.Buffered() == 0:
		return net.ErrClosed // a probe that connects and goes is nobody's fault
	case err != nil:
		return fmt.Errorf("%w: %w", ErrProxyHeader, err)
	case p.Version != 0 && int(h.Version) != p.Version:
		return fmt.Errorf("%w: version %d is not the one of proxy_protocol", ErrProxyHeader, h.Version)
	}
	if n := r.Buffered(); n > 0 {
		early, err := r.Peek(n)
		if err != nil {
			return err
		}
		l.Early = append([]byte(nil), early...)
	}
	return l.apply(h)
}

// proxyBuffer is the room for a header, and for what comes with it. Headers with more than 4 KiB are refused.
const proxyBuffer = 4<<10 + 256

// apply takes over what a header tells. LOCAL and UNKNOWN are the proxy's own connections, such as probes.
func (l *Link) apply(h *proxyproto.Header) error {
	if h.Command.IsLocal() {
		return nil
	}
	src, dst, ok := h.TCPAddrs()
	if !ok {
		if _, _, unix := h.UnixAddrs(); unix && h.TransportProtocol.IsStream() {
			return nil // a client on the proxy's machine: nothing better is known than the proxy itself
		}
		return fmt.Errorf("%w: not of a stream", ErrProxyHeader)
	}
	l.Remote, l.Local = addrPort(src), addrPort(dst)
	tlvs, err := h.TLVs()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrProxyHeader, err)
	}
	if ssl, ok := tlvparse.FindSSL(tlvs); ok && ssl.ClientSSL() {
		l.Scheme = "https"
	}
	return nil
}

// addrPort writes an address as exchange.Request has it: IPv4 as IPv4, however the proxy wrapped it.
func addrPort(a *net.TCPAddr) string {
	ap := a.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()).String()
}
