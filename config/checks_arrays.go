package config

import (
	"strings"
)

func (c *Config) checkMiddleware() error {
	l, _ := LookupArray("middleware")
	for i := range c.Middleware {
		m := &c.Middleware[i]
		if m.App == "" {
			return problem(l.itemKey(i, "app"), `app = "auth.wasm" names an http-wasm module`, "no guest given")
		}
		if err := m.Guest.checkOwn(c); err != nil {
			return l.inItem(i, err)
		}
	}
	return nil
}

// checkOwn checks the settings of a guest of an item.
func (g *Guest) checkOwn(c *Config) error {
	if b := c.Guest.MemoryBudget; b != 0 && b < g.MemoryLimit {
		return problem("guest.memory_limit", "lower it, or raise guest.memory_budget", "%s for one instance is more than the %s for all", g.MemoryLimit, b)
	}
	if err := g.checkPairs(); err != nil {
		return err
	}
	if err := g.checkDirs(); err != nil {
		return err
	}
	return g.checkOutbound()
}

func (c *Config) checkRoutes() error {
	l, _ := LookupArray("route")
	seen := map[[2]string]int{}
	for i := range c.Route {
		r := &c.Route[i]
		if err := l.checkRoute(i, r, c); err != nil {
			return err
		}
		at := [2]string{strings.ToLower(r.Host), r.Path}
		if first, twice := seen[at]; twice {
			return problem(l.itemKey(i, "path"), "keep one of them", "route %d is for the same host and path", first+1)
		}
		seen[at] = i
		if at == [2]string{} && (c.App != "" || c.Upstream != "") {
			return problem(l.itemKey(i, "path"), "give it a host or a path, or leave out app and upstream", "it is for all requests, which go to the server's own app")
		}
	}
	return nil
}

func (l Array) checkRoute(i int, r *Route, c *Config) error {
	switch {
	case r.App == "" && r.Upstream == "" && r.Static == "":
		return problem(l.itemKey(i, "app"), "give it an app, an upstream or static", "nothing answers the route's requests")
	case r.Upstream != "" && r.Static != "":
		return problem(l.itemKey(i, "static"), "keep one of them", "the route has an upstream, too")
	case r.Host != "" && !validHost(r.Host):
		return problem(l.itemKey(i, "host"), "write it like api.example.org or *.example.org, without a port", "%q is no name of a host", clip(r.Host))
	}
	if err := checkPrefix(l.itemKey(i, "path"), r.Path); err != nil {
		return err
	}
	if err := checkUpstream(l.itemKey(i, "upstream"), r.Upstream); err != nil {
		return err
	}
	if err := r.Guest.checkOwn(c); err != nil {
		return l.inItem(i, err)
	}
	return nil
}

// validHost takes names, addresses (those of IPv6 in brackets) and names with a wildcard in place of the first label.
func validHost(host string) bool {
	if v6, ok := strings.CutPrefix(host, "["); ok {
		v6, ok = strings.CutSuffix(v6, "]")
		return ok && strings.Count(v6, ":") >= 2 && strings.Trim(v6, "0123456789abcdefABCDEF:.") == ""
	}
	name := strings.TrimPrefix(host, "*.")
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 {
			return false
		}
		for _, c := range label {
			if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_') {
				return false
			}
		}
	}
	return true
}
