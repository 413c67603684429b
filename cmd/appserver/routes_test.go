package main

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/appserver-go/appserver/internal/load"
)

// getAt fetches a path of a host.
func (s *appserver) getAt(host, path string) *load.Response {
	s.t.Helper()
	resp, err := load.Do(s.t.Context(), s.addr, fmt.Sprintf("GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", path, host))
	if err != nil {
		s.t.Fatalf("GET %s of %s: %v\n%s", path, host, err, s.log())
	}
	return resp
}

// The example is what its comments and docs/routes.md say it is.
func TestRoutesExample(t *testing.T) {
	dir := filepath.Join("..", "..", "examples", "routes")
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "routes.md"))
	if err != nil {
		t.Fatal(err)
	}
	commands := regexp.MustCompile(`(?m)^\$ (.+)$`).FindAllStringSubmatch(string(text), -1)
	if len(commands) != 1 || commands[0][1] != "cd examples/routes && appserver check" {
		t.Fatalf("docs/routes.md has other commands than those tried here: %v", commands)
	}
	check := command("check")
	check.Dir = dir
	out, err := check.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("\nmiddleware[1]  ../../testdata/wasm/tag.wasm\n")) || !bytes.Contains(out, []byte("\nroute[3]       upstream http://127.0.0.1:9000\n")) {
		t.Errorf("%v:\n%s", err, out)
	}
	for _, block := range regexp.MustCompile("(?s)```toml\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		file := filepath.Join(t.TempDir(), "appserver.toml")
		writeFile(t, file, block[1])
		if out, err := command("config", "print", "-c", file).CombinedOutput(); err != nil {
			t.Errorf("%v: %s in\n%s", err, out, block[1])
		}
	}
	s := start(t, "-c", filepath.Join(dir, "appserver.toml"), "--chdir", dir)
	for _, c := range []struct {
		host, path string
		status     int
		body       string
	}{
		{"h", "/", 200, "Hello from WebAssembly!\n"},
		{"h", "/apis", 200, "Hello from WebAssembly!\n"},
		{"h", "/api/users?q=1", 200, "env SCRIPT_NAME=/api\n"},
		{"h", "/api/users?q=1", 200, "env PATH_INFO=/users\n"},
		{"h", "/api/users?q=1", 200, "env X_MATCHED_ROUTE=/api/...\n"},
		{"h", "/api", 200, "env GREETING=hello\n"},
		{"h", "/files/note.txt", 200, "a file behind a route\n"},
		{"h", "/files/none", 404, ""},
		{"h", "/api/../secret", 400, ""},
	} {
		resp := s.getAt(c.host, c.path)
		if resp.Status != c.status || !strings.Contains(string(resp.Body), c.body) || c.status == 200 && resp.Get("x-tag") != "front" {
			t.Errorf("%s%s: status %d, X-Tag %q, body %q; want %d %q", c.host, c.path, resp.Status, resp.Get("x-tag"), resp.Body, c.status, c.body)
		}
	}
	s.stop()
}

// routed is a directory with a server of two guests and the route's file to write.
func routed(t *testing.T) (dir, conf string) {
	t.Helper()
	dir = t.TempDir()
	for to, from := range map[string]string{"app": "hello", "tag": "tag", "api": "cgienv"} {
		copyFile(t, wasm(from), filepath.Join(dir, to+".wasm"))
	}
	conf = filepath.Join(dir, "appserver.toml")
	writeFile(t, conf, "app = 'app.wasm'\n[[middleware]]\napp = 'tag.wasm'\nconfig = 'one'\n[[route]]\npath = '/api'\napp = 'api.wasm'\n")
	return dir, conf
}

// All guests of a generation are read once and shared by its workers, all of their files are watched, and a generation in
// which one of them is broken is given up with its name.
func TestGenerationsOfSeveralGuests(t *testing.T) {
	dir, conf := routed(t)
	s := start(t, "-c", conf, "--chdir", dir, "-w", "2", "--reload")
	tag := func(want string) {
		t.Helper()
		if resp := s.getAt("h", "/api/"); resp.Status != 200 || resp.Get("x-tag") != want {
			t.Errorf("status %d, tag %q, want %q\n%s", resp.Status, resp.Get("x-tag"), want, s.log())
		}
	}
	tag("one")
	for _, name := range []string{"app", "api"} { // which later workers have from the memory of the first ones
		if err := os.Rename(filepath.Join(dir, name+".wasm"), filepath.Join(dir, name+".away")); err != nil {
			t.Fatal(err)
		}
	}
	s.awaitRecords("images kept", 2, func(r record) bool { return r.msg() == "Kept for later workers" })
	if err := unix.Kill(s.awaitWorker(1), unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s.awaitWorker(3)
	s.awaitRecords("guests that go on", 2, func(r record) bool {
		return r.msg() == "Guest goes on from another worker's start" && r.text("worker") == "3"
	})
	tag("one")
	for _, name := range []string{"app", "api"} {
		if err := os.Rename(filepath.Join(dir, name+".away"), filepath.Join(dir, name+".wasm")); err != nil {
			t.Fatal(err)
		}
	}
	watched := filepath.Join(dir, "tag.wasm")
	copyFile(t, wasm("trapstart"), watched+".new")
	if err := os.Rename(watched+".new", watched); err != nil {
		t.Fatal(err)
	}
	s.awaitRecord("the change of the middleware", func(r record) bool {
		return r.msg() == "Files changed" && strings.Contains(r.text("files"), watched)
	})
	r := s.awaitRecord("the failure", func(r record) bool {
		return r.msg() == "Reload failed, the old generation serves on"
	})
	if !strings.Contains(r.text("reason"), "middleware[1]: load tag.wasm: ") {
		t.Errorf("the failure says %v", r)
	}
	tag("one")
	copyFile(t, wasm("tag"), watched+".new")
	if err := os.Rename(watched+".new", watched); err != nil {
		t.Fatal(err)
	}
	s.awaitMsg("Reload complete")
	writeFile(t, conf, "[[middleware]]\napp = 'tag.wasm'\nconfig = 'two'\n[[route]]\npath = '/api'\napp = 'api.wasm'\n")
	s.awaitRecords("reloads", 2, func(r record) bool { return r.msg() == "Reload complete" })
	tag("two")
	if resp := s.getAt("h", "/"); resp.Status != 404 {
		t.Errorf("without app: status %d", resp.Status)
	}
	s.stop()
}

// An upstream or files alone are an app, behind middleware or not.
func TestAppsWithoutGuest(t *testing.T) {
	dir, conf := routed(t)
	l, err := net.Listen("unix", filepath.Join(dir, "up.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s with %s", r.URL.Path, r.Header.Get("X-Tag"))
	}))
	up := "upstream = 'unix:" + l.Addr().String() + "'\n"
	for _, c := range []struct{ conf, path, body string }{
		{up, "/x", "/x with "},
		{up + "[[middleware]]\napp = 'tag.wasm'\nconfig = 'm'\n", "/x", "/x with m"},
		{"static = ['/=" + dir + "']\n", "/appserver.toml", "static = "},
		{"[[route]]\nstatic = '" + dir + "'\n", "/appserver.toml", "[[route]]"},
	} {
		writeFile(t, conf, c.conf)
		s := start(t, "-c", conf, "--chdir", dir, "-w", "1")
		if body := string(s.mustGet(c.path, 200).Body); !strings.HasPrefix(body, c.body) {
			t.Errorf("%q answers %q, want %q", c.conf, body, c.body)
		}
		s.stop()
	}
}

