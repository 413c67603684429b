package config

import (
	"net/url"
	"path"
	"strconv"
	"strings"

	"github.com/appserver-go/appserver/internal/allowlist"
	"github.com/appserver-go/appserver/internal/fault"
)

func (c *Config) checkAddresses() error {
	if len(c.Bind) == 0 {
		return problem("bind", `bind = ["127.0.0.1:8000"] is the default`, "there is no address to listen on")
	}
	for i, addr := range c.Bind {
		if strings.TrimSpace(addr) == "" {
			return problem("bind", `write host:port, unix:path or fd://number`, "an address is empty")
		}
		for _, before := range c.Bind[:i] {
			if before == addr {
				return problem("bind", "keep one of them", "%q is given twice", clip(addr))
			}
		}
	}
	return nil
}

// maxSlots is the most workers that have a socket each: every worker holds the sockets of all.
const maxSlots = 256

func (c *Config) checkListenMode() error {
	if c.ListenMode == "slots" && c.Workers > maxSlots {
		return problem("listen_mode", "use shared, or fewer workers", "slots is for up to %d workers, not %d", maxSlots, c.Workers)
	}
	return nil
}

func (c *Config) checkUpstream() error { return checkUpstream("upstream", c.Upstream) }

// checkUpstream takes what package host/upstream does, "" for none.
func checkUpstream(key, text string) error {
	if text == "" {
		return nil
	}
	const hint = "write it like http://127.0.0.1:9000 or unix:/run/app.sock"
	if socket, ok := strings.CutPrefix(text, "unix:"); ok {
		if !path.IsAbs(socket) {
			return problem(key, hint, "the path of the socket in %q is not absolute", clip(text))
		}
		return nil
	}
	u, err := url.Parse(text)
	if err != nil {
		return problem(key, hint, "%q is not a URL", clip(text))
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return problem(key, hint, "%q has none of the schemes http, https and unix", clip(text))
	case u.Hostname() == "":
		return problem(key, hint, "%q names no host", clip(text))
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return problem(key, hint, "the URL may hold a host and a path only")
	}
	if port := u.Port(); port != "" || strings.HasSuffix(u.Host, ":") {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return problem(key, hint, "%q is not a port", clip(port))
		}
	}
	return nil
}

func (c *Config) checkEnvironments() error {
	if err := checkPairs("env", "variable", c.Env); err != nil {
		return err
	}
	return c.Guest.checkPairs()
}

func (g *Guest) checkPairs() error {
	if err := checkPairs("guest.env", "variable", g.Env); err != nil {
		return err
	}
	return checkPairs("guest.plugin_config", "name", g.PluginConfig)
}

// checkPairs wants name=value, each name once. noun says what a name is.
func checkPairs(key, noun string, env []string) error {
	seen := map[string]bool{}
	for _, pair := range env {
		name, _, ok := strings.Cut(pair, "=")
		if !ok || name == "" {
			return problem(key, "write it like NAME=value", "%q is not a %s and its value", clip(pair), noun)
		}
		if seen[name] {
			return problem(key, "keep one of them", "the %s %s is given twice", noun, clip(name))
		}
		seen[name] = true
	}
	return nil
}

func (c *Config) checkDirs() error { return c.Guest.checkDirs() }

func (g *Guest) checkDirs() error {
	seen := map[string]bool{}
	for _, m := range g.Dirs {
		dir, err := ParseDir(m)
		if err != nil {
			return err
		}
		if seen[dir.Guest] {
			return problem("guest.dirs", "keep one of them", "the guest's directory %s is given twice", clip(dir.Guest))
		}
		seen[dir.Guest] = true
	}
	return nil
}

func (c *Config) checkOutbound() error { return c.Guest.checkOutbound() }

// checkOutbound reads the list of what the guest may call.
func (g *Guest) checkOutbound() error {
	if _, err := allowlist.Parse(g.Outbound); err != nil {
		return problem("guest.outbound", fault.Hint(err), "%w", err)
	}
	return nil
}

// Dir is a directory of the host that the guest sees.
type Dir struct {
	Host     string // path on the host
	Guest    string // absolute, clean path inside the guest
	Writable bool
}

// ParseDir reads an item of guest.dirs: "host:guest", "host:guest:ro" or "host:guest:rw". The error is a *fault.Error.
func ParseDir(text string) (Dir, error) {
	const hint = "write it like /srv/data:/data, or /srv/data:/data:rw"
	parts := strings.Split(text, ":")
	if len(parts) < 2 || len(parts) > 3 || parts[0] == "" {
		return Dir{}, problem("guest.dirs", hint, "%q does not name a host's and a guest's directory", clip(text))
	}
	if !path.IsAbs(parts[1]) {
		return Dir{}, problem("guest.dirs", hint, "the guest's path %q is not absolute", clip(parts[1]))
	}
	dir := Dir{Host: parts[0], Guest: path.Clean(parts[1])}
	if len(parts) == 3 {
		if parts[2] != "ro" && parts[2] != "rw" {
			return Dir{}, problem("guest.dirs", hint, "%q is neither ro nor rw", clip(parts[2]))
		}
		dir.Writable = parts[2] == "rw"
	}
	return dir, nil
}

// checkRootPath wants a plain path: it is compared with what clients send byte for byte.
func (c *Config) checkRootPath() error {
	return checkPrefix("root_path", c.RootPath)
}

func checkPrefix(key, p string) error {
	if p == "" {
		return nil
	}
	plain := strings.IndexFunc(p, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`%?#"\<>`, r) }) < 0
	if !plain || p[0] != '/' || p == "/" || path.Clean(p) != p {
		return problem(key, "write it like /app", "%q is not a plain path without a slash at its end", clip(p))
	}
	return nil
}
