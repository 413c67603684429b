package workers

import (
	"errors"
	"log/slog"
	"net"
	"time"

	"github.com/appserver-go/appserver/config"
	"github.com/appserver-go/appserver/internal/link"
)

// newDoor makes the Door that the settings ask for. It returns nil where clients put nothing before HTTP/1.
func newDoor(c *config.Config, k *keys) (*link.Door, error) {
	d := &link.Door{HTTP2: c.HTTP2Cleartext == "prior-knowledge"}
	if k.current.Load() != nil {
		d.TLS = k.current.Load
	}
	if c.ProxyProtocol != "off" && c.ProxyProtocol != "" {
		peers, err := newPeers("proxy_allow_ips", c.ProxyAllowIPs)
		if err != nil {
			return nil, err
		}
		d.Proxy = &link.Proxy{Version: map[string]int{"v1": 1, "v2": 2}[c.ProxyProtocol], Allowed: peers.contain}
	}
	if d.Proxy == nil && d.TLS == nil && !d.HTTP2 {
		return nil, nil
	}
	return d, nil
}

// open opens the door to a connection. Clients that do not get through are their own business, and logged as that; a proxy
// that does not is the operator's.
func (f *Front) open(nc net.Conn, until time.Time) *link.Link {
	l, err := f.env.Door.Open(nc, until)
	switch {
	case err == nil:
		return l
	case errors.Is(err, link.ErrProxyHeader):
		if ok, dropped := f.doorLog.allow(time.Now()); ok {
			f.env.Log.Warn("Closing a connection without a good PROXY header", connAttrs(nc, err, "dropped", dropped)...)
		}
	default:
		f.env.Log.Debug("Closing a connection", connAttrs(nc, err)...)
	}
	return nil
}

func connAttrs(nc net.Conn, err error, more ...any) []any {
	remote, local := link.Addresses(nc)
	return append([]any{slog.String("peer", remote), slog.String("local", local), slog.String("error", err.Error())}, more...)
}
