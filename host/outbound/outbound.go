// Package outbound makes the HTTP requests of guests: it is the boundary.Client of a worker, over net/http, with one pool
// of connections for all guests. What may be asked for is package boundary's to decide; to which addresses a name may
// lead is looked at here, where the connection is made, so that a name cannot lead elsewhere in between.
package outbound

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/textproto"
	"net/url"
	"slices"
	"syscall"
	"time"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/host/boundary"
	"github.com/appserver-go/appserver/internal/allowlist"
)

// Limits on connections. A call's own time bounds everything else.
const (
	dialTimeout = 10 * time.Second
	idleTimeout = 30 * time.Second
	maxIdle     = 128 // all together
	maxPerHost  = 64  // in use and idle
)

// Client is the boundary.Client of a worker. It is safe for concurrent use.
type Client struct {
	public *http.Transport // names lead to public addresses alone
	any    *http.Transport // for addresses, localhost, and guests that may call private addresses
}

// New makes a Client.
func New() *Client { return newClient(nil) }

// newClient makes a Client that resolves names in a way of its own; nil is the system's.
func newClient(names *net.Resolver) *Client {
	public := &net.Dialer{Timeout: dialTimeout, Resolver: names, Control: publicOnly}
	return &Client{public: transport(public), any: transport(&net.Dialer{Timeout: dialTimeout, Resolver: names})}
}

// transport makes a pool of connections. A pool of its own for each rule of dialing keeps a guest from going on with a
// connection that it could not have made.
func transport(d *net.Dialer) *http.Transport {
	d.SetMultipathTCP(false)
	return &http.Transport{
		Proxy:       nil, // a proxy would resolve names by itself
		DialContext: d.DialContext, TLSHandshakeTimeout: dialTimeout, ForceAttemptHTTP2: true,
		MaxIdleConns: maxIdle, MaxIdleConnsPerHost: maxIdle / 4, MaxConnsPerHost: maxPerHost, IdleConnTimeout: idleTimeout,
		MaxResponseHeaderBytes: boundary.MaxHead,
		DisableCompression:     true, // bodies pass as they are
	}
}

// publicOnly refuses a connection to an address that is not public.
func publicOnly(_, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	if !allowlist.Public(ap.Addr()) {
		return boundary.Failf(boundary.Denied, "the name leads to %s, which is not a public address", ap.Addr())
	}
	return nil
}

// Close closes idle connections. Calls under way are not disturbed.
func (c *Client) Close() {
	c.public.CloseIdleConnections()
	c.any.CloseIdleConnections()
}

// Do implements boundary.Client.
func (c *Client) Do(ctx context.Context, r *boundary.Request) (*boundary.Response, error) {
	t := c.public
	if r.Private || r.Target.Literal() {
		t = c.any
	}
	req := newRequest(ctx, r)
	res, err := t.RoundTrip(req)
	if err != nil {
		return nil, explain(err)
	}
	if res.StatusCode < 200 || res.StatusCode > 999 {
		_ = res.Body.Close() // of a response that is none
		return nil, boundary.Failf(boundary.Broken, "the server answered with the status %d", res.StatusCode)
	}
	return &boundary.Response{
		Status: res.StatusCode, Fields: fieldsOf(res.Header, res.ContentLength), Body: body{res.Body},
		Trailers: func() exchange.Fields { return fieldsOf(res.Trailer, -1) },
	}, nil
}

// newRequest makes net/http's request. The URL is not parsed again.
func newRequest(ctx context.Context, r *boundary.Request) *http.Request {
	header := make(http.Header, len(r.Fields)+1)
	for _, f := range r.Fields {
		name := textproto.CanonicalMIMEHeaderKey(f.Name)
		header[name] = append(header[name], f.Value)
	}
	if _, ok := header["User-Agent"]; !ok {
		header["User-Agent"] = []string{""} // none, rather than net/http's
	}
	u := &url.URL{Scheme: r.Target.Scheme, Host: r.Target.Authority(), RawQuery: r.Target.Query, ForceQuery: r.Target.HasQuery}
	u.Path, _ = url.PathUnescape(r.Target.Path) // it was read before
	u.RawPath = r.Target.Path
	req := &http.Request{Method: r.Method, URL: u, Header: header, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Host: u.Host}
	if r.Body != nil {
		req.Body, req.ContentLength = r.Body, r.Length
	}
	if r.Body != nil && r.Length == 0 {
		_ = r.Body.Close() // nobody needs it
		req.Body = http.NoBody
	}
	return req.WithContext(ctx)
}

// fieldsOf lists fields in a fixed order, without those of the connection.
func fieldsOf(h http.Header, length int64) exchange.Fields {
	var fields exchange.Fields
	for _, name := range slices.Sorted(maps.Keys(h)) {
		if exchange.HopByHop(name) {
			continue
		}
		for _, v := range h[name] {
			fields.Add(name, v)
		}
	}
	if length >= 0 && !fields.Has("Content-Length") {
		fields.Add("Content-Length", fmt.Sprint(length))
	}
	return fields
}

// body is a response's, with errors that say what kind they are.
type body struct{ io.ReadCloser }

func (b body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = boundary.Failf(boundary.Broken, "the response was cut off: %s", err)
	}
	return n, err
}

// explain says what an error of net/http means to a guest.
func explain(err error) error {
	var own *boundary.Error
	var dns *net.DNSError
	var op *net.OpError
	var timeout net.Error
	switch {
	case errors.As(err, &own):
		return own
	case errors.As(err, &dns):
		return boundary.Failf(boundary.Unreachable, "%s", dns)
	case errors.As(err, &op) && op.Op == "dial":
		return boundary.Failf(boundary.Unreachable, "%s", op)
	case isTLS(err):
		return boundary.Failf(boundary.Unreachable, "%s", err)
	case errors.As(err, &timeout) && timeout.Timeout():
		return boundary.Failf(boundary.Timeout, "%s", err)
	}
	return boundary.Failf(boundary.Broken, "%s", err)
}
