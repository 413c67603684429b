package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/appserver-go/appserver/internal/load"
)

func TestCGIGuests(t *testing.T) {
	s := start(t, wasm("cgihello"), "-w", "1")
	if resp := s.mustGet("/", 200); len(resp.Body) == 0 || resp.Get("content-type") == "" {
		t.Errorf("%v %q", resp.Header, resp.Body)
	}
	s.stop()
	s = start(t, append([]string{wasm("cgiecho")}, classArgs["threaded"]...)...)
	body := strings.Repeat("abc", 100_000)
	resp, err := load.Do(context.Background(), s.addr, "POST / HTTP/1.1\r\nHost: test\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"+chunks([]byte(body)))
	if err != nil || string(resp.Body) != body {
		t.Errorf("echo: %v, %d bytes", err, len(resp.Body))
	}
	s.stop()
	s = start(t, wasm("cgistatus"), "-w", "1")
	resp = s.mustGet("/", 418)
	cookies := 0
	for _, f := range resp.Header {
		if f[0] == "set-cookie" {
			cookies++
		}
	}
	if cookies != 2 {
		t.Errorf("%d cookies of 2: %v", cookies, resp.Header)
	}
	s.stop()
}

// The guest's environment is what guest.env says and the request, and nothing of the server's.
func TestGuestSeesItsOwnEnvironmentOnly(t *testing.T) {
	s := prepare(t, wasm("cgienv"), "-w", "1", "--guest-env", "GREETING=hello, world", "--env", "HOST_SETTING=1")
	s.cmd.Env = append(s.cmd.Env, "TOP_SECRET=1")
	s.begin()
	s.awaitReady()
	body := string(s.mustGet("/p?q=1", 200).Body)
	for _, want := range []string{"GREETING=hello, world", "QUERY_STRING=q=1", "REQUEST_METHOD=GET", "GATEWAY_INTERFACE=CGI/1.1"} {
		if !strings.Contains(body, want) {
			t.Errorf("no %s in the guest's environment:\n%s", want, body)
		}
	}
	for _, never := range []string{"TOP_SECRET", "HOST_SETTING", "HTTP_PROXY"} {
		if strings.Contains(body, never) {
			t.Errorf("the guest sees %s", never)
		}
	}
	s.stop()
}

func TestUpstream(t *testing.T) {
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Upstream", r.Method+" "+r.URL.Path)
		w.WriteHeader(http.StatusAccepted)
		w.Write([]byte("from upstream"))
	}))
	defer upstream.Close()
	s := start(t, wasm("next"), "-w", "1", "-k", "threaded", "--upstream", upstream.URL)
	resp := s.mustGet("/path", 202)
	if string(resp.Body) != "from upstream" || resp.Get("x-upstream") != "GET /path" || resp.Get("x-seen") != "1" {
		t.Errorf("%v %q", resp.Header, resp.Body)
	}
	s.stop()
	s = start(t, wasm("next"), "-w", "1")
	s.mustGet("/path", 404)
	s.stop()
}

func TestCheckCommand(t *testing.T) {
	out, err := command("check", wasm("hello")).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "http-wasm") || strings.Contains(string(out), "Booting") {
		t.Errorf("%v\n%s", err, out)
	}
	out, err = command("check", wasm("trapstart")).CombinedOutput()
	var exit *exec.ExitError
	if ok := asExit(err, &exit); !ok || exit.ExitCode() != 1 {
		t.Errorf("a guest that traps: %v", err)
	}
	if strings.Count(string(out), "appserver: error: ") != 1 || strings.Count(string(out), "appserver: hint: ") != 1 {
		t.Errorf("%s", out)
	}
}

func asExit(err error, exit **exec.ExitError) bool {
	e, ok := err.(*exec.ExitError)
	*exit = e
	return ok
}

// The kit's example, built as its README says, is served.
func TestGoHello(t *testing.T) {
	s := start(t, goHello(t), "-w", "1", "-k", "threaded", "--threads", "2", "--guest-env", "GREETING=salve")
	if body := string(s.mustGet("/", 200).Body); body == "" {
		t.Error("no greeting")
	}
	s.mustGet("/panic", 500)
	s.mustGet("/json", 200)
	resp, err := load.Do(context.Background(), s.addr, "POST /echo HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello")
	if err != nil || string(resp.Body) != "hello" {
		t.Errorf("echo: %v %q", err, resp.Body)
	}
	s.stop()
}

// goHello builds the kit's example and returns the module's path.
func goHello(t *testing.T) string {
	t.Helper()
	module := filepath.Join(t.TempDir(), "hello.wasm")
	build := exec.Command("go", "build", "-buildmode=c-shared", "-o", module, ".")
	build.Dir = filepath.Join("..", "..", "guests", "go-hello")
	build.Env = append(build.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return module
}
