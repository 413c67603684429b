package host

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/host/engine"
	"github.com/appserver-go/appserver/internal/fault"
)

// guest reads a module from testdata/wasm.
func guest(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "testdata", "wasm", name+".wasm"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// options are those of a worker with small limits.
func options(wasm []byte) Options {
	return Options{
		Path: "app.wasm", Wasm: wasm, MemoryLimit: 16 << 20, MemoryBudget: 64 << 20, TableLimit: 1000, Interrupt: engine.InterruptFuel, Instances: 2,
	}
}

// load loads a guest that is closed with the test.
func load(t testing.TB, o Options) *Guest {
	t.Helper()
	g, err := Load(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	return g
}

// sink keeps the body of a response.
type sink struct{ bytes.Buffer }

func (*sink) WriteHead(int, exchange.Fields, int64) error { return nil }
func (*sink) Flush() error                                { return nil }
func (*sink) Close(exchange.Fields) error                 { return nil }
func (*sink) Abort()                                      {}

// get serves a GET of a target and returns the status and body.
func get(t testing.TB, g *Guest, target string) (status int, body string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	x := &exchange.Exchange{Request: exchange.Request{
		Method: "GET", Target: target, Proto: "HTTP/1.1", Scheme: "http", Host: "localhost", Body: strings.NewReader(""), ID: "the-id",
	}}
	var s sink
	x.Response.Reset(&s, "GET")
	if err = g.Serve(ctx, x); err == nil {
		err = x.Response.Finish()
	}
	return x.Response.Status, s.String(), err
}

func TestLoadServes(t *testing.T) {
	for _, test := range []struct{ name, protocol, want, body string }{
		{"hello", "", ProtocolHTTPWasm, "Hello from WebAssembly!\n"},
		{"hello", ProtocolHTTPWasm, ProtocolHTTPWasm, "Hello from WebAssembly!\n"},
		{"component/hello", "", ProtocolComponent, "Hello from a component!\n"},
		{"cgihello", ProtocolAuto, ProtocolCGI, "Hello from CGI/WASI\n"},
		{"cgihello", ProtocolCGI, ProtocolCGI, "Hello from CGI/WASI\n"},
	} {
		o := options(guest(t, test.name))
		o.Protocol = test.protocol
		var stages []string
		o.Stage = func(s string) { stages = append(stages, s) }
		g := load(t, o)
		if g.protocol != test.want {
			t.Errorf("%s with %q speaks %s", test.name, test.protocol, g.protocol)
		}
		if status, body, err := get(t, g, "/"); status != 200 || body != test.body || err != nil {
			t.Errorf("%s answered %d %q, %v", test.name, status, body, err)
		}
		if !slices.Equal(stages, []string{"compiling", "starting"}) {
			t.Errorf("the stages were %q", stages)
		}
	}
}

// TestLoadFails looks at what a person gets to read about each guest that cannot be loaded.
func TestLoadFails(t *testing.T) {
	component := []byte("\x00asm\x0d\x00\x01\x00")
	gojs := []byte("\x00asm\x01\x00\x00\x00\x01\x04\x01\x60\x00\x00\x02\x0a\x01\x04gojs\x01a\x00\x00\x07\x07\x01\x03run\x00\x00")
	for _, test := range []struct {
		name string
		wasm []byte
		set  func(*Options)
		err  []string
		hint string
	}{
		{"no plugin", []byte("\x7fELF\x02\x01\x01"), nil, []string{"plugin"}, ""},
		{"native code", []byte("\x7fELF\x02\x01\x01"), func(o *Options) { o.Protocol = ProtocolHTTPWasm }, []string{"Go plugin", "http-wasm"}, "guest.protocol"},
		{"component", component, nil, []string{"component is no guest"}, "wasi:http/proxy"},
		{"text", []byte("<html>"), nil, []string{`begins with "<html>"`}, "GOOS=wasip1"},
		{"empty", nil, nil, []string{"no WebAssembly module"}, "GOOS=wasip1"},
		{"truncated", guest(t, "truncated"), nil, []string{"cut short"}, "copy it again"},
		{"noabi", guest(t, "noabi"), nil, []string{"http_handler", "handle_request", "_start", "imports nothing", `exports "add"`}, "guest.protocol"},
		{"gojs", gojs, nil, []string{`imports "gojs.a"`, `exports "run"`}, "GOOS=js"},
		{"noabi as cgi", guest(t, "noabi"), func(o *Options) { o.Protocol = ProtocolCGI }, []string{"exports no function _start"}, "main function"},
		{"cgi as http-wasm", guest(t, "cgihello"), func(o *Options) { o.Protocol = ProtocolHTTPWasm }, []string{"handle_request"}, ""},
		{"protocol", guest(t, "hello"), func(o *Options) { o.Protocol = "fcgi" }, []string{`protocol "fcgi" is unknown`}, "auto, http-wasm, cgi, stdio or wws"},
		{"badexports", guest(t, "badexports"), nil, []string{"handle_request", "i64", "handle_response"}, ""},
		{"badimport", guest(t, "badimport"), nil, []string{"env.missing_function", "env.missing_too"}, "wasip1"},
		{"trapstart", guest(t, "trapstart"), nil, []string{"unreachable", "start"}, ""},
		{"startexit", guest(t, "startexit"), nil, []string{"7"}, ""},
		{"endlesstable", guest(t, "endlesstable"), nil, []string{"unreachable"}, ""},
		{"bigmemory", guest(t, "bigmemory"), nil, []string{"4294967296 bytes", "16777216"}, "--guest-memory-limit"},
		{"bigtable", guest(t, "bigtable"), nil, []string{"100000000 elements", "1000"}, "--guest-table-limit"},
		{"directory", guest(t, "hello"), func(o *Options) { o.Dirs = []string{"/tmp"} }, []string{`"/tmp" has no path for the guest`}, "host:guest"},
		{"absent directory", guest(t, "cgihello"), func(o *Options) { o.Dirs = []string{"/absent/dir:/x"} }, []string{"/absent/dir"}, "--guest-dirs"},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := options(test.wasm)
			if test.set != nil {
				test.set(&o)
			}
			_, err := Load(t.Context(), o)
			if fault.Code(err) != fault.LoadFailed {
				t.Fatalf("got %v, with code %d", err, fault.Code(err))
			}
			if !strings.HasPrefix(err.Error(), "load app.wasm: ") || strings.Contains(err.Error(), "\n") {
				t.Errorf("the message is %q", err)
			}
			for _, want := range test.err {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the message lacks %q: %q", want, err)
				}
			}
			if hint := fault.Hint(err); hint == "" || !strings.Contains(hint, test.hint) {
				t.Errorf("the hint is %q, want %q in it", hint, test.hint)
			}
		})
	}
}

