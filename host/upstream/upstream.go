// Package upstream passes requests on to another HTTP server, as the end of a chain of guests: what an http-wasm guest
// answers with "next" goes there. It is an exchange.Handler over net/http/httputil.ReverseProxy. It does not balance
// load, retry or cache; whoever needs that puts a proxy behind it.
package upstream

import (
	"context"
	"errors"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"time"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/internal/fault"
	"github.com/appserver-go/appserver/internal/httpwriter"
)

// Limits on connections to the upstream server. A request's own deadline bounds everything else.
const (
	dialTimeout = 10 * time.Second
	idleTimeout = 30 * time.Second // below the keep-alive timeouts of common servers (nginx 75 s), to win the race
	maxIdle     = 128
)

// Handler passes exchanges on to one upstream server. It is safe for concurrent use.
type Handler struct {
	target    *url.URL
	transport *http.Transport
	proxy     *httputil.ReverseProxy
}

// New makes a Handler for a URL: http://host[:port][/prefix], https://…, or unix:/path/to/socket. The request's path
// is appended to the prefix. Errors are of type *fault.Error. What the proxy remarks goes to log at Debug; nil discards
// it.
func New(rawURL string, log *slog.Logger) (*Handler, error) {
	target, socket, err := parse(rawURL)
	if err != nil {
		return nil, err
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	dialer := &net.Dialer{Timeout: dialTimeout}
	h := &Handler{target: target}
	h.transport = &http.Transport{
		DialContext:         dialer.DialContext,
		TLSHandshakeTimeout: dialTimeout,
		ForceAttemptHTTP2:   true,
		MaxIdleConns:        maxIdle,
		MaxIdleConnsPerHost: maxIdle,
		IdleConnTimeout:     idleTimeout,
		DisableCompression:  true, // bodies pass as they are
	}
	if socket != "" {
		h.transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", socket)
		}
	}
	h.proxy = &httputil.ReverseProxy{
		Transport:      h.transport,
		Rewrite:        h.rewrite,
		ModifyResponse: watchBody,
		ErrorHandler:   noteError,
		ErrorLog:       stdLog(log),
	}
	return h, nil
}

// Close closes idle connections. Requests under way are not disturbed.
func (h *Handler) Close() error {
	h.transport.CloseIdleConnections()
	return nil
}

// urlHint is what to write instead of a URL that is none.
const urlHint = "write http://host:port, https://host or unix:/path/to/socket"

// parse takes an upstream URL apart. socket is the path of a unix socket.
func parse(raw string) (target *url.URL, socket string, err error) {
	if path, ok := strings.CutPrefix(raw, "unix:"); ok {
		path = strings.TrimPrefix(path, "//")
		if !strings.HasPrefix(path, "/") {
			return nil, "", fault.New(urlHint, "upstream %q: the path of the socket must be absolute", raw)
		}
		return &url.URL{Scheme: "http", Host: "localhost"}, path, nil
	}
	u, err := url.Parse(raw)
	if at := strings.LastIndex(raw, "@"); at >= 0 {
		raw = "…" + raw[at:] // errors must not tell a password
	}
	if err != nil {
		var why *url.Error
		if errors.As(err, &why) {
			err = why.Err // without the URL
		}
		return nil, "", fault.New(urlHint, "upstream %q is not a URL: %w", raw, err)
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, "", fault.New(urlHint, "upstream %q has the scheme %q and not http, https or unix", raw, u.Scheme)
	case u.Hostname() == "":
		return nil, "", fault.New(urlHint, "upstream %q names no host", raw)
	case u.User != nil:
		return nil, "", fault.New("leave out the part before the @; guests can set an Authorization field",
			"upstream URL of %s has a user name or password", u.Host)
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, "", fault.New("leave out everything from the ? or # on", "upstream %q has a query or fragment", raw)
	}
	return u, "", nil
}

// Serve passes x on. Errors are of type *exchange.Failure: 502 when the upstream server does not answer or breaks its
// answer off, 504 when it takes too long, and the client's when the request's body cannot be read.
func (h *Handler) Serve(ctx context.Context, x *exchange.Exchange) error {
	call := &call{x: x}
	req, err := call.request(ctx)
	if err != nil {
		return exchange.Fail(400, exchange.BadRequest, "make the request for the upstream server: %w", err)
	}
	w := httpwriter.New(&x.Response)
	aborted := h.serveHTTP(w, req)
	call.body.Close()
	switch {
	case w.Err() != nil:
		return exchange.SendFailure(w.Err())
	case call.err == nil && !aborted: // a whole answer, whatever became of a body that the upstream did not wait for
		w.Finish()
		return nil
	case call.body.err != nil:
		return clientFailure(ctx, call.body.err)
	case call.err != nil:
		return upstreamFailure(ctx, call.err)
	}
	return upstreamFailure(ctx, errors.New("the response was broken off"))
}

// serveHTTP runs the proxy. It reports whether the proxy gave up in the middle of a response, which it tells servers
// by a panic with http.ErrAbortHandler.
func (h *Handler) serveHTTP(w http.ResponseWriter, req *http.Request) (aborted bool) {
	defer func() {
		if p := recover(); p != nil {
			if p != http.ErrAbortHandler {
				panic(p)
			}
			aborted = true
		}
	}()
	h.proxy.ServeHTTP(w, req)
	return false
}

func clientFailure(ctx context.Context, err error) error {
	var f *exchange.Failure
	switch {
	case errors.As(err, &f):
		return f
	case ctx.Err() != nil:
		return upstreamFailure(ctx, err)
	}
	return exchange.Fail(400, exchange.BadRequest, "read the request's body: %w", err)
}

func upstreamFailure(ctx context.Context, err error) error {
	var timeout net.Error
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return exchange.Fail(504, exchange.TimedOut, "upstream: %w", err)
	case ctx.Err() != nil:
		return exchange.Fail(503, exchange.Canceled, "upstream: %w", err)
	case errors.As(err, &timeout) && timeout.Timeout():
		return exchange.Fail(504, exchange.Upstream, "upstream: %w", err)
	}
	return exchange.Fail(502, exchange.Upstream, "upstream: %w", err)
}

// stdLog makes a standard logger of l. The proxy's remarks may quote the upstream server, so they become attributes.
func stdLog(l *slog.Logger) *log.Logger { return log.New(remarks{l}, "", 0) }

type remarks struct{ log *slog.Logger }

func (r remarks) Write(p []byte) (int, error) {
	r.log.Debug("Upstream proxy", "text", strings.TrimSpace(string(p)))
	return len(p), nil
}
