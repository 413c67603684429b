package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/appserver-go/appserver/internal/texttest"
)

// startDev runs `appserver dev` in a directory and waits until it listens.
func startDev(t *testing.T, dir string, args ...string) *appserver {
	t.Helper()
	s := prepareAs(t, "dev", args...)
	s.cmd.Dir = dir
	s.cmd.Env = append(s.cmd.Env, "TMPDIR="+shortDir(t))
	s.begin()
	r := s.awaitMsg("Developing")
	addrs, _ := r["addresses"].([]any)
	s.addr = strings.TrimPrefix(fmt.Sprint(addrs[0]), "http://")
	return s
}

// shortDir is a temporary directory whose path leaves room for a socket's.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "dev")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// awaitBody waits until a path answers with a status and a text, and returns the body.
func (s *appserver) awaitBody(path string, status int, text string) string {
	s.t.Helper()
	body := ""
	eventually(s.t, max(patience, s.patience), fmt.Sprintf("%d and %q at %s", status, text, path), func() bool {
		resp, err := http.Get("http://" + s.addr + path)
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		data, err := io.ReadAll(resp.Body)
		body = string(data)
		return err == nil && resp.StatusCode == status && strings.Contains(body, text)
	})
	return body
}

// greeting is hello.wasm with another text, of 24 bytes at most.
func greeting(t *testing.T, text string) []byte {
	t.Helper()
	module := read(t, wasm("hello"))
	old := []byte("Hello from WebAssembly!\n")
	if len(text) > len(old) || bytes.Count(module, old) != 1 {
		t.Fatalf("%q does not fit into hello.wasm", text)
	}
	module = bytes.Replace(module, old, fmt.Appendf(nil, "%-*s", len(old), text), 1)
	return bytes.Replace(module, []byte("text/plain; charset=utf-8"), []byte("text/html;  charset=utf-8"), 1)
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func save(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// A module that somebody else builds is served, and again whenever it changes; whatever it is at the moment, dev tells.
func TestDevServesAModule(t *testing.T) {
	dir := t.TempDir()
	s := startDev(t, dir, "app.wasm", "--request-id-header", "X-Trace")
	s.awaitBody("/", 500, "cannot open "+dir+"/app.wasm")
	save(t, filepath.Join(dir, "app.wasm"), greeting(t, "one"))
	s.awaitBody("/", 200, "one")
	save(t, filepath.Join(dir, "app.wasm"), greeting(t, "two"))
	s.awaitBody("/", 200, "two")
	save(t, filepath.Join(dir, "app.wasm"), read(t, wasm("badimport")))
	body := s.awaitBody("/", 500, "Guest does not load")
	if !strings.Contains(body, "env.missing_function") || !strings.Contains(body, "hint: ") {
		t.Errorf("the page does not say why:\n%s", body)
	}
	save(t, filepath.Join(dir, "app.wasm"), read(t, wasm("cgitrap")))
	body = s.awaitBody("/some/path?a=b", 500, "Guest trapped")
	for _, want := range []string{"unreachable", "WebAssembly stack", ".start()", "GET /some/path?a=b"} {
		if !strings.Contains(body, want) {
			t.Errorf("no %q on the page:\n%s", want, body)
		}
	}
	save(t, filepath.Join(dir, "app.wasm"), greeting(t, "three"))
	s.awaitBody("/", 200, "three")
	s.awaitMsg("Guest trapped") // in the terminal, too
	s.stop()
}

// The server of production answers the same failures with a request id and nothing else, and has none of dev's pages.
func TestFailuresTellClientsNothing(t *testing.T) {
	s := start(t, wasm("cgitrap"))
	for _, path := range []string{"/", "/.appserver/dev/events", "/.appserver/dev/reload.js"} {
		resp := s.mustGet(path, 500)
		first, id, _ := strings.Cut(string(resp.Body), "\n")
		if first != "500 Internal Server Error" || !strings.HasPrefix(id, "request id: ") || strings.Count(id, "\n") != 1 {
			t.Errorf("GET %s: %q", path, resp.Body)
		}
	}
	s.stop()
}

// builder makes a project of a shell script: it fails if the source says so, and else copies the module that it names.
func builder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	save(t, filepath.Join(dir, "modules", "one"), greeting(t, "one"))
	save(t, filepath.Join(dir, "modules", "two"), greeting(t, "two"))
	save(t, filepath.Join(dir, "modules", "trap"), read(t, wasm("cgitrap")))
	save(t, filepath.Join(dir, "build.sh"), []byte(`
echo run >>runs.log
read name <source.txt
test -e slow && { mkfifo gate; read go <gate; rm -f gate slow; }
case $name in
broken) printf 'compiling\n\033[31msource.txt:1:3: error: <b>broken</b> & "bad"\033[0m\n' >&2; exit 3 ;;
esac
cp modules/$name app.wasm
`))
	return dir
}

// devBuild starts dev on a builder whose source is name.
func devBuild(t *testing.T, dir, name string) *appserver {
	t.Helper()
	source(t, dir, name)
	return startDev(t, dir, "app.wasm", "--build", "sh build.sh")
}

func source(t *testing.T, dir, name string) {
	t.Helper()
	save(t, filepath.Join(dir, "source.txt"), []byte(name+"\n"))
}

// runs returns how often the builder was run.
func runs(dir string) int {
	data, _ := os.ReadFile(filepath.Join(dir, "runs.log")) // not there before the first
	return bytes.Count(data, []byte("run\n"))
}

// A first build that fails is shown, also where an earlier one has left a module, and so is one that fails later.
func TestDevShowsBuildFailures(t *testing.T) {
	dir := builder(t)
	save(t, filepath.Join(dir, "app.wasm"), greeting(t, "stale"))
	s := devBuild(t, dir, "broken")
	body := s.awaitBody("/", 500, "Build failed")
	for _, want := range []string{
		`> source.txt:1:3: error: <b>broken</b> & "bad"`, "command: sh build.sh", ">    1  broken", "GET /",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("no %q on the page:\n%s", want, body)
		}
	}
	source(t, dir, "one")
	s.awaitBody("/", 200, "one")
	source(t, dir, "broken")
	s.awaitBody("/", 500, "Build failed")
	source(t, dir, "missing")
	s.awaitBody("/", 500, "modules/missing")
	source(t, dir, "two")
	s.awaitBody("/", 200, "two")
	s.awaitRecord("the report in the terminal", func(r record) bool {
		return r.msg() == "Build failed" && strings.Contains(r.text("report"), "source.txt:1:3")
	})
	s.stop()
	if left, _ := filepath.Glob(filepath.Join(dir, "gate")); left != nil {
		t.Errorf("left behind: %v", left)
	}
}

