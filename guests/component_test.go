package guests_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/internal/jcotest"
)

// wit writes a directory for jco with a guest's world and the interfaces that the server has, and returns it with what
// is in it.
func wit(t *testing.T, world string) (dir string, content []byte) {
	t.Helper()
	for _, path := range []string{world, "../host/component/wasi/wasi.wit", "../host/component/wasihttp/http.wit"} {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		content = append(content, b...)
	}
	dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "guest.wit"), content, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir, content
}

// TestGoComponent builds the Go example as its README says and serves it.
func TestGoComponent(t *testing.T) {
	t.Parallel()
	log := &lines{}
	h := mustLoad(t, goComponent(t, "go-hello"), options{
		env: []string{"GREETING=hi", "GUEST_CONFIG=the configuration"}, log: log, reset: true, warmup: []string{"/json"},
	})
	for _, f := range h.Describe() {
		if f.Key == "isolation" && f.Value != "reset" {
			t.Errorf("isolation is %s", f.Value)
		}
	}
	t.Run("answers", func(t *testing.T) { testAnswers(t, h) })
	t.Run("echo", func(t *testing.T) { testEcho(t, h) })
	t.Run("panic", func(t *testing.T) { testPanic(t, h, &exchange.Failure{Status: 500, Reason: exchange.Trapped}, log) })
	a := serve(t.Context(), h, request("GET", "/json?b=2", "", "X-A", "1", "x-a", "2"))
	for _, part := range []string{`"X-A":["1","2"]`, `"method":"GET"`, `"host":"example.com"`, `"query":{"b":["2"]}`} {
		if !strings.Contains(string(a.body), part) {
			t.Errorf("%s is missing in %s", part, a.body)
		}
	}
}

// TestJSComponent builds the JavaScript example as its README says and serves it.
func TestJSComponent(t *testing.T) {
	jcotest.Path(t)
	t.Parallel()
	source, err := filepath.Abs("js-hello/app.js")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(source)
	if err != nil {
		t.Fatal(err)
	}
	dir, content := wit(t, "js-hello/guest.wit")
	path := jcotest.Cached(t, "js-hello", func(path string) {
		jcotest.Run(t, "componentize", source, "--wit", dir, "--world-name", "guest", "--out", path)
	}, text, content)
	log := &lines{}
	h := mustLoad(t, path, options{log: log, reset: true, cache: filepath.Join(filepath.Dir(path), "code")})
	big := strings.Repeat("0123456789abcdef", 1<<14)
	for range 2 { // in the second round, everything has been there before
		for _, tt := range []struct {
			method, target, body string
			status               int
			want                 string
		}{
			{"GET", "/", "", 200, "Hello from JavaScript, GET /\n"},
			{"POST", "/echo", big, 200, big},
			{"GET", "/json?a=b", "", 200, `{"method":"GET","path":"/json","query":"?a=b","count":1}`},
			{"GET", "/slow", "", 200, "line 0\nline 1\nline 2\n"},
			{"GET", "/log", "", 200, "logged\n"},
			{"GET", "/spin", "", 504, ""},
		} {
			ctx, cancel := t.Context(), context.CancelFunc(func() {})
			if tt.status == 504 {
				ctx, cancel = context.WithTimeout(ctx, 100*time.Millisecond)
			}
			a := serve(ctx, h, request(tt.method, tt.target, tt.body))
			cancel()
			if a.status != tt.status || tt.status == 200 && string(a.body) != tt.want {
				t.Errorf("%s %s: %d %.200q, %v", tt.method, tt.target, a.status, a.body, a.err)
			}
		}
		if a := serve(t.Context(), h, request("GET", "/throw", "")); a.status < 500 {
			t.Errorf("/throw: %d %q, %v", a.status, a.body, a.err)
		}
	}
	if !strings.Contains(log.String(), "a line from JavaScript") {
		t.Errorf("the log has %q", log)
	}
}

// goComponent builds a Go program on the kit as a component.
func goComponent(t *testing.T, dir string) string {
	t.Helper()
	jcotest.Path(t)
	core := build(t, dir, "-buildmode=c-shared", "-tags", "component")
	interfaces, _ := wit(t, "kit/component.wit")
	embedded, path := core+".embedded", core+".component"
	jcotest.Run(t, "embed", "--wit", interfaces, "--world-name", "guest", core, "-o", embedded)
	jcotest.Run(t, "new", embedded, "--wasi-reactor", "-o", path)
	return path
}

// TestComponentFiles has a component work with a directory, read-only and writable.
func TestComponentFiles(t *testing.T) {
	t.Parallel()
	path := goComponent(t, filepath.Join("testdata", "files"))
	for _, mode := range []string{"", ":rw"} {
		data := t.TempDir()
		if err := os.WriteFile(filepath.Join(data, "in.txt"), []byte("content"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("/etc/passwd", filepath.Join(data, "link")); err != nil {
			t.Fatal(err)
		}
		h := mustLoad(t, path, options{reset: true, dirs: []string{data + ":/data" + mode}})
		for range 2 {
			got := string(serve(t.Context(), h, request("GET", "/", "")).body)
			want := `read "content": <nil>
absent: No such file or directory
link out: Operation not permitted
out: Bad file number
mkdir: <nil>
write: <nil>
append: <nil>
rename: <nil>
read "one two three": <nil>
dirtrue in.txtfalse linkfalse: <nil>
stat 7 true: <nil>
symlink: symlink /etc /data/etc: Operation not permitted
remove: <nil>
rmdir: <nil>
`
			if mode == "" {
				want = `read "content": <nil>
absent: No such file or directory
link out: Operation not permitted
out: Bad file number
mkdir: Read-only file system
write: Read-only file system
append: Read-only file system
rename: rename /data/dir/a /data/dir/b: Read-only file system
read "": No such file or directory
in.txtfalse linkfalse: <nil>
stat 7 true: <nil>
symlink: symlink /etc /data/etc: Operation not permitted
remove: Read-only file system
rmdir: Read-only file system
`
			}
			if got != want {
				t.Errorf("with %q:\n%s", mode, got)
			}
		}
	}
}
