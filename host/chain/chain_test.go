package chain

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/host"
	"github.com/appserver-go/appserver/host/engine"
	"github.com/appserver-go/appserver/host/httpwasm"
	"github.com/appserver-go/appserver/internal/fault"
)

// guest is a module of testdata/wasm under the name, with small limits.
func guest(t *testing.T, name, module, config string) Guest {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "testdata", "wasm", module+".wasm"))
	if err != nil {
		t.Fatal(err)
	}
	return Guest{Name: name, Options: host.Options{
		Path: module + ".wasm", Wasm: b, Config: []byte(config), MemoryLimit: 16 << 20, TableLimit: 1000, Isolation: httpwasm.IsolationReset, Instances: 2,
	}}
}

// app is an app that is a guest.
func app(t *testing.T, name, module string) App {
	g := guest(t, name, module, "")
	return App{Name: name, Guest: &g}
}

func load(t *testing.T, o Options) *Chain {
	t.Helper()
	o.Platform = host.PlatformOptions{Interrupt: engine.InterruptFuel, MemoryBudget: 256 << 20}
	c, err := Load(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// sink keeps the body of a response.
type sink struct{ bytes.Buffer }

func (*sink) WriteHead(int, exchange.Fields, int64) error { return nil }
func (*sink) Flush() error                                { return nil }
func (*sink) Close(exchange.Fields) error                 { return nil }
func (*sink) Abort()                                      {}

// get serves a GET for a host and a target.
func get(t *testing.T, c *Chain, target string) (x *exchange.Exchange, body string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	at, rest, _ := strings.Cut(target, "/")
	x = &exchange.Exchange{Request: exchange.Request{
		Method: "GET", Target: "/" + rest, Proto: "HTTP/1.1", Scheme: "http", Host: at, Body: strings.NewReader(""), ID: "the-id",
	}}
	var s sink
	x.Response.Reset(&s, "GET")
	if err = c.Serve(ctx, x); err == nil {
		err = x.Response.Finish()
	}
	return x, s.String(), err
}

// tags are the values of x-tag, by which middleware tells that it was there.
func tags(fields exchange.Fields) (values []string) {
	for _, f := range fields {
		if strings.EqualFold(f.Name, "x-tag") {
			values = append(values, f.Value)
		}
	}
	return values
}

// Requests pass the middleware in the order it is given in, responses the other way round, each guest with what is its own.
func TestMiddlewareInOrder(t *testing.T) {
	a := app(t, "app", "cgienv")
	a.Guest.Options.Env = []string{"WHOSE=app"}
	c := load(t, Options{App: &a, Middleware: []Guest{
		guest(t, "middleware[1]", "tag", "outer"), guest(t, "middleware[2]", "tag", "middle"), guest(t, "middleware[3]", "tag", "inner"),
	}})
	for range 3 { // instances are used again
		x, body, err := get(t, c, "h/x")
		if err != nil || !strings.Contains(body, "env HTTP_X_TAG=outer, middle, inner\n") || !strings.Contains(body, "env WHOSE=app\n") {
			t.Fatalf("error %v, body:\n%s", err, body)
		}
		if got, want := tags(x.Response.Fields), []string{"inner", "middle", "outer"}; !slices.Equal(got, want) {
			t.Errorf("the response has the tags %v, want %v", got, want)
		}
		if got := tags(x.Request.Fields); got != nil {
			t.Errorf("the caller's request has the tags %v", got)
		}
	}
	if s := c.Stats(); s.Instances != 4 {
		t.Errorf("%d instances live, want one of each guest", s.Instances)
	}
	var names []string
	for _, f := range c.Describe() {
		if f.Value == "tag.wasm" || f.Value == "cgienv.wasm" {
			names = append(names, f.Key)
		}
	}
	if want := []string{"middleware[1]", "middleware[2]", "middleware[3]", "app"}; !slices.Equal(names, want) {
		t.Errorf("described are %v, want %v", names, want)
	}
}

func TestRoutesToEveryEnd(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Write([]byte("upstream " + r.URL.Path + " below " + r.Header.Get("X-Forwarded-Prefix")))
	}))
	socket := filepath.Join(t.TempDir(), "s")
	unix, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	go http.Serve(unix, server.Config.Handler)
	defer unix.Close()
	server.Start()
	defer server.Close()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.txt"), []byte("file a"), 0o644); err != nil {
		t.Fatal(err)
	}
	passing := app(t, "route[4]", "next")
	passing.Static = dir
	rest := app(t, "app", "hello")
	c := load(t, Options{App: &rest, Middleware: []Guest{guest(t, "middleware[1]", "tag", "m")}, Routes: []Route{
		{Path: "/up", Strip: true, App: App{Name: "route[1]", Upstream: server.URL}},
		{Host: "*.unix", App: App{Name: "route[2]", Upstream: "unix:" + socket}},
		{Path: "/files", Strip: true, App: App{Name: "route[3]", Static: dir}},
		{Path: "/passing", Strip: true, App: passing},
		{Path: "/cgi", Strip: true, App: app(t, "route[5]", "cgienv")},
		{Path: "/one", Strip: true, App: app(t, "route[6]", "component/hello")}, // whose host functions must not be one another's
		{Path: "/two", Strip: true, App: app(t, "route[7]", "component/hello")},
	}})
	for target, want := range map[string]string{
		"h/": "Hello from WebAssembly!", "h/up/x": "upstream /x below /up", "a.unix/up": "upstream /up below ", "h/files/a.txt": "file a",
		"h/passing/a.txt": "file a", "h/cgi/x?q": "env SCRIPT_NAME=/cgi\n",
		"h/one/": "Hello from a component!", "h/two/": "Hello from a component!",
	} {
		x, body, err := get(t, c, target)
		if err != nil || !strings.Contains(body, want) || !slices.Equal(tags(x.Response.Fields), []string{"m"}) {
			t.Errorf("%s: error %v, tags %v, body %q, want %q", target, err, tags(x.Response.Fields), body, want)
		}
		if seen := x.Response.Fields.Get("x-seen"); (seen == "1") != strings.HasPrefix(target, "h/passing") {
			t.Errorf("%s: x-seen is %q", target, seen)
		}
	}
	if _, _, err := get(t, c, "h/files/none"); exchange.AsFailure(err).Status != 404 && err != nil {
		t.Errorf("a file that is not there: %v", err)
	}
}

