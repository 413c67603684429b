package kit

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/textproto"
	"net/url"
	"strconv"
)

// newRequest makes the request the host is calling the guest for. Its body is read from the host when the handler does.
func newRequest(ctx context.Context, h host) (*http.Request, error) {
	r := &http.Request{Method: h.method(), RequestURI: h.uri(), Proto: h.protocol(), RemoteAddr: h.sourceAddr()}
	var ok bool
	if r.ProtoMajor, r.ProtoMinor, ok = http.ParseHTTPVersion(r.Proto); !ok {
		r.ProtoMajor, r.ProtoMinor = 1, 1
	}
	var err error
	if r.URL, err = parseTarget(r.RequestURI); err != nil {
		return nil, fmt.Errorf("parse request target: %w", err)
	}
	r.Header = readHeader(h, ofRequest)
	r.Host = r.Header.Get("Host")
	delete(r.Header, "Host")
	setBody(r, h)
	return r.WithContext(ctx), nil
}

// parseTarget parses a request target in origin form, or the asterisk of OPTIONS.
func parseTarget(target string) (*url.URL, error) {
	if target == "*" {
		return &url.URL{Path: "*"}, nil
	}
	return url.ParseRequestURI(target)
}

// setBody gives r its body and length. HTTP/1.1 tells a body without a length from none by Transfer-Encoding, which
// a host does not show. Where a request of the method usually has no body, looking for its first byte tells; that can
// wait for the client, so for the others the length counts as unknown.
func setBody(r *http.Request, h host) {
	// Copies of r, which WithContext makes, share the map of trailers.
	trailer := http.Header{}
	b := &body{host: h, atEOF: func() { maps.Copy(trailer, readHeader(h, ofRequestTrailer)) }}
	r.Trailer, r.Body, r.ContentLength = trailer, b, -1
	if n, err := strconv.ParseUint(r.Header.Get("Content-Length"), 10, 63); err == nil {
		r.ContentLength = int64(n)
	} else if r.Method != http.MethodPost && r.Method != http.MethodPut && r.Method != http.MethodPatch && !b.peek() {
		r.ContentLength = 0
	}
	if r.ContentLength == 0 {
		r.Body, r.Trailer = http.NoBody, nil
	}
}

func readHeader(h host, kind uint32) http.Header {
	names := h.headerNames(kind)
	header := make(http.Header, len(names))
	for _, name := range names {
		header[textproto.CanonicalMIMEHeaderKey(name)] = h.headerValues(kind, name)
	}
	return header
}
