package config

import "fmt"

// Program is a guest of the configuration: in front of the app, of a route, or the app.
type Program struct {
	// Name is where it is in the configuration: "middleware[1]", "route[2]" or "app".
	Name string
	// Path is its file.
	Path string
	// Guest is its settings. Those that all guests of a worker have in common are in Config.Guest only.
	Guest *Guest
}

// Programs returns all guests, in the order in which requests come to them.
func (c *Config) Programs() []Program {
	var all []Program
	for i := range c.Middleware {
		all = append(all, Program{fmt.Sprintf("middleware[%d]", i+1), c.Middleware[i].App, &c.Middleware[i].Guest})
	}
	for i := range c.Route {
		if r := &c.Route[i]; r.App != "" {
			all = append(all, Program{fmt.Sprintf("route[%d]", i+1), r.App, &r.Guest})
		}
	}
	if c.App != "" {
		all = append(all, Program{"app", c.App, &c.Guest})
	}
	return all
}

// Paths returns the files of all guests.
func (c *Config) Paths() []string {
	var paths []string
	for _, p := range c.Programs() {
		paths = append(paths, p.Path)
	}
	return paths
}

// Serves says in a word what is served: the app's path, or what there is in its place.
func (c *Config) Serves() string {
	switch {
	case c.App != "":
		return c.App
	case c.Upstream != "":
		return c.Upstream
	case len(c.Route) > 0:
		r := c.Route[0]
		for _, what := range []string{r.App, r.Upstream, r.Static} {
			if what != "" {
				return what
			}
		}
	case len(c.Static) > 0:
		return "static"
	}
	return ""
}
