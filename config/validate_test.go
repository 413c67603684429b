package config

import (
	"errors"
	"math"
	"path"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/appserver-go/appserver/internal/fault"
)

func TestSet(t *testing.T) {
	for _, tt := range []struct {
		key  string
		raw  any
		want any
	}{
		{"timeout", 30, 30 * time.Second},
		{"timeout", int64(30), 30 * time.Second},
		{"timeout", uint64(30), 30 * time.Second},
		{"timeout", 1.1, 1100 * time.Millisecond},
		{"timeout", float64(2e6), 2_000_000 * time.Second},
		{"timeout", "1m", time.Minute},
		{"workers", "4", 4},
		{"workers", float64(4), 4},
		{"user", 1000, "1000"},
		{"user", float64(1000), "1000"},
		{"socket_mode", "600", FileMode(0o600)},
		{"socket_mode", 0, FileMode(0)},
		{"socket_mode", int64(7), FileMode(7)},
		{"log_level", "INFO", "info"},
		{"limit_request_body", 5, Size(5)},
		{"limit_request_body", "5k", Size(5 << 10)},
		{"bind", "a, b,,", []string{"a", "b"}},
		{"bind", []string{"a,b", "c"}, []string{"a", "b", "c"}},
		{"bind", []any{"a", "b"}, []string{"a", "b"}},
		{"bind", []any{}, []string(nil)},
		{"guest.env", "A=1,2", []string{"A=1,2"}},
		{"guest.env", []any{"A=1,2", "b=3"}, []string{"A=1,2", "b=3"}},
		{"reload", true, true},
		{"reload", "YES", true},
		{"reload", "1", true},
		{"reload", " on ", true},
		{"reload", 0, false},
		{"reload", "off", false},
		{"otel_sample_ratio", 0.25, 0.25},
		{"otel_sample_ratio", "1", 1.0},
		{"guest.args", []any{1, "x", float64(2)}, []string{"1", "x", "2"}},
	} {
		var c Config
		s, _ := Lookup(tt.key)
		if err := s.Set(&c, tt.raw, Source{}); err != nil || !reflect.DeepEqual(s.Get(&c), tt.want) {
			t.Errorf("%s = %v is %#v, %v, want %#v", tt.key, tt.raw, s.Get(&c), err, tt.want)
		}
	}
}

func TestSetRefuses(t *testing.T) {
	from := Source{Kind: FromFile, Name: "appserver.toml"}
	for _, tt := range []struct {
		key  string
		raw  any
		want string // part of the error
		hint string // part of the hint
	}{
		{"timeout", -1, "negative", "seconds"},
		{"timeout", -0.5, "negative", "seconds"},
		{"timeout", "12 parsecs", `"12 parsecs" is not a time`, "seconds"},
		{"timeout", math.NaN(), "finite", "seconds"},
		{"timeout", true, "the truth value true", "seconds"},
		{"workers", []any{1}, "it is a list", "workers = 2"},
		{"workers", 2.5, `"2.5" is not a whole number`, "workers = 2"},
		{"workers", "99999999999999999999", "not a whole number", "workers = 2"},
		{"guest.memory_limit", "128 parsecs", "unknown unit", "64KiB"},
		{"socket_mode", 432, "octal or as decimal", `socket_mode = "0660"`},
		{"umask", float64(22), "octal or as decimal", `umask = "0022"`},
		{"umask", "999", "octal", `umask = "0022"`},
		{"log_level", "warning", "not one of", `did you mean "warn"`},
		{"guest.interrupt", false, "the truth value false", "one of fuel, close, off"},
		{"guest.env", map[string]any{"A": "1"}, "it is a table", `env = ["NAME=value"]`},
		{"guest.env", []any{map[string]any{"A": "1"}}, "item 1 of the list is a table", `env = ["NAME=value"]`},
		{"guest.args", []any{"a", 1.5}, "item 2 of the list is a fraction", "list of texts"},
		{"guest.config", 1.1, "fraction", "quotes"},
		{"guest.config", time.Time{}, "a date", "quotes"},
		{"otel_sample_ratio", 1.5, "not a number from 0 to 1", "otel_sample_ratio = 0.1"},
		{"otel_sample_ratio", "NaN", "not a number from 0 to 1", "otel_sample_ratio = 0.1"},
		{"otel_sample_ratio", "10%", "not a number from 0 to 1", "otel_sample_ratio = 0.1"},
		{"bind", nil, "empty", "bind = "},
		{"reload", "maybe", `"maybe" is neither true nor false`, "reload = true"},
		{"reload", 2, `"2" is neither true nor false`, "reload = true"},
		{"reload", []any{true}, "it is a list, want true or false", "reload = true"},
	} {
		var c Config
		s, _ := Lookup(tt.key)
		err := s.Set(&c, tt.raw, from)
		if err == nil {
			t.Errorf("%s = %v is %#v, want an error", tt.key, tt.raw, s.Get(&c))
			continue
		}
		if !strings.HasPrefix(err.Error(), tt.key+" in appserver.toml: ") || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s = %v: error %q, want %q in it", tt.key, tt.raw, err, tt.want)
		}
		if hint := fault.Hint(err); !strings.Contains(hint, tt.hint) {
			t.Errorf("%s = %v: hint %q, want %q in it", tt.key, tt.raw, hint, tt.hint)
		}
		if !reflect.ValueOf(c).IsZero() {
			t.Errorf("%s = %v: the refused value is in force", tt.key, tt.raw)
		}
	}
}

