package config

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/appserver-go/appserver/internal/fault"
)

// MaxEncoded is the size of the largest Config as JSON, in bytes. It travels to the workers in one packet of at most 128
// KiB, together with other things.
const MaxEncoded = 96 << 10

// Validate reports the first thing in c that cannot be, as a *fault.Error around a *Problem that names the setting.
// Classes are the names of the worker classes there are; nil takes any. It does not look at the system: whether a
// file, user or address exists is found out by who needs it, and whether App is set by RequireApp.
func (c *Config) Validate(classes []string) error {
	for _, s := range Settings() {
		if err := s.check(c); err != nil {
			return err
		}
	}
	for _, l := range Arrays() {
		if err := l.check(c); err != nil {
			return err
		}
	}
	for _, check := range []func() error{
		func() error { return c.checkClass(classes) },
		c.checkThreads,
		c.checkReady,
		c.checkAddresses,
		c.checkListenMode,
		c.checkTLS,
		c.checkTrust,
		c.checkUpstream,
		c.checkMiddleware,
		c.checkRoutes,
		c.checkRequestIDHeader,
		c.checkStatsd,
		c.checkOTel,
		c.checkRootPath,
		c.checkEnvironments,
		c.checkMemory,
		c.checkDirs,
		c.checkOutbound,
		c.checkEncoded,
	} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

// RequireApp reports, as a usage fault, that there is nothing to serve.
func (c *Config) RequireApp() error {
	switch {
	case c.App != "" || c.Upstream != "" || len(c.Route) > 0:
		return nil
	case len(c.Middleware) > 0:
		return fault.WithCode(fault.Usage, "name the guest behind it (app), an upstream or a [[route]]", "there is nothing behind the middleware")
	case len(c.Static) > 0:
		return nil
	}
	return fault.WithCode(fault.Usage, "name it: appserver serve app.wasm", "no guest given")
}

// ChooseClass makes the class threaded when more than one thread is wanted and no class was given, as gunicorn does.
// It reports whether it did.
func (c *Config) ChooseClass(given bool) bool {
	if given || c.Threads <= 1 {
		return false
	}
	c.WorkerClass = "threaded"
	return true
}

// check applies what the table says of the setting.
func (s Setting) check(root any) error {
	switch v := s.get(root).(type) {
	case string:
		if s.Kind == Enum {
			if err := s.checkEnum(v); err != nil {
				return &fault.Error{Err: &Problem{Key: s.Key, Err: err}, Hint: s.hint(v)}
			}
		}
		return s.checkText(v)
	case []string:
		for _, text := range v {
			if err := s.checkText(text); err != nil {
				return err
			}
		}
	case int:
		return s.checkRange(int64(v), func(n int64) string { return fmt.Sprint(n) })
	case time.Duration:
		return s.checkRange(int64(v), func(n int64) string { return FormatDuration(time.Duration(n)) })
	case Size:
		return s.checkRange(int64(v), func(n int64) string { return Size(n).String() })
	case float64:
		if !(v >= 0 && v <= 1) {
			return problem(s.Key, s.hint(nil), "%v is out of range", v)
		}
	case FileMode:
		if v > maxMode {
			return problem(s.Key, s.hint(nil), "%s is more than %s", v, FileMode(maxMode))
		}
	}
	return nil
}

// checkText refuses what a path or variable cannot hold and what would not survive the way to the workers.
func (s Setting) checkText(text string) error {
	if strings.ContainsRune(text, 0) {
		return problem(s.Key, "", "%q holds a zero byte", clip(text))
	}
	if !utf8.ValidString(text) {
		return problem(s.Key, "", "%q is not UTF-8", clip(text))
	}
	return nil
}

func (s Setting) checkRange(n int64, format func(int64) string) error {
	if n == 0 && s.Zero {
		return nil
	}
	bounds := "at least " + format(s.Min)
	if s.Max > 0 {
		bounds = format(s.Min) + " to " + format(s.Max)
	}
	if s.Zero {
		bounds = "0 or " + bounds
	}
	if n < s.Min || s.Max > 0 && n > s.Max {
		return problem(s.Key, "it may be "+bounds, "%s is out of range", format(n))
	}
	return nil
}

func (c *Config) checkClass(classes []string) error {
	if classes == nil || slices.Contains(classes, c.WorkerClass) {
		return nil
	}
	hint := "it is one of " + strings.Join(classes, ", ")
	if near := Suggest(c.WorkerClass, classes); near != "" {
		hint = fmt.Sprintf("did you mean %q?", near)
	} else if c.WorkerClass == "gthread" && slices.Contains(classes, "threaded") {
		hint = `gunicorn's gthread is called "threaded" here`
	}
	return problem("worker_class", hint, "there is no worker class %q", clip(c.WorkerClass))
}

func (c *Config) checkThreads() error {
	if c.WorkerClass == "sync" && c.Threads > 1 {
		return problem("threads", `set worker_class to "threaded", or threads to 1`,
			"%d threads do not go with worker class sync, which runs one request at a time", c.Threads)
	}
	if c.WorkerConnections < c.Threads {
		return problem("worker_connections", "each thread needs a connection to work for",
			"%d connections are fewer than the %d threads", c.WorkerConnections, c.Threads)
	}
	return nil
}

func (c *Config) checkReady() error {
	if c.MinReady > c.Workers {
		return problem("min_ready", "lower it, or raise workers", "%d workers cannot be ready when there are %d", c.MinReady, c.Workers)
	}
	return nil
}

func (c *Config) checkMemory() error {
	g := &c.Guest
	if g.MemoryBudget != 0 && g.MemoryBudget < g.MemoryLimit {
		return problem("guest.memory_budget", "raise it, or lower guest.memory_limit",
			"%s for all instances is less than the %s one may have", g.MemoryBudget, g.MemoryLimit)
	}
	return nil
}

func (c *Config) checkEncoded() error {
	data, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("encode settings: %w", err)
	}
	if len(data) <= MaxEncoded {
		return nil
	}
	sizes := map[string]int{
		"env": total(c.Env), "guest.env": total(c.Guest.Env), "guest.args": total(c.Guest.Args), "guest.outbound": total(c.Guest.Outbound),
		"guest.config": len(c.Guest.Config), "guest.plugin_config": total(c.Guest.PluginConfig),
		"middleware": encodedSize(c.Middleware), "route": encodedSize(c.Route),
	}
	largest := "guest.config"
	for _, s := range Settings() {
		if sizes[s.Key] > sizes[largest] {
			largest = s.Key
		}
	}
	for _, l := range Arrays() {
		if sizes[l.Key] > sizes[largest] {
			largest = l.Key
		}
	}
	return problem(largest, "keep large texts in a file that guest.dirs shows to the guest",
		"all settings together are %d bytes, more than %d", len(data), MaxEncoded)
}

func encodedSize(v any) int {
	data, err := json.Marshal(v)
	if err != nil {
		return 0 // as a part of the whole it was encoded already
	}
	return len(data)
}

func total(texts []string) int {
	n := 0
	for _, t := range texts {
		n += len(t)
	}
	return n
}
