package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/appserver-go/appserver/host/goplugin"
	"github.com/appserver-go/appserver/internal/load"
)

// The host of these plugins is this test binary, whose toolchain and flags, -race included, `appserver plugin build`
// finds out for itself.

// plugins holds the plugins that tests share, each built once.
var plugins = &pluginCache{built: map[string]*sharedPlugin{}}

type pluginCache struct {
	mu    sync.Mutex
	dir   string // below the system's directory for temporary files
	built map[string]*sharedPlugin
}

type sharedPlugin struct {
	once sync.Once
	path string
	err  error
}

// get returns the entry of a plugin.
func (c *pluginCache) get(name string) (*sharedPlugin, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dir == "" {
		var err error
		if c.dir, err = os.MkdirTemp("", "appserver-test-plugins-"); err != nil {
			return nil, err
		}
	}
	if c.built[name] == nil {
		c.built[name] = &sharedPlugin{path: filepath.Join(c.dir, name+".so")}
	}
	return c.built[name], nil
}

// removePlugins removes what the tests have built.
func removePlugins() {
	if plugins.dir != "" {
		os.RemoveAll(plugins.dir)
	}
}

// plugin returns the plugin built from a directory of testdata/plugin.
func plugin(t *testing.T, name string) string {
	t.Helper()
	if !goplugin.Supported {
		t.Skip("this build has no cgo")
	}
	p, err := plugins.get(name)
	if err != nil {
		t.Fatal(err)
	}
	p.once.Do(func() { p.err = buildTestPlugin(filepath.Join("testdata", "plugin", name), p.path) })
	if p.err != nil {
		t.Fatal(p.err)
	}
	return p.path
}

func buildTestPlugin(dir, out string) error {
	if text, err := command("plugin", "build", dir, "-o", out).CombinedOutput(); err != nil {
		return fmt.Errorf("plugin build: %w\n%s", err, text)
	}
	return nil
}

// fails runs appserver, wants exit code 1 and all texts on standard error, and returns that.
func fails(t *testing.T, cmd *exec.Cmd, texts ...string) string {
	t.Helper()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != 1 {
		t.Fatalf("%v: %v, want exit code 1\n%s", cmd.Args, err, stderr.String())
	}
	for _, text := range texts {
		if !strings.Contains(stderr.String(), text) {
			t.Errorf("%v does not say %q:\n%s", cmd.Args[1:], text, stderr.String())
		}
	}
	return stderr.String()
}

func TestPluginServes(t *testing.T) {
	note := filepath.Join(t.TempDir(), "note")
	scratch := t.TempDir()
	s := start(t, plugin(t, "app"), "-w", "1", "--keepalive", "5", "--guest-plugin-config", "greeting=hi, all", "--guest-plugin-config", "closed="+note,
		"--env", "TMPDIR="+scratch)
	if left, err := os.ReadDir(scratch); err != nil || len(left) > 0 {
		t.Errorf("the worker left %v, %v", left, err)
	}
	resp := s.mustGet("/?q=1", 200)
	if string(resp.Body) != "<html>hi, all one 1" || resp.Get("content-type") != "text/html; charset=utf-8" {
		t.Errorf("body %q of type %q", resp.Body, resp.Get("content-type"))
	}
	s.mustGet("/nothing", 404)
	body := strings.Repeat("x", 100_000)
	raw := fmt.Sprintf("POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	if resp, err := load.Do(t.Context(), s.addr, raw); err != nil || resp.Status != 200 || string(resp.Body) != body {
		t.Errorf("echo: %v, %v", resp, err)
	}
	s.mustGet("/print", 200)
	for _, line := range []string{"printed on stdout", "logged by the plugin"} {
		s.awaitRecord(line, func(r record) bool { return strings.HasSuffix(r.text("line"), line) && r.text("stream") == "guest" })
	}
	if strings.Contains(s.out.String(), "printed") {
		t.Error("the plugin wrote into the server's standard output")
	}
	s.stop()
	if text, err := os.ReadFile(note); string(text) != "closed" {
		t.Errorf("Close was not called: %v", err)
	}
}

func TestPluginPanicsAreContained(t *testing.T) {
	s := start(t, plugin(t, "app"), "-w", "1")
	before := s.workers()
	if resp := s.mustGet("/panic", 500); strings.Contains(string(resp.Body), "bug") {
		t.Errorf("the client is told %q", resp.Body)
	}
	s.awaitRecord("the panic with its stack", func(r record) bool {
		return strings.Contains(r.text("error"), "a bug of the plugin") && strings.Contains(r.text("stack"), "main.go")
	})
	if resp, err := s.get("/abort"); err == nil {
		t.Errorf("a response that was broken off arrived whole: %q", resp.Body)
	}
	s.mustGet("/", 200)
	if !sameInts(before, s.workers()) {
		t.Errorf("workers changed from %v to %v", before, s.workers())
	}
	s.stop()
}

