package config

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite golden files")

// keys returns the keys of a struct's fields by their tags.
func keys(t reflect.Type, prefix string) []string {
	var all []string
	for i := range t.NumField() {
		f := t.Field(i)
		key := prefix + f.Tag.Get("mapstructure")
		switch {
		case f.Type.Kind() == reflect.Struct:
			all = append(all, keys(f.Type, key+".")...)
		case f.Type.Kind() == reflect.Slice && f.Type.Elem().Kind() == reflect.Struct: // an Array
		default:
			all = append(all, key)
		}
	}
	return all
}

func tableKeys() []string {
	var all []string
	for _, s := range Settings() {
		all = append(all, s.Key)
	}
	return all
}

func TestTableHasEveryField(t *testing.T) {
	want, got := keys(reflect.TypeFor[Config](), ""), tableKeys()
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("the table and the tags of Config differ:\ntable %v\ntags  %v", got, want)
	}
}

func TestKindsFitFields(t *testing.T) {
	want := map[Kind]reflect.Type{
		String: reflect.TypeFor[string](), Enum: reflect.TypeFor[string](), Int: reflect.TypeFor[int](),
		Duration: reflect.TypeFor[time.Duration](), Bytes: reflect.TypeFor[Size](), Mode: reflect.TypeFor[FileMode](),
		List: reflect.TypeFor[[]string](), Repeated: reflect.TypeFor[[]string](),
		Bool: reflect.TypeFor[bool](), Ratio: reflect.TypeFor[float64](),
	}
	var c Config
	for _, s := range Settings() {
		if got := s.field(&c).Type(); got != want[s.Kind] {
			t.Errorf("%s is %v, want %v", s.Key, got, want[s.Kind])
		}
		if (s.Kind == Enum) != (s.Values != nil) {
			t.Errorf("%s has values %v", s.Key, s.Values)
		}
	}
}

func TestNamesAreUnique(t *testing.T) {
	seen := map[string]string{"-c": "the configuration file", "-h": "help", "--config": "the file", "--help": "help", EnvConfig: "the file"}
	for _, s := range Settings() {
		names := []string{s.EnvName()}
		if s.Flag() != "" {
			names = append(names, "--"+s.Flag())
		}
		if s.Short != "" {
			names = append(names, "-"+s.Short)
		}
		for _, name := range names {
			if seen[name] != "" {
				t.Errorf("%s is a name of both %s and %s", name, seen[name], s.Key)
			}
			seen[name] = s.Key
		}
	}
	want := map[string]string{
		"-b": "bind", "-w": "workers", "-k": "worker_class", "-t": "timeout", "-p": "pidfile", "-u": "user", "-g": "group",
		"-m": "umask", "-n": "proc_name", "-e": "env", "--worker-class": "worker_class",
		"--guest-memory-limit": "guest.memory_limit", "APPSERVER_GUEST_MEMORY_LIMIT": "guest.memory_limit",
	}
	for name, key := range want {
		if seen[name] != key {
			t.Errorf("%s is %q, want %s", name, seen[name], key)
		}
	}
}

func TestTableIsComplete(t *testing.T) {
	sections, last := Sections(), -1
	for _, s := range Settings() {
		at := slices.Index(sections, s.Section)
		if at < 0 || at < last {
			t.Errorf("%s is in section %q, out of order", s.Key, s.Section)
		}
		last = at
		if s.Help == "" || strings.HasSuffix(s.Help, ".") || s.Reload == "" || len(s.Help) > 80 {
			t.Errorf("%s has the help %q and reload class %q", s.Key, s.Help, s.Reload)
		}
		if s.Doc != "" && !strings.HasSuffix(s.Doc, ".") {
			t.Errorf("the doc of %s does not end with a full stop", s.Key)
		}
	}
}

func TestDefault(t *testing.T) {
	want := Config{
		Bind: []string{"127.0.0.1:8000"}, Backlog: 2048, ListenMode: "shared", SocketMode: 0o660,
		Workers: 2, ReloadBatch: 1, WorkerClass: "sync", Threads: 1, WorkerConnections: 1000, QueueLimit: 64,
		Timeout: 30 * time.Second, AbortGrace: 5 * time.Second, WorkerTimeout: 30 * time.Second, BootTimeout: time.Minute,
		GracefulTimeout: 30 * time.Second, Keepalive: 5 * time.Second, KeepaliveRequests: 1000, HeaderTimeout: 10 * time.Second,
		StallTimeout: 30 * time.Second, DisconnectGrace: time.Second, WebSocketTimeout: 10 * time.Minute, LimitRequestLine: 8190, LimitRequestFields: 100, LimitRequestFieldSize: 8190,
		LimitRequestBody: 10_000_000, ForwardedAllowIPs: []string{"127.0.0.1", "::1"}, Umask: 0o22, Upgrade: "manual", ReloadEngine: "auto",
		CertReqs: "none", TLSMinVersion: "1.2", HTTPProtocols: []string{"h2", "h1"}, HTTP2Cleartext: "off", HTTP2MaxConcurrentStreams: 100,
		SecureSchemeHeaders: []string{"X-Forwarded-Protocol=ssl", "X-Forwarded-Proto=https", "X-Forwarded-Ssl=on"},
		RealIPHeader:        "X-Forwarded-For", ProxyProtocol: "off", ProxyAllowIPs: []string{"127.0.0.1", "::1"},
		LogLevel: "info", LogFormat: "auto", ErrorLog: "-", RequestIDHeader: "X-Request-Id", OTelServiceName: "appserver", OTelSampleRatio: 1, ControlSocket: "auto", HookTimeout: 10 * time.Second,
		AccessLogFormat: `%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s"`,
		Guest: Guest{
			Protocol: "auto", MemoryLimit: 128 << 20, MemoryBudget: 512 << 20, TableLimit: 1_000_000, Interrupt: "fuel", Isolation: "reset",
			OutboundTimeout: 30 * time.Second, OutboundCalls: 100, OutboundBody: 32 << 20,
		},
	}
	got := Default()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("defaults are\n%+v, want\n%+v", got, want)
	}
	if err := got.Validate([]string{"sync", "threaded"}); err != nil {
		t.Errorf("defaults are refused: %v", err)
	}
}