// What changes while a build runs is built once, afterwards; and what builds write is no change.
func TestDevBuildsOnceAfterChangesDuringABuild(t *testing.T) {
	dir := builder(t)
	s := devBuild(t, dir, "one")
	s.awaitBody("/", 200, "one")
	save(t, filepath.Join(dir, "slow"), nil)
	source(t, dir, "two")
	gate := filepath.Join(dir, "gate")
	eventually(t, patience, "the build waits", func() bool { _, err := os.Stat(gate); return err == nil })
	before := runs(dir)
	for n := range 5 {
		save(t, filepath.Join(dir, "other.txt"), []byte(strconv.Itoa(n)))
	}
	source(t, dir, "one")
	f, err := os.OpenFile(gate, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	s.awaitRecords("the build afterwards", before+1, func(r record) bool { return r.msg() == "Built" })
	s.awaitBody("/", 200, "one")
	// One more, for a change of its own: had there been others in between, they would have come first.
	source(t, dir, "two")
	s.awaitBody("/", 200, "two")
	if n := runs(dir); n < before+2 || n > before+3 { // the removal of files by the build may be seen
		t.Errorf("%d builds, want %d", n, before+2)
	}
	s.stop()
}

// Ctrl-C ends a build that runs, with all its processes, and the server; nothing is left in the directory for
// temporary files. A dev that is killed outright takes its server with it.
func TestDevLeavesNothingBehind(t *testing.T) {
	for _, sig := range []syscall.Signal{unix.SIGINT, unix.SIGHUP, unix.SIGKILL} {
		t.Run(sig.String(), func(t *testing.T) {
			t.Parallel()
			dir := builder(t)
			source(t, dir, "one")
			s := startDev(t, dir, "app.wasm", "--build", "sh build.sh")
			s.awaitBody("/", 200, "one")
			children := descendants(s.cmd.Process.Pid)
			if len(children) < 2 {
				t.Fatalf("children: %v", children)
			}
			if sig != unix.SIGKILL {
				save(t, filepath.Join(dir, "build.sh"), []byte("sleep 1000 & echo $! >sleeper; trap '' TERM; sleep 1001\n"))
				eventually(t, patience, "the build runs", func() bool { return len(readFile(filepath.Join(dir, "sleeper"))) > 0 })
				children = descendants(s.cmd.Process.Pid)
			}
			s.signal(sig)
			if code := s.wait(); code != 0 && sig != unix.SIGKILL {
				t.Errorf("exit code %d\n%s", code, s.log())
			}
			for _, pid := range children {
				eventually(t, patience, "the end of a child", func() bool { return !alive(pid) })
			}
			tmp := ""
			for _, pair := range s.cmd.Env {
				if v, ok := strings.CutPrefix(pair, "TMPDIR="); ok {
					tmp = v
				}
			}
			if left, err := os.ReadDir(tmp); sig != unix.SIGKILL && (err != nil || len(left) > 0) {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}

// descendants returns the processes below one.
func descendants(pid int) []int {
	var all []int
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, path := range tasks {
		for f := range strings.FieldsSeq(readFile(path)) {
			if n, err := strconv.Atoi(f); err == nil {
				all = append(append(all, n), descendants(n)...)
			}
		}
	}
	return all
}

// A change of the configuration is loaded without a build; one that cannot be is shown.
func TestDevReloadsItsConfiguration(t *testing.T) {
	dir := builder(t)
	file := filepath.Join(dir, "appserver.toml")
	// What concerns clients of production does not concern dev.
	save(t, file, []byte("timeout = 5\ncertfile = \"gone.pem\"\nkeyfile = \"gone.key\"\nproxy_protocol = \"v1\"\nworkers = 4\nmin_ready = 4\n"))
	s := devBuild(t, dir, "one")
	s.awaitBody("/", 200, "one")
	before := runs(dir)
	save(t, file, []byte("timeout = \"soon\"\n"))
	s.awaitBody("/", 500, "timeout")
	save(t, file, []byte("timeout = 6\n"))
	s.awaitBody("/", 200, "one")
	if n := runs(dir); n != before {
		t.Errorf("%d builds, want %d", n, before)
	}
	s.stop()
}

// A worker that dies under a request is not the end of anything, and a server that dies is told.
func TestDevSurvivesItsServer(t *testing.T) {
	dir := builder(t)
	s := devBuild(t, dir, "one")
	s.awaitBody("/", 200, "one")
	for _, pid := range descendants(s.cmd.Process.Pid) {
		if cmdline := readFile(fmt.Sprintf("/proc/%d/cmdline", pid)); strings.Contains(cmdline, "\x00serve\x00") {
			if err := unix.Kill(pid, unix.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
	}
	s.awaitBody("/", 500, "the server has ended")
	source(t, dir, "two")
	s.awaitBody("/", 200, "two")
	s.stop()
}

func TestDevRefuses(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "is no project that is known"},
		{[]string{"nowhere"}, "there is no directory"},
		{[]string{"--workers", "x", "app.wasm"}, "workers"},
		{[]string{"--bind", "fd://3", "app.wasm"}, "dev takes no sockets"},
		{[]string{"--bind", "192.0.2.1:1", "app.wasm"}, "listen"},
	} {
		cmd := command(append([]string{"dev"}, c.args...)...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), "appserver: error: ") || !strings.Contains(string(out), c.want) ||
			!strings.Contains(string(out), "appserver: hint: ") {
			t.Errorf("%v: %v\n%s", c.args, err, out)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "app.wasm")); !errors.Is(err, os.ErrNotExist) {
		t.Error("something was written")
	}
}

// What is shown in the terminal: lines of the guest and reports, not the coming and going of workers.
func TestDevTerminal(t *testing.T) {
	dir := builder(t)
	source(t, dir, "broken")
	cmd := command("dev", "app.wasm", "--build", "sh build.sh", "--bind", "127.0.0.1:0")
	cmd.Dir = dir
	out := &texttest.Buffer{}
	cmd.Stderr = out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, patience, "the report", func() bool { return strings.Contains(out.String(), "Compiler") })
	source(t, dir, "one")
	eventually(t, patience, "the guest", func() bool { return strings.Contains(out.String(), "INF Serving") })
	if err := cmd.Process.Signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	text := out.String()
	for _, want := range []string{
		"INF Developing", "INF Building", "ERR Build failed", `    > source.txt:1:3: error: <b>broken</b> & "bad"`, "INF Stopped",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Contains(text, "\x1b") || strings.Contains(text, "worker") {
		t.Errorf("too much:\n%s", text)
	}
}

// What is behind "--" is the guest's, as for serve.
func TestDevPassesArguments(t *testing.T) {
	s := prepareAs(t, "dev", wasm("cgihello"), "--", "one", "two words")
	s.begin()
	s.awaitMsg("Serving")
	found := false
	for _, pid := range descendants(s.cmd.Process.Pid) {
		found = found || strings.HasSuffix(readFile(fmt.Sprintf("/proc/%d/cmdline", pid)), "cgihello.wasm\x00--\x00one\x00two words\x00")
	}
	if !found {
		t.Error("the server has not got the arguments")
	}
	s.stop()
}