func TestValidateRefuses(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(c *Config)
		key    string
		want   string
	}{
		{"ratio", func(c *Config) { c.OTelSampleRatio = -0.5 }, "otel_sample_ratio", "out of range"},
		{"collector without a scheme", func(c *Config) { c.OTelEndpoint = "collector:4317" }, "otel_endpoint", "no http or https URL"},
		{"collector with a query", func(c *Config) { c.OTelEndpoint = "http://h/?x" }, "otel_endpoint", "more than a path"},
		{"nameless service", func(c *Config) { c.OTelEndpoint, c.OTelServiceName = "http://h", "" }, "otel_service_name", "need the name"},
		{"no workers", func(c *Config) { c.Workers = 0 }, "workers", "out of range"},
		{"many workers", func(c *Config) { c.Workers = 5000 }, "workers", "out of range"},
		{"tiny timeout", func(c *Config) { c.Timeout = 30 }, "timeout", "30ns is out of range"},
		{"endless timeout", func(c *Config) { c.Timeout = math.MaxInt64 }, "timeout", "out of range"},
		{"no header timeout", func(c *Config) { c.HeaderTimeout = 0 }, "header_timeout", "out of range"},
		{"negative body", func(c *Config) { c.LimitRequestBody = -1 }, "limit_request_body", "out of range"},
		{"mode", func(c *Config) { c.Umask = 0o1777 }, "umask", "more than 0777"},
		{"zero byte", func(c *Config) { c.Pidfile = "a\x00b" }, "pidfile", "zero byte"},
		{"latin-1", func(c *Config) { c.Guest.Args = []string{"caf\xe9"} }, "guest.args", "not UTF-8"},
		{"enum", func(c *Config) { c.ListenMode = "slot" }, "listen_mode", "not one of"},
		{"class", func(c *Config) { c.WorkerClass = "threads" }, "worker_class", "no worker class"},
		{"more ready than there are", func(c *Config) { c.MinReady = 3 }, "min_ready", "3 workers cannot be ready when there are 2"},
		{"threads of sync", func(c *Config) { c.Threads = 4 }, "threads", "do not go with"},
		{
			"connections", func(c *Config) { c.WorkerClass, c.Threads, c.WorkerConnections = "threaded", 4, 3 },
			"worker_connections", "fewer than the 4 threads",
		},
		{"memory", func(c *Config) { c.Guest.MemoryLimit = 5 << 30 }, "guest.memory_limit", "5GiB is out of range"},
		{"budget", func(c *Config) { c.Guest.MemoryBudget = 1 << 20 }, "guest.memory_budget", "less than the 128MiB"},
		{"no address", func(c *Config) { c.Bind = nil }, "bind", "no address"},
		{"empty address", func(c *Config) { c.Bind = []string{" "} }, "bind", "empty"},
		{"same address", func(c *Config) { c.Bind = []string{"a:1", "a:1"} }, "bind", "twice"},
		{"peer", func(c *Config) { c.ForwardedAllowIPs = []string{"localhost"} }, "forwarded_allow_ips", "neither"},
		{"network", func(c *Config) { c.ForwardedAllowIPs = []string{"10.0.0.0/33"} }, "forwarded_allow_ips", "neither"},
		{"zone", func(c *Config) { c.ForwardedAllowIPs = []string{"fe80::1%eth0"} }, "forwarded_allow_ips", "neither"},
		{"upstream", func(c *Config) { c.Upstream = "localhost:9000" }, "upstream", "scheme"},
		{"upstream", func(c *Config) { c.Upstream = "ftp://h/" }, "upstream", "scheme"},
		{"upstream", func(c *Config) { c.Upstream = "http:///x" }, "upstream", "no host"},
		{"upstream", func(c *Config) { c.Upstream = "http://h:0/" }, "upstream", "not a port"},
		{"upstream", func(c *Config) { c.Upstream = "http://h:/" }, "upstream", "not a port"},
		{"upstream", func(c *Config) { c.Upstream = "http://u:p@h/" }, "upstream", "a host and a path only"},
		{"upstream", func(c *Config) { c.Upstream = "http://h/?" }, "upstream", "a host and a path only"},
		{"upstream", func(c *Config) { c.Upstream = "http://h\x7f/" }, "upstream", "not a URL"},
		{"env", func(c *Config) { c.Env = []string{"A"} }, "env", "not a variable"},
		{"env", func(c *Config) { c.Guest.Env = []string{"=A"} }, "guest.env", "not a variable"},
		{"env", func(c *Config) { c.Guest.Env = []string{"A=1", "A=2"} }, "guest.env", "twice"},
		{"dirs", func(c *Config) { c.Guest.Dirs = []string{"/a"} }, "guest.dirs", "does not name"},
		{"dirs", func(c *Config) { c.Guest.Dirs = []string{":/a"} }, "guest.dirs", "does not name"},
		{"dirs", func(c *Config) { c.Guest.Dirs = []string{"/a:b"} }, "guest.dirs", "not absolute"},
		{"dirs", func(c *Config) { c.Guest.Dirs = []string{"/a:/b:wr"} }, "guest.dirs", "neither ro nor rw"},
		{"dirs", func(c *Config) { c.Guest.Dirs = []string{"/a:/b", "/c:/b/"} }, "guest.dirs", "twice"},
		{"outbound", func(c *Config) { c.Guest.Outbound = []string{"api.example.com"} }, "guest.outbound", "scheme"},
		{"outbound", func(c *Config) { c.Guest.Outbound = []string{"https://h/?q"} }, "guest.outbound", "query"},
		{"size", func(c *Config) { c.Guest.Args = []string{strings.Repeat("x", MaxEncoded)} }, "guest.args", "together"},
	} {
		c := Default()
		tt.change(&c)
		err := c.Validate([]string{"sync", "threaded"})
		var f *fault.Error
		var p *Problem
		if !errors.As(err, &f) || !errors.As(err, &p) {
			t.Errorf("%s: Validate = %v, want a fault and a problem", tt.name, err)
			continue
		}
		if p.Key != tt.key || !strings.Contains(p.Error(), tt.want) {
			t.Errorf("%s: %q for %s, want %q for %s", tt.name, p, p.Key, tt.want, tt.key)
		}
	}
}