// fill gives every field a value that no other has.
func fill(v reflect.Value, n *int) {
	for i := range v.NumField() {
		f := v.Field(i)
		*n++
		switch f.Kind() {
		case reflect.Struct:
			fill(f, n)
		case reflect.String:
			f.SetString(fmt.Sprintf("text %d <&>\n\u2028\" é", *n))
		case reflect.Slice:
			if f.Type().Elem().Kind() == reflect.Struct {
				f.Set(reflect.MakeSlice(f.Type(), 1, 1))
				fill(f.Index(0), n)
				continue
			}
			f.Set(reflect.ValueOf([]string{"", fmt.Sprintf("item %d,\\", *n)}))
		case reflect.Bool:
			f.SetBool(true)
		case reflect.Float64:
			f.SetFloat(1 / float64(*n))
		case reflect.Uint32:
			f.SetUint(uint64(*n % 0o777))
		default:
			f.SetInt(int64(*n)*1_000_003 + 1)
		}
	}
}

func TestJSONRoundTrip(t *testing.T) {
	var want Config
	n := 0
	fill(reflect.ValueOf(&want).Elem(), &n)
	for name, c := range map[string]Config{"filled": want, "default": Default(), "zero": {}} {
		data, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		var got Config
		if err := json.Unmarshal(data, &got); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !reflect.DeepEqual(got, c) {
			t.Errorf("%s: got\n%+v, want\n%+v", name, got, c)
		}
	}
}

func TestMarkdownIsUpToDate(t *testing.T) {
	path, want := filepath.Join("..", "docs", "settings.md"), SettingsMarkdown()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Error("docs/settings.md differs from the table: go test ./config -run Markdown -update")
	}
	for _, s := range Settings() {
		if !strings.Contains(want, "### `"+s.Key+"`\n") || !strings.Contains(want, s.EnvName()) {
			t.Errorf("%s is not documented", s.Key)
		}
	}
}

func TestSampleHasEverySetting(t *testing.T) {
	sample := Sample()
	for _, s := range Settings() {
		if !strings.Contains(sample, "\n#"+s.leaf()+" = ") {
			t.Errorf("the sample lacks %s", s.Key)
		}
	}
	for line := range strings.Lines(sample) {
		if line != "\n" && line[0] != '#' && line != "[guest]\n" && line != "[hooks]\n" {
			t.Errorf("the sample has the live line %q", line)
		}
	}
}

func TestSuggest(t *testing.T) {
	for word, want := range map[string]string{
		"workrs": "workers", "wrokers": "workers", "worker-class": "worker_class", "WorkerClass": "worker_class",
		"loglevel": "log_level", "Timeout": "timeout", "timeouts": "timeout", "bnid": "bind", "zebra": "", "x": "",
		"keep_alive": "keepalive", "max_request": "max_requests", "guest.memory": "guest.memory_limit",
		strings.Repeat("workers", 100): "",
	} {
		if got := Suggest(word, tableKeys()); got != want {
			t.Errorf("Suggest(%.20q) = %q, want %q", word, got, want)
		}
	}
	if got := Suggest("warning", []string{"debug", "info", "warn", "error"}); got != "warn" {
		t.Errorf("Suggest(warning) = %q", got)
	}
}

func TestSuggestKey(t *testing.T) {
	for key, want := range map[string]string{
		"wrokers": `did you mean "workers"?`, "raw_env": `gunicorn's raw_env is called "env" here`,
		"loglevel": `gunicorn's loglevel is called "log_level" here`, "server.bind": `did you mean "bind"?`,
		"memory_limit": `did you mean "guest.memory_limit"?`, "zebra": "appserver config init",
	} {
		if got := SuggestKey(key); !strings.HasPrefix(got, want) {
			t.Errorf("SuggestKey(%q) = %q, want %q", key, got, want)
		}
	}
}

func TestHookCommands(t *testing.T) {
	var c Config
	if got := c.HookCommands(); len(got) != 0 {
		t.Errorf("no hooks set, got %v", got)
	}
	c.Hooks.OnExit, c.Hooks.PreFork = "echo bye", "true"
	if got := c.HookCommands(); len(got) != 2 || got["on_exit"] != "echo bye" || got["pre_fork"] != "true" {
		t.Errorf("got %v", got)
	}
	if n := reflect.TypeFor[Hooks]().NumField(); n != 12 {
		t.Errorf("%d hooks, want 12", n)
	}
}