func TestLoadIsBounded(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := Load(ctx, options(guest(t, "loopstart")))
	if fault.Code(err) != fault.LoadFailed || fault.Hint(err) == "" {
		t.Errorf("got %v", err)
	}
}

func TestBadCacheDir(t *testing.T) {
	o := options(guest(t, "hello"))
	o.CacheDir = "/dev/null/cache"
	_, err := Load(t.Context(), o)
	if fault.Code(err) != fault.BootFailed || !strings.Contains(fault.Hint(err), "--guest-cache-dir") {
		t.Errorf("got %v", err)
	}
}

// TestHostileGuest serves good requests after every bad one.
func TestHostileGuest(t *testing.T) {
	g := load(t, options(guest(t, "hostile")))
	for _, target := range []string{"/trap", "/grow", "/recurse", "/exit", "/headers", "/status?101", "/tablegrow", "/log"} {
		_, _, err := get(t, g, target)
		if ok := target == "/tablegrow" || target == "/log"; ok != (err == nil) {
			t.Errorf("%s: %v", target, err)
		}
		for range 3 {
			if status, body, err := get(t, g, "/"); status != 200 || body != "ok" || err != nil {
				t.Fatalf("after %s: %d %q, %v", target, status, body, err)
			}
		}
	}
	if s := g.Stats(); s.Instances > 2 || s.DeniedGrows == 0 {
		t.Errorf("stats are %+v", s)
	}
}

