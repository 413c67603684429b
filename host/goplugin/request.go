package goplugin

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/appserver-go/appserver/exchange"
)

// newRequest makes the request that net/http's server would have given a handler. A handler may keep it for longer than
// the exchange lasts, so texts are copied. Behind a proxy that is trusted the scheme is in the URL of no request of a
// server, so it is in X-Forwarded-Proto alone.
func newRequest(ctx context.Context, r *exchange.Request) (*http.Request, *body, error) {
	target := strings.Clone(r.Target)
	u, err := url.ParseRequestURI(target)
	if err != nil {
		return nil, nil, err
	}
	header := make(http.Header, len(r.Fields))
	for _, f := range r.Fields {
		name := http.CanonicalHeaderKey(strings.Clone(f.Name))
		header[name] = append(header[name], strings.Clone(f.Value))
	}
	// With a server in the context net/http's own proxy breaks a response off where it cannot complete it.
	ctx = context.WithValue(ctx, http.ServerContextKey, &http.Server{})
	if r.LocalAddr != "" {
		ctx = context.WithValue(ctx, http.LocalAddrContextKey, addr(strings.Clone(r.LocalAddr)))
	}
	req := &http.Request{
		Method: strings.Clone(r.Method), URL: u, RequestURI: target, Host: strings.Clone(r.Host),
		RemoteAddr: strings.Clone(r.RemoteAddr), Proto: strings.Clone(r.Proto), ProtoMajor: 1, ProtoMinor: 1,
		Header: header, ContentLength: r.ContentLength, Body: http.NoBody,
	}
	if major, minor, ok := http.ParseHTTPVersion(req.Proto); ok {
		req.ProtoMajor, req.ProtoMinor = major, minor
	}
	if r.Upgrade != "" {
		header["Connection"], header["Upgrade"] = []string{"Upgrade"}, []string{strings.Clone(r.Upgrade)}
	}
	if r.RemoteAddr == "" {
		req.RemoteAddr = "@" // what net/http says of a unix socket's peer
	}
	b := &body{request: r}
	if r.ContentLength != 0 {
		req.Body = b
	}
	if r.ContentLength < 0 {
		req.TransferEncoding = []string{"chunked"}
		req.Trailer = http.Header{}
		b.trailer = req.Trailer
	}
	return req.WithContext(ctx), b, nil
}

// addr is the address that a request came in on: "ip:port", or the path of a unix socket.
type addr string

// Network implements net.Addr.
func (a addr) Network() string {
	if _, _, err := net.SplitHostPort(string(a)); err != nil {
		return "unix"
	}
	return "tcp"
}

func (a addr) String() string { return string(a) }

// body is a request's body as the handler reads it, which may be in any goroutine and long after the exchange is over.
type body struct {
	request *exchange.Request
	trailer http.Header // takes the trailers at the end of the body, if not nil

	mu     sync.Mutex
	closed bool
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return 0, http.ErrBodyReadAfterClose
	}
	n, err := b.request.Body.Read(p)
	if errors.Is(err, io.EOF) && b.trailer != nil {
		for _, f := range b.request.Trailers {
			b.trailer.Add(strings.Clone(f.Name), strings.Clone(f.Value))
		}
		b.trailer = nil
	}
	return n, err
}

// Close ends reading. It waits for a read under way, which the front end bounds by the request's deadline; then the
// body is the caller's again.
func (b *body) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	return nil
}