// A handler that obeys its context, one that is late and one that never stops: each caller gets 504 at the timeout. Only
// the last costs a worker, and each has one line in the access log.
func TestPluginTimeouts(t *testing.T) {
	s := start(t, plugin(t, "app"), "-w", "1", "-k", "threaded", "--threads", "2", "--timeout", "1", "--abort-grace", "1.5", "--access-log", "-")
	victim := s.workers()[0]
	for _, path := range []string{"/obey", "/late", "/stuck"} {
		begin := time.Now()
		s.mustGet(path, 504)
		if took := time.Since(begin); took < time.Second || took > 2*time.Second+slack {
			t.Errorf("%s: 504 after %v", path, took)
		}
		if path != "/stuck" && !alive(victim) {
			t.Fatalf("%s killed the worker\n%s", path, s.log())
		}
		s.mustGet("/", 200)
	}
	s.awaitRecord("the stack of the stuck handler", func(r record) bool {
		return r.text("path") == "/stuck" && strings.Contains(r.text("stack"), "main.go")
	})
	s.awaitRecord("the murder", func(r record) bool { return r.text("path") == "/stuck" && r.text("age") != "" })
	eventually(t, patience, "the worker with the stuck request is gone", func() bool { return !alive(victim) })
	s.mustGet("/", 200)
	s.stop()
	for _, path := range []string{"/obey", "/late", "/stuck"} {
		if n := strings.Count(s.out.String(), "GET "+path+" "); n != 1 {
			t.Errorf("%d lines for %s in the access log:\n%s", n, path, s.out.String())
		}
	}
}

func TestPluginHandlerVariable(t *testing.T) {
	s := start(t, plugin(t, "variable"), "-w", "1")
	if body := string(s.mustGet("/", 200).Body); body != "from a variable" {
		t.Errorf("body %q", body)
	}
	s.stop()
}