func TestGuestLog(t *testing.T) {
	var mu sync.Mutex
	var lines []string
	o := options(guest(t, "hostile"))
	o.GuestLog = func(id string, _ slog.Level, line string) {
		mu.Lock()
		defer mu.Unlock()
		lines = append(lines, id+": "+line)
	}
	g := load(t, o)
	if _, _, err := get(t, g, "/log"); err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(lines, func(s string) bool { return strings.HasPrefix(s, "the-id: ") && strings.Contains(s, "forged") }) {
		t.Errorf("the lines are %q", lines)
	}
}

func TestDescribe(t *testing.T) {
	got := map[string]string{}
	for _, f := range load(t, options(guest(t, "hostile"))).Describe() {
		got[f.Key] = f.Value
	}
	for key, want := range map[string]string{
		"protocol": "http-wasm", "memory": "1.1 MiB to start, 16 MiB at most", "tables": "1 to 1000 elements",
		"imports": `6 functions of "http_handler", 3 functions of "wasi_snapshot_preview1"`,
		"exports": `"memory", "handle_request", "handle_response"`, "instances": "2 at most", "isolation": "shared",
	} {
		if got[key] != want {
			t.Errorf("%s is %q, want %q", key, got[key], want)
		}
	}
	for _, key := range []string{"size", "compiled in"} {
		if got[key] == "" {
			t.Errorf("%s is missing", key)
		}
	}
	for _, f := range load(t, options(guest(t, "cgihello"))).Describe() {
		if f.Key == "instances" && f.Value != "a fresh one for each request" {
			t.Errorf("a CGI guest has %s instances", f.Value)
		}
	}
}

func TestParseDir(t *testing.T) {
	for _, test := range []struct {
		s    string
		want engine.Dir
		err  string
	}{
		{"/srv:/data", engine.Dir{Host: "/srv", Guest: "/data"}, ""},
		{"./public:/", engine.Dir{Host: "./public", Guest: "/"}, ""},
		{"/srv:/data:rw", engine.Dir{Host: "/srv", Guest: "/data", Writable: true}, ""},
		{"/srv:/data:ro", engine.Dir{Host: "/srv", Guest: "/data"}, ""},
		{"/a:b:/data:rw", engine.Dir{Host: "/a:b", Guest: "/data", Writable: true}, ""},
		{"/srv", engine.Dir{}, "no path for the guest"},
		{"/srv:rw", engine.Dir{}, "no path for the guest"},
		{":/data", engine.Dir{}, "no path for the guest"},
		{"", engine.Dir{}, "no path for the guest"},
		{"/srv:data", engine.Dir{}, "is not absolute"},
		{"/srv:/data:rx", engine.Dir{}, "is not absolute"},
		{"/srv\x00:/data", engine.Dir{}, "NUL"},
	} {
		got, err := ParseDir(test.s)
		if got != test.want || (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
			t.Errorf("%q: got %+v, %v", test.s, got, err)
		}
		if err != nil && fault.Hint(err) == "" {
			t.Errorf("%q: no hint", test.s)
		}
	}
	if _, err := parseDirs([]string{"/a:/x", "/b:/x/"}); err == nil || !strings.Contains(err.Error(), "both at /x") {
		t.Errorf("two directories at one path: %v", err)
	}
}

func TestSize(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1 KiB", 1536: "1.5 KiB", 16 << 20: "16 MiB", 4 << 30: "4 GiB", 5 << 40: "5120 GiB"} {
		if got := size(n); got != want {
			t.Errorf("%d is %q, want %q", n, got, want)
		}
	}
}
