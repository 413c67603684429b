// Package router sends each request to the app that its host and path are for. It is an exchange.Handler made of others,
// whatever they are; package chain, which knows them, makes it. It opens nothing and knows no guest.
package router

import (
	"cmp"
	"context"
	"net"
	"slices"
	"strings"

	"github.com/appserver-go/appserver/exchange"
)

// Route says which requests a handler is for.
type Route struct {
	// Host is the host of the requests, "*.example.org" for all hosts below one, or "" for any. The case of letters and the
	// port of requests do not count.
	Host string
	// Path is what the path of the requests begins with, by whole segments and without a slash at its end; "" for any. It is
	// not escaped.
	Path string
	// Strip takes Path off what the handler gets to see, and adds it to the request's ScriptName.
	Strip bool
	// Handler answers the requests.
	Handler exchange.Handler
}

// Router is a table of routes. It is safe for concurrent use.
type Router struct {
	routes []Route // the most specific first
	paths  bool    // some route has a path
}

// New makes a Router. The order of routes matters only for two that are for the same requests, of which the first counts.
func New(routes []Route) *Router {
	r := &Router{routes: slices.Clone(routes)}
	for i := range r.routes {
		r.routes[i].Host = strings.ToLower(r.routes[i].Host)
		r.paths = r.paths || r.routes[i].Path != ""
	}
	slices.SortStableFunc(r.routes, func(a, b Route) int {
		return cmp.Or(
			cmp.Compare(class(a.Host), class(b.Host)),
			cmp.Compare(wildcardLength(b.Host), wildcardLength(a.Host)),
			cmp.Compare(strings.Count(b.Path, "/"), strings.Count(a.Path, "/")),
		)
	})
	return r
}

// class orders hosts: exact names, those with a wildcard, none.
func class(host string) int {
	switch {
	case host == "":
		return 2
	case host[0] == '*':
		return 1
	}
	return 0
}

func wildcardLength(host string) int {
	if class(host) != 1 {
		return 0
	}
	return len(host)
}

// Serve has the most specific route's handler answer x; without one it fails with 404. The request is as it was when
// Serve returns. Paths with dot segments fail with 400: they mean another path to whoever resolves them later.
func (r *Router) Serve(ctx context.Context, x *exchange.Exchange) error {
	req := &x.Request
	if r.paths && hasDots(req.Path()) {
		return exchange.Fail(400, exchange.BadRequest, "the path has segments . or .., and routes go by paths")
	}
	host := hostname(req.Host)
	for i := range r.routes {
		route := &r.routes[i]
		if !matchesHost(route.Host, host) {
			continue
		}
		rest, ok := cutPrefix(req.Target, route.Path)
		if !ok {
			continue
		}
		if route.Path == "" || !route.Strip {
			return route.Handler.Serve(ctx, x)
		}
		return route.below(ctx, x, rest)
	}
	return exchange.Fail(404, exchange.NotFound, "no route is for this host and path")
}

// below serves a request under the route's path.
func (r *Route) below(ctx context.Context, x *exchange.Exchange, rest string) error {
	req := &x.Request
	target, received, script, fields := req.Target, req.Received, req.ScriptName, req.Fields
	defer func() { req.Target, req.Received, req.ScriptName, req.Fields = target, received, script, fields }()
	if fields.Get(exchange.PrefixField) != "" {
		req.Fields = slices.Clone(fields) // or the value in it would be changed for others
	}
	req.Mount(r.Path)
	req.Retarget(rest)
	return r.Handler.Serve(ctx, x)
}

// hostname returns the host of an authority, without its port and a dot at its end, in small letters.
func hostname(authority string) string {
	host := authority
	if h, _, err := net.SplitHostPort(authority); err == nil {
		if host = h; strings.Contains(h, ":") {
			host = "[" + h + "]"
		}
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

func matchesHost(pattern, host string) bool {
	if end, ok := strings.CutPrefix(pattern, "*"); ok {
		return len(host) > len(end) && strings.HasSuffix(host, end)
	}
	return pattern == "" || pattern == host
}

// cutPrefix returns what is left of a target, which is escaped, behind a prefix, which is not. It reports false where the
// target's path does not begin with the prefix's segments. An escaped slash separates no segments (RFC 3986 §2.2).
func cutPrefix(target, prefix string) (rest string, ok bool) {
	rest = target
	for i := range len(prefix) {
		c, n := next(rest)
		if n == 0 || c != prefix[i] || n > 1 && c == '/' {
			return "", false
		}
		rest = rest[n:]
	}
	if prefix != "" && rest != "" && rest[0] != '/' && rest[0] != '?' {
		return "", false
	}
	return rest, true
}

// next returns the first byte of an escaped text and how many bytes stand for it, 0 at the end.
func next(s string) (c byte, n int) {
	if s == "" {
		return 0, 0
	}
	if s[0] == '%' && len(s) >= 3 {
		hi, lo := unhex(s[1]), unhex(s[2])
		if hi >= 0 && lo >= 0 {
			return byte(hi<<4 | lo), 3
		}
	}
	return s[0], 1
}

// unhex returns the value of a hexadecimal digit, or -1.
func unhex(c byte) int {
	if 'A' <= c && c <= 'F' {
		c += 'a' - 'A'
	}
	return strings.IndexByte("0123456789abcdef", c)
}

// hasDots reports whether a segment of an escaped path is "." or "..".
func hasDots(path string) bool {
	if !strings.Contains(path, ".") && !strings.Contains(path, "%2") {
		return false
	}
	for segment := range strings.SplitSeq(path, "/") {
		dots := 0
		for segment != "" {
			c, n := next(segment)
			if c != '.' {
				dots = 0
				break
			}
			dots, segment = dots+1, segment[n:]
		}
		if dots == 1 || dots == 2 {
			return true
		}
	}
	return false
}