// An app may be without a guest, and everything without an app.
func TestWithoutGuests(t *testing.T) {
	for _, c := range []struct {
		name string
		o    Options
		want int
	}{
		{"nothing", Options{}, 404},
		{"route for others", Options{Routes: []Route{{Host: "other", App: App{Name: "route[1]", Static: t.TempDir()}}}}, 404},
		{"dead upstream", Options{App: &App{Name: "app", Upstream: "unix:/nonexistent/socket"}}, 502},
	} {
		if _, _, err := get(t, load(t, c.o), "h/"); exchange.AsFailure(err).Status != c.want {
			t.Errorf("%s: %v, want status %d", c.name, err, c.want)
		}
	}
}

// Whatever fails, at the start or at a request, the error says which of the guests it was.
func TestFailuresNameTheGuest(t *testing.T) {
	rest := app(t, "app", "hello")
	for _, c := range []struct {
		o    Options
		want string
	}{
		{Options{App: &rest, Middleware: []Guest{guest(t, "middleware[1]", "tag", "m"), guest(t, "middleware[2]", "trapstart", "")}}, "middleware[2]: load trapstart.wasm: "},
		{Options{App: &rest, Middleware: []Guest{guest(t, "middleware[1]", "cgihello", "")}}, "middleware[1]: load cgihello.wasm: "},
		{Options{App: &rest, Routes: []Route{{Path: "/a", App: app(t, "route[1]", "noabi")}}}, "route[1]: load noabi.wasm: "},
		{Options{App: &rest, Routes: []Route{{Path: "/a", App: App{Name: "route[1]", Static: "/nonexistent"}}}}, "route[1]: static: "},
	} {
		_, err := Load(t.Context(), c.o)
		if err == nil || !strings.HasPrefix(err.Error(), c.want) || fault.Hint(err) == "" {
			t.Errorf("error %v with the hint %q, want %q", err, fault.Hint(err), c.want)
		}
	}
	trap := app(t, "route[1]", "cgitrap")
	dead := App{Name: "route[2]", Upstream: "unix:/nonexistent/socket"}
	c := load(t, Options{App: &rest, Routes: []Route{{Path: "/trap", App: trap}, {Path: "/dead", App: dead}}, Middleware: []Guest{guest(t, "middleware[1]", "tag", "m")}})
	broken := load(t, Options{App: &rest, Middleware: []Guest{guest(t, "middleware[1]", "tag", "m"), guest(t, "middleware[2]", "tag", "")}})
	for _, q := range []struct {
		c      *Chain
		target string
		status int
		want   string
	}{
		{c, "h/trap", 500, "route[1] (cgitrap.wasm): "},
		{c, "h/dead", 502, "route[2] (upstream): "},
		{broken, "h/", 500, "middleware[2] (tag.wasm): "},
	} {
		_, _, err := get(t, q.c, q.target)
		var f *exchange.Failure
		if !errors.As(err, &f) || f.Status != q.status || !strings.HasPrefix(f.Error(), q.want) {
			t.Errorf("%s: %v, want status %d and %q", q.target, err, q.status, q.want)
		}
		if strings.Count(err.Error(), ".wasm)") > 1 {
			t.Errorf("%s names more than one: %v", q.target, err)
		}
	}
}