func TestPluginRefused(t *testing.T) {
	app := plugin(t, "app")
	for _, test := range []struct {
		name string
		args []string
		text []string
	}{
		{"error", []string{app, "--guest-plugin-config", "boot=error"}, []string{"NewHandler: the database is not there"}},
		{"panic", []string{app, "--guest-plugin-config", "boot=panic"}, []string{"NewHandler panicked: assignment to entry in nil map", "main.go:"}},
		{"nil", []string{app, "--guest-plugin-config", "boot=nil"}, []string{"neither a handler nor an error"}},
		{"wrong type", []string{plugin(t, "wrongtype")}, []string{"NewHandler is func() string, want func(map[string]string) (http.Handler, error)"}},
		{"no symbol", []string{plugin(t, "nosymbol")}, []string{"neither NewHandler nor Handler; it exports Meta, Version"}},
		{"protocol", []string{app, "--guest-protocol", "cgi"}, []string{"guest.protocol wants cgi"}},
		{"program", []string{os.Args[0]}, []string{"is no Go plugin"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			fails(t, command(append([]string{"check"}, test.args...)...), append(test.text, "appserver: hint: ")...)
		})
	}
	libc, _ := filepath.Glob("/lib/*/libc.so.6")
	if len(libc) > 0 {
		fails(t, command("check", libc[0]), "not made by Go")
		fails(t, command("plugin", "check", libc[0]), "not made by Go")
	}
	text := filepath.Join(t.TempDir(), "app.so")
	if err := os.WriteFile(text, []byte("This is no plugin.\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	fails(t, command("plugin", "check", text), "no Go plugin")
	t.Setenv("TMPDIR", t.TempDir()) // the second worker may be stopped while it writes there
	s := launch(t, app, "--guest-plugin-config", "boot=error")
	if code := s.wait(); code != 4 {
		t.Errorf("serve exits with %d\n%s", code, s.log())
	}
}

func TestPluginMismatch(t *testing.T) {
	if !goplugin.Supported {
		t.Skip("this build has no cgo")
	}
	dir := t.TempDir()
	t.Run("trimpath", func(t *testing.T) {
		other := filepath.Join(dir, "trimmed.so")
		build := exec.Command("go", "build", "-buildmode=plugin", "-trimpath", "-o", other, ".")
		build.Dir = filepath.Join("testdata", "plugin", "nosymbol")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		for _, args := range [][]string{{"plugin", "check", other}, {"check", other}} {
			fails(t, command(args...), "does not fit this appserver\n", "    -trimpath", "have true", "want false", "packages differ: ",
				"hint: rebuild it: appserver plugin build ./dir -o app.so; or compile the handler to WebAssembly")
		}
	})
	t.Run("module", func(t *testing.T) {
		out := filepath.Join(dir, "othersys.so")
		said := fails(t, command("plugin", "build", filepath.Join("testdata", "plugin", "othersys"), "-o", out),
			"does not fit", "golang.org/x/sys", "have ./sys", "want v", "1 package differs: golang.org/x/sys/unix", "go get golang.org/x/sys@v")
		if strings.Contains(said, "-trimpath") {
			t.Errorf("it blames what is the same:\n%s", said)
		}
		if _, err := os.Stat(out); err == nil {
			t.Error("a plugin that does not fit was written")
		}
	})
	if out, err := command("plugin", "check", plugin(t, "app")).CombinedOutput(); err != nil || !strings.Contains(string(out), "fits this appserver") {
		t.Errorf("%v\n%s", err, out)
	}
}

// A plugin that is built anew at the same path is what workers of the next start serve.
func TestPluginRebuilt(t *testing.T) {
	app := plugin(t, "app")
	dir := t.TempDir()
	sources := filepath.Join("testdata", "plugin", "app")
	if err := os.CopyFS(dir, os.DirFS(sources)); err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile(filepath.Join(sources, "main.go"))
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(app)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "app.so")
	files := map[string][]byte{
		"go.mod": []byte("module example.com/plugin/app\n\ngo 1.26.0\n"), "app.so": content,
		"main.go": bytes.Replace(source, []byte(`"one"`), []byte(`"two"`), 1),
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := start(t, path, "-w", "1")
	if body := string(s.mustGet("/", 200).Body); !strings.Contains(body, " one ") {
		t.Errorf("body %q", body)
	}
	if err := buildTestPlugin(dir, path); err != nil {
		t.Fatal(err)
	}
	// The generation keeps the bytes it began with: workers that are replaced must not differ from their siblings.
	victim := s.workers()[0]
	if err := syscall.Kill(victim, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, patience, "the worker is gone", func() bool { return !alive(victim) })
	if body := string(s.mustGet("/", 200).Body); !strings.Contains(body, " one ") {
		t.Errorf("a replaced worker serves %q", body)
	}
	reloadPlugin(t, s, " two ", func() { s.signal(syscall.SIGHUP) })
	s.stop()
}

// With --reload a build is enough.
func TestPluginReloadsItself(t *testing.T) {
	app, err := os.ReadFile(plugin(t, "app"))
	if err != nil {
		t.Fatal(err)
	}
	old, err := os.ReadFile(plugin(t, "variable"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "app.so")
	if err := os.WriteFile(path, old, 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, path, "-w", "2", "-k", "threaded", "--reload")
	reloadPlugin(t, s, " one ", func() {
		if err := os.WriteFile(path+".new", app, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	})
	s.stop()
}

// reloadPlugin makes a reload happen under load, and wants what the new plugin says and no request lost.
func reloadPlugin(t *testing.T, s *appserver, want string, trigger func()) {
	t.Helper()
	stop := hammer(s, s.addr, 8, true)
	trigger()
	s.awaitMsg("Reload complete")
	lostNothing(t, stop())
	if body := string(s.mustGet("/", 200).Body); !strings.Contains(body, want) {
		t.Errorf("the new plugin serves %q", body)
	}
}

// A build without cgo says so wherever somebody could run into it.
func TestPluginWithoutCgo(t *testing.T) {
	bin := filepath.Join(t.TempDir(), "appserver")
	build := exec.Command("go", "build", "-o", bin, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if out, err := exec.Command(bin, "version").Output(); err != nil || !strings.Contains(string(out), "go plugins: not in this build (CGO_ENABLED=0)") {
		t.Errorf("%v\n%s", err, out)
	}
	app := filepath.Join(t.TempDir(), "app.so")
	if err := os.WriteFile(app, []byte("\x7fELF\x02\x01\x01"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"check", app}, {"plugin", "check", app}, {"plugin", "build", t.TempDir()}} {
		fails(t, exec.Command(bin, args...), "built without cgo and cannot load Go plugins", "hint: use a build with cgo")
	}
	if want := map[bool]string{true: "go plugins: supported", false: "go plugins: not"}[goplugin.Supported]; true {
		if out, err := command("version").Output(); err != nil || !strings.Contains(string(out), want) {
			t.Errorf("%v\n%s", err, out)
		}
	}
}
