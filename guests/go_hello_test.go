package guests_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/appserver-go/appserver/exchange"
)

// build compiles a Go program for WASI with the go command and returns the module's path.
func build(t *testing.T, dir string, flags ...string) string {
	t.Helper()
	goTool, err := exec.LookPath("go")
	if errors.Is(err, exec.ErrNotFound) {
		t.Skip("go is not on the PATH")
	}
	out := filepath.Join(t.TempDir(), "guest.wasm")
	cmd := exec.CommandContext(t.Context(), goTool, append(append([]string{"build", "-buildvcs=false", "-o", out}, flags...), ".")...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOFLAGS=")
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build %v: %v\n%s", flags, err, output)
	}
	return out
}

// TestGoHello serves the example in both forms, whose answers must be the same but for what CGI cannot carry, and the
// http-wasm form as it is and rewritten, interruptible and reset after each request.
func TestGoHello(t *testing.T) {
	for _, form := range []struct {
		name  string
		flags []string
		panic exchange.Failure // what a panic is to the server: Go programs exit, but Go libraries trap
		reset bool
	}{
		{"httpwasm", []string{"-buildmode=c-shared"}, exchange.Failure{Status: 500, Reason: exchange.Trapped}, false},
		{"reset", []string{"-buildmode=c-shared"}, exchange.Failure{Status: 500, Reason: exchange.Trapped}, true},
		{"cgi", []string{"-tags", "cgi"}, exchange.Failure{Status: 500, Reason: exchange.Exited}, false},
		{"cgi reset", []string{"-tags", "cgi"}, exchange.Failure{Status: 500, Reason: exchange.Exited}, true},
		{"stdio", []string{"-tags", "stdio"}, exchange.Failure{Status: 502, Reason: exchange.Exited}, false},
	} {
		t.Run(form.name, func(t *testing.T) {
			t.Parallel()
			log := &lines{}
			h := mustLoad(t, build(t, "go-hello", form.flags...), options{
				config: "the configuration",
				env:    []string{"GREETING=hi", "GUEST_CONFIG=the configuration"},
				log:    log,
				reset:  form.reset,
				stdio:  form.name == "stdio",
				warmup: []string{"/json"},
			})
			t.Run("answers", func(t *testing.T) { testAnswers(t, h) })
			t.Run("json", func(t *testing.T) { testJSON(t, h) })
			t.Run("echo", func(t *testing.T) { testEcho(t, h) })
			t.Run("panic", func(t *testing.T) { testPanic(t, h, &form.panic, log) })
		})
	}
}

func testAnswers(t *testing.T, h exchange.Handler) {
	for _, c := range []struct {
		method, target string
		status         int
		contentType    string
		body           string // or a part of it
	}{
		{"GET", "/", 200, "text/plain; charset=utf-8", "Hello from Go in WebAssembly!\n"},
		{"HEAD", "/", 200, "text/plain; charset=utf-8", ""},
		{"GET", "/nowhere", 404, "text/plain; charset=utf-8", "404 page not found\n"},
		{"POST", "/json", 405, "text/plain; charset=utf-8", "Method Not Allowed\n"},
		{"GET", "/env", 200, "text/plain; charset=utf-8", "config \"the configuration\"\n"},
		{"GET", "/env", 200, "text/plain; charset=utf-8", "env \"GREETING=hi\"\n"},
		{"GET", "/slow?wait=1ms", 200, "text/plain; charset=utf-8", "line 0\nline 1\nline 2\n"},
		{"GET", "/slow?wait=x", 400, "text/plain; charset=utf-8", "time: invalid duration \"x\"\n"},
	} {
		a := serve(t.Context(), h, request(c.method, c.target, ""))
		if a.err != nil || a.status != c.status || a.fields.Get("Content-Type") != c.contentType {
			t.Errorf("%s %s: status %d, type %q, error %v", c.method, c.target, a.status, a.fields.Get("Content-Type"), a.err)
		}
		if got := string(a.body); !strings.Contains(got, c.body) || c.body == "" && got != "" {
			t.Errorf("%s %s: body %q, want %q", c.method, c.target, got, c.body)
		}
	}
}

// testJSON checks what the guest sees of a request.
func testJSON(t *testing.T, h exchange.Handler) {
	long := strings.Repeat("v", 10_000)
	a := serve(t.Context(), h, request("GET", "/json?b=2&a=1", "", "X-Long", long, "Accept", "text/html", "X-Empty", ""))
	var got struct {
		Method, Host, Path, Proto, Remote string
		Query, Header                     map[string][]string
	}
	if err := json.Unmarshal(a.body, &got); err != nil {
		t.Fatalf("body %q: %v", a.body, err)
	}
	if got.Method != "GET" || got.Host != "example.com" || got.Path != "/json" || got.Proto != "HTTP/1.1" || !strings.HasPrefix(got.Remote, "192.0.2.1:") {
		t.Errorf("the guest saw %+v", got)
	}
	if len(got.Query) != 2 || got.Query["b"][0] != "2" {
		t.Errorf("the guest saw the query %v", got.Query)
	}
	if v := got.Header["X-Long"]; len(v) != 1 || v[0] != long {
		t.Errorf("X-Long arrived as %.20q", v)
	}
	if v := got.Header["X-Empty"]; len(v) != 1 || v[0] != "" {
		t.Errorf("X-Empty arrived as %q", v)
	}
	if v := got.Header["Host"]; v != nil {
		t.Errorf("Host arrived as a header field, too: %q", v)
	}
}

func testEcho(t *testing.T, h exchange.Handler) {
	megabyte := make([]byte, 1<<20)
	_, _ = rand.Read(megabyte) // never fails (crypto/rand)
	for _, c := range []struct {
		name, body string
		length     bool
	}{
		{"empty", "", true},
		{"small", "ping", true},
		{"1 MiB", string(megabyte), true},
		{"1 MiB of unknown length", string(megabyte), false},
	} {
		r := request("POST", "/echo", c.body, "Content-Type", "x/y")
		if c.length {
			r.Fields.Add("Content-Length", strconv.Itoa(len(c.body)))
		} else {
			r.ContentLength = -1
			r.Body = io.MultiReader(strings.NewReader(c.body[:1000]), strings.NewReader(c.body[1000:]))
		}
		a := serve(t.Context(), h, r)
		if a.err != nil || a.status != 200 || string(a.body) != c.body {
			t.Errorf("%s: status %d, %d bytes back, error %v", c.name, a.status, len(a.body), a.err)
		}
		if a.fields.Get("Content-Type") != "x/y" || a.fields.Get("X-Method") != "POST" {
			t.Errorf("%s: fields %v", c.name, a.fields)
		}
	}
}

// testPanic checks that a panic costs the request and nothing else.
func testPanic(t *testing.T, h exchange.Handler, want *exchange.Failure, log *lines) {
	for range 3 {
		a := serve(context.Background(), h, request("GET", "/panic", ""))
		if a.status != want.Status || a.reason != want.Reason || string(a.body) != "error page" {
			t.Errorf("panic: status %d, reason %q, body %q, error %v", a.status, a.reason, a.body, a.err)
		}
		if a := serve(context.Background(), h, request("GET", "/", "")); a.status != 200 || a.err != nil {
			t.Errorf("after a panic: status %d, error %v", a.status, a.err)
		}
	}
	if !strings.Contains(log.String(), "asked to by /panic") {
		t.Errorf("the log does not tell of the panic: %q", log)
	}
}