// A guest of wasm-workers-server behind a route is told the URL that its client has asked for.
func TestRouteToWWS(t *testing.T) {
	dir, conf := routed(t)
	copyFile(t, wasm("wws"), filepath.Join(dir, "wws.wasm"))
	writeFile(t, conf, "[[route]]\npath = '/w'\napp = 'wws.wasm'\nprotocol = 'wws'\nargs = ['{\"data\":\"hi\",\"status\":201,\"headers\":{},\"kv\":{}}']\n")
	s := start(t, "-c", conf, "--chdir", dir, "-w", "1")
	if body := string(s.mustGet("/w/x?y", 201).Body); body != "hi" {
		t.Errorf("body %q", body)
	}
	s.awaitRecord("the request", func(r record) bool {
		return r.text("stream") == "route[1]" && strings.Contains(r.text("line"), `"url":"http://`) && strings.Contains(r.text("line"), `/w/x?y"`)
	})
	s.stop()
}

func TestArraysInEveryFormat(t *testing.T) {
	var first *Loaded
	for name, text := range map[string]string{
		"a.toml": "app = 'a.wasm'\n[[middleware]]\napp = 'm.wasm'\nenv = ['A=B']\n[[route]]\nhost = 'h'\npath = '/Case'\nstatic = 'd'\n",
		"a.yaml": "app: a.wasm\nmiddleware:\n- app: m.wasm\n  env: [A=B]\nroute:\n- {host: h, path: /Case, static: d}\n",
		"a.json": `{"app": "a.wasm", "middleware": [{"app": "m.wasm", "env": ["A=B"]}], "route": [{"host": "h", "path": "/Case", "static": "d"}]}`,
	} {
		write(t, name, text)
		l, err := loadArgs([]string{"APPSERVER_CONFIG=" + name})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var out bytes.Buffer
		if err := printConfig(&out, l); err != nil {
			t.Fatal(err)
		}
		write(t, "again.toml", out.String())
		again, err := loadArgs([]string{"APPSERVER_CONFIG=again.toml"})
		if err != nil || !reflect.DeepEqual(again.Config, l.Config) || len(l.Config.Route) != 1 || l.Config.Route[0].Path != "/Case" {
			t.Errorf("%s: %v, printed as\n%s", name, err, &out)
		}
		if first == nil {
			first = l
		}
		if !reflect.DeepEqual(first.Config, l.Config) {
			t.Errorf("%s gives\n%+v, want\n%+v", name, l.Config, first.Config)
		}
	}
	write(t, "bad.toml", "[[route]]\npth = '/a'\n")
	if _, err := loadArgs([]string{"APPSERVER_CONFIG=bad.toml"}); err == nil || !strings.Contains(err.Error(), `unknown setting "route[1].pth" in bad.toml`) {
		t.Errorf("error %v", err)
	}
}

func TestArtifactHoldsEachFileOnce(t *testing.T) {
	dir := writeFiles(t, map[string]string{"a": "first", "b": "the second"})
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	for _, paths := range [][]string{nil, {a}, {a, b, a}} {
		art, err := readArtifact(paths)
		if err != nil {
			t.Fatal(err)
		}
		content, err := artifactContent(art.file)
		if err != nil {
			t.Fatal(err)
		}
		want := map[string][]byte{a: []byte("first"), b: []byte("the second")}
		for path := range want {
			if !strings.Contains(strings.Join(paths, " "), path) {
				delete(want, path)
			}
		}
		if !reflect.DeepEqual(content, want) || len(art.files) != len(want) {
			t.Errorf("%v: holds %q in %v", paths, content, art.files)
		}
		if _, err := art.file.WriteAt([]byte("x"), 0); err == nil {
			t.Error("the artifact can be changed")
		}
		art.file.Close()
	}
	if _, err := readArtifact([]string{a, filepath.Join(dir, "none")}); err == nil || !strings.Contains(err.Error(), "none") {
		t.Errorf("a file that is not there: %v", err)
	}
}