// Each guest of a worker shares under names of its own, and finds its own again.
func TestSiblingsOfEachGuest(t *testing.T) {
	shared := map[string]*os.File{}
	siblings := engine.Siblings{
		Inherit: func(name string) *os.File { return shared[name] },
		Offer: func(name string, f *os.File) {
			if shared[name] != nil {
				t.Errorf("%s is offered twice", name)
			}
			fd, err := dup(f)
			if err != nil {
				t.Fatal(err)
			}
			shared[name] = fd
		},
	}
	worker := func() *Chain {
		o := Options{Middleware: []Guest{guest(t, "middleware[1]", "tag", "one"), guest(t, "middleware[2]", "tag", "two")}}
		a := app(t, "app", "hello")
		o.App = &a
		for _, g := range []*Guest{&o.Middleware[0], &o.Middleware[1], a.Guest} {
			g.Options.Siblings = siblings
		}
		return load(t, o)
	}
	worker()
	if len(shared) != 3 {
		t.Fatalf("%d files are shared, want an image of each guest: %v", len(shared), shared)
	}
	x, _, err := get(t, worker(), "h/") // which would offer what it had not found
	if got := tags(x.Response.Fields); err != nil || !slices.Equal(got, []string{"two", "one"}) {
		t.Errorf("goes on from another's images with %v, error %v", got, err)
	}
}

func TestNumbered(t *testing.T) {
	seen := map[string]bool{}
	for n := range 800 {
		s := numbered(engine.Siblings{Offer: func(name string, _ *os.File) {
			if seen[name] || len(name) > 16 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz") != "" {
				t.Errorf("guest %d shares under %q", n, name)
			}
			seen[name] = true
		}}, n)
		s.Offer("module", nil)
	}
}

// dup returns another descriptor of the file.
func dup(f *os.File) (*os.File, error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	var fd int
	var dupErr error
	if err := raw.Control(func(n uintptr) { fd, dupErr = syscall.Dup(int(n)) }); err != nil || dupErr != nil {
		return nil, errors.Join(err, dupErr)
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}
