package upstream

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"

	"github.com/appserver-go/appserver/exchange"
)

// call is one exchange on its way through the proxy.
type call struct {
	x    *exchange.Exchange
	body *body
	err  error // why there is no response, or no whole one
}

type callKey struct{}

func callOf(ctx context.Context) *call { return ctx.Value(callKey{}).(*call) }

// request makes the request that net/http would have given a handler.
func (c *call) request(ctx context.Context) (*http.Request, error) {
	r := &c.x.Request
	c.body = &body{request: r}
	u, err := url.ParseRequestURI(strings.Clone(r.Target)) // the transport may keep strings longer than we may
	if err != nil {
		return nil, err
	}
	header := make(http.Header, len(r.Fields))
	for _, f := range r.Fields {
		header.Add(strings.Clone(f.Name), strings.Clone(f.Value))
	}
	header.Del("Expect") // 100-continue is between the client and the front end
	ctx = context.WithValue(ctx, callKey{}, c)
	// The proxy tells of responses broken off only where it finds a server.
	ctx = context.WithValue(ctx, http.ServerContextKey, &http.Server{})
	req := &http.Request{
		Method: strings.Clone(r.Method), URL: u, Host: strings.Clone(r.Host), RemoteAddr: r.RemoteAddr,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: header, Body: c.body, ContentLength: r.ContentLength,
	}
	return req.WithContext(ctx), nil
}

// rewrite directs a request to the upstream server. The client's Host is kept, and what the client is known by is
// appended to the X-Forwarded fields; those the request came with are the front end's to trust or to drop.
func (h *Handler) rewrite(pr *httputil.ProxyRequest) {
	c := callOf(pr.In.Context())
	r := &c.x.Request
	pr.SetURL(h.target)
	if r.Target == "*" {
		pr.Out.URL.Path, pr.Out.URL.RawPath = "*", ""
	}
	pr.Out.Host = pr.In.Host
	forwarded := pr.In.Header["X-Forwarded-For"]
	if ip, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		forwarded = []string{strings.Join(append(forwarded[:len(forwarded):len(forwarded)], ip), ", ")}
	}
	if len(forwarded) > 0 {
		pr.Out.Header["X-Forwarded-For"] = forwarded
	}
	if r.Scheme != "" {
		pr.Out.Header.Set("X-Forwarded-Proto", r.Scheme)
	}
	if r.Host != "" {
		pr.Out.Header.Set("X-Forwarded-Host", pr.In.Host)
	}
	if pr.Out.ContentLength < 0 {
		c.body.trailer = http.Header{}
		pr.Out.Trailer = c.body.trailer
	}
}

// body is the request's body as the transport reads it, in a goroutine that may outlive the response: a server may
// answer before it has read the request. Close waits for a read under way and lets no other begin, after which the
// request is the caller's again.
type body struct {
	request *exchange.Request
	trailer http.Header // takes the trailers at the end of the body, if not nil

	mu     sync.Mutex
	closed bool
	err    error // of the client; read it after Close
}

func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return 0, http.ErrBodyReadAfterClose
	}
	n, err := b.request.Body.Read(p)
	switch {
	case err == io.EOF && b.trailer != nil:
		for _, f := range b.request.Trailers {
			if exchange.MayTrail(f.Name) {
				b.trailer.Add(strings.Clone(f.Name), strings.Clone(f.Value))
			}
		}
	case err != nil && err != io.EOF:
		b.err = err
	}
	return n, err
}

// Close ends reading. The proxy calls it, and Serve does.
func (b *body) Close() error {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	return nil
}