func TestValidateTakes(t *testing.T) {
	for name, change := range map[string]func(c *Config){
		"threaded":  func(c *Config) { c.WorkerClass, c.Threads = "threaded", 4 },
		"no budget": func(c *Config) { c.Guest.MemoryBudget = 0 },
		"no bounds": func(c *Config) { c.Timeout, c.GracefulTimeout, c.Keepalive, c.LimitRequestBody = 0, 0, 0, 0 },
		"jitter":    func(c *Config) { c.MaxRequestsJitter = 10 },
		"peers":     func(c *Config) { c.ForwardedAllowIPs = []string{"*", "10.0.0.0/8", "fd00::/8", "::1"} },
		"no peers":  func(c *Config) { c.ForwardedAllowIPs = nil },
		"upstream":  func(c *Config) { c.Upstream = "https://[::1]:9000/base" },
		"dirs":      func(c *Config) { c.Guest.Dirs = []string{"rel:/a", "/b:/b:ro", "/c:/c/../d:rw"} },
		"env":       func(c *Config) { c.Guest.Env = []string{"A=", "B=x=y,z"} },
	} {
		c := Default()
		change(&c)
		if err := c.Validate([]string{"sync", "threaded"}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	c := Default()
	c.WorkerClass = "other"
	if err := c.Validate(nil); err != nil {
		t.Errorf("a class is refused without a list of classes: %v", err)
	}
}

func TestClassHint(t *testing.T) {
	for class, want := range map[string]string{
		"thread": `did you mean "threaded"?`, "gthread": "threaded", "gevent": "it is one of sync, threaded",
	} {
		c := Default()
		c.WorkerClass = class
		if hint := fault.Hint(c.Validate([]string{"sync", "threaded"})); !strings.Contains(hint, want) {
			t.Errorf("%s: hint %q, want %q", class, hint, want)
		}
	}
}

func TestParseDir(t *testing.T) {
	for text, want := range map[string]Dir{
		"/srv/a:/a": {"/srv/a", "/a", false}, "a:/a/": {"a", "/a", false}, "/a:/b:rw": {"/a", "/b", true}, "/a:/:ro": {"/a", "/", false},
	} {
		if got, err := ParseDir(text); err != nil || got != want {
			t.Errorf("ParseDir(%q) = %+v, %v, want %+v", text, got, err, want)
		}
	}
}

func FuzzParseDir(f *testing.F) {
	for _, s := range []string{"/a:/b", "/a:/b:rw", "::", "a:b:c:d"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		dir, err := ParseDir(s)
		if err == nil && (dir.Host == "" || dir.Guest[0] != '/' || dir.Guest != path.Clean(dir.Guest) || strings.HasPrefix(dir.Guest+"/", "/../")) {
			t.Errorf("ParseDir(%q) = %+v", s, dir)
		}
	})
}

func TestChooseClass(t *testing.T) {
	for _, tt := range []struct {
		threads int
		given   bool
		want    string
	}{{1, false, "sync"}, {4, false, "threaded"}, {4, true, "sync"}} {
		c := Default()
		c.Threads = tt.threads
		if changed := c.ChooseClass(tt.given); c.WorkerClass != tt.want || changed != (tt.want == "threaded") {
			t.Errorf("%d threads, given %v: %s, changed %v", tt.threads, tt.given, c.WorkerClass, changed)
		}
	}
}

func TestProblemNamesItsSource(t *testing.T) {
	for kind, want := range map[SourceKind]string{
		FromDefault: "timeout: bad", FromFile: "timeout in X: bad", FromEnv: "timeout from environment variable X: bad",
		FromFlag: "timeout from flag X: bad", FromArgument: "timeout from command line: bad",
	} {
		p := &Problem{Key: "timeout", Source: Source{Kind: kind, Name: "X"}, Err: errors.New("bad")}
		if p.Error() != want {
			t.Errorf("got %q, want %q", p, want)
		}
	}
}

func TestRequireApp(t *testing.T) {
	c := Default()
	if err := c.RequireApp(); fault.Code(err) != fault.Usage {
		t.Errorf("no guest: %v", err)
	}
	c.App = "x.wasm"
	if err := c.RequireApp(); err != nil {
		t.Errorf("guest: %v", err)
	}
}
