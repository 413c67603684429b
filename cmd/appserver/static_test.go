package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/appserver-go/appserver/internal/load"
)

// writeFiles makes a directory of files.
func writeFiles(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// Files are served while every slot is taken, whole, in parts, and to a client that is slow to take them; requests for them are
// in the access log and the metrics like others. A reload changes the directory.
func TestStaticFiles(t *testing.T) {
	big := strings.Repeat("0123456789abcdef", 1<<16) // 1 MiB
	dir := writeFiles(t, map[string]string{"a.css": "p {}", "big.bin": big, "sub/index.html": "<p>", "b.js": "let b", "b.js.gz": "GZ"})
	other := writeFiles(t, map[string]string{"a.css": "new"})
	link := filepath.Join(t.TempDir(), "dist")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	s, monitor := startMonitored(t, wasm("hostile"), "--workers", "1", "--static", "/assets="+link, "--access-log", "-", "--timeout", "60")
	busy, err := load.Dial(t.Context(), s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	slow, err := load.Dial(t.Context(), s.addr) // before the only slot is taken: a full worker accepts nobody
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	eventually(t, patience, "both connections are there", func() bool { return scrape(t, monitor).of("connections_open") == 2 })
	if err := busy.Send([]byte("GET /sleep HTTP/1.1\r\nHost: h\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	s.awaitBusy(1)
	if err := slow.Send([]byte("GET /assets/big.bin HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	resp, err := slow.Read(false)
	if err != nil || sha256.Sum256(resp.Body) != sha256.Sum256([]byte(big)) {
		t.Fatalf("a large file beside a busy guest: %v", err)
	}
	busy.Close()
	for _, pid := range s.workers() {
		syscall.Kill(pid, syscall.SIGKILL)
	}
	s.awaitRecord("a new worker", func(r record) bool { return r.msg() == "Worker is ready" && r.text("worker") == "2" })
	for _, c := range []struct {
		request string
		status  int
		body    string
	}{
		{"GET /assets/a.css", 200, "p {}"},
		{"HEAD /assets/a.css", 200, ""},
		{"GET /assets/sub", 301, ""},
		{"GET /assets/none", 404, ""},
		{"GET /assets/%2e%2e/x", 404, ""},
		{"POST /assets/a.css", 405, ""},
		{"GET /", 200, "ok"},
	} {
		resp, err := load.Do(t.Context(), s.addr, c.request+" HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
		if err != nil || resp.Status != c.status || c.body != "" && string(resp.Body) != c.body {
			t.Errorf("%s: %v, %+v", c.request, err, resp)
		}
	}
	resp, err = load.Do(t.Context(), s.addr, "GET /assets/big.bin HTTP/1.1\r\nHost: h\r\nConnection: close\r\nRange: bytes=16-31,-3\r\n\r\n")
	if err != nil || resp.Status != 206 || !bytes.Contains(resp.Body, []byte("bytes 16-31/1048576")) {
		t.Errorf("two ranges: %v, %+v", err, resp)
	}
	resp, err = load.Do(t.Context(), s.addr, "GET /assets/b.js HTTP/1.1\r\nHost: h\r\nConnection: close\r\nAccept-Encoding: gzip\r\n\r\n")
	if err != nil || string(resp.Body) != "GZ" || resp.Get("content-encoding") != "gzip" || resp.Get("vary") != "Accept-Encoding" {
		t.Errorf("a compressed file: %v, %+v", err, resp)
	}
	if !strings.Contains(s.out.String(), `"GET /assets/a.css HTTP/1.1" 200 4`) {
		t.Errorf("no line in the access log:\n%s", s.out.String())
	}
	// The link is turned to another release, as by a deploy.
	if err := os.Remove(link); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(other, link); err != nil {
		t.Fatal(err)
	}
	if resp := s.mustGet("/assets/a.css", 200); string(resp.Body) != "p {}" {
		t.Errorf("before the reload: %q", resp.Body)
	}
	s.signal(syscall.SIGHUP)
	s.awaitMsg("Reload complete")
	if resp := s.mustGet("/assets/a.css", 200); string(resp.Body) != "new" {
		t.Errorf("after the reload: %q", resp.Body)
	}
	if err := os.RemoveAll(link); err != nil {
		t.Fatal(err)
	}
	s.signal(syscall.SIGHUP)
	r := s.awaitMsg("Reload failed, the old generation serves on")
	if !strings.Contains(r.text("reason"), "static: ") || r.text("hint") == "" {
		t.Errorf("a directory that is gone: %v", r)
	}
	s.mustGet("/assets/a.css", 200)
	s.stop()
}

// A client that takes nothing of a large file keeps nobody from the only slot.
func TestSlowClientOfAFileTakesNoSlot(t *testing.T) {
	dir := writeFiles(t, map[string]string{"big.bin": strings.Repeat("x", 64<<20)})
	s := start(t, wasm("hello"), "--workers", "1", "--worker-class", "sync", "--static", "/assets="+dir)
	for range 3 {
		conn, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := fmt.Fprint(conn, "GET /assets/big.bin HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 1)
		if _, err := conn.Read(buf); err != nil { // the response has begun
			t.Fatal(err)
		}
	}
	for range 20 {
		s.mustGet("/", 200)
	}
}

// The directory is opened before the worker gives its rights up: the user needs none for the way to it.
func TestStaticFilesOfAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can change the workers' user")
	}
	base, err := os.MkdirTemp("", "static")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(base)
	dir := filepath.Join(base, "www")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]os.FileMode{"public": 0o644, "private": 0o600} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(base, 0o700); err != nil {
		t.Fatal(err)
	}
	s := start(t, wasm("hello"), "--workers", "1", "--user", "65534", "--group", "65534", "--static", "/f="+dir)
	s.mustGet("/f/public", 200)
	s.mustGet("/f/private", 403)
	s.stop()
}

// The guest is told where clients see it, whether the proxy has taken that off or not; logs have what came in.
func TestRootPath(t *testing.T) {
	dir := writeFiles(t, map[string]string{"d/index.html": "x"})
	s := start(t, wasm("cgienv"), "--root-path", "/app", "--static", "/f="+dir, "--access-log", "-", "--workers", "1", "--forwarded-allow-ips", "192.0.2.1")
	for target, want := range map[string][]string{
		"/app/a/b?c": {"PATH_INFO=/a/b\n", "QUERY_STRING=c\n", "REQUEST_URI=/app/a/b?c\n", "X_FULL_URL=http://h/app/a/b?c\n"},
		"/app":       {"PATH_INFO=/\n", "REQUEST_URI=/app\n"},
		"/app?q":     {"PATH_INFO=/\n", "QUERY_STRING=q\n", "REQUEST_URI=/app?q\n"},
		"/apple":     {"PATH_INFO=/apple\n", "REQUEST_URI=/apple\n"},
		"/stripped":  {"PATH_INFO=/stripped\n", "REQUEST_URI=/stripped\n", "X_FULL_URL=http://h/app/stripped\n"},
	} {
		resp, err := load.Do(t.Context(), s.addr, "GET "+target+" HTTP/1.1\r\nHost: h\r\nConnection: close\r\nX-Forwarded-Prefix: /evil\r\n\r\n")
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range append(want, "SCRIPT_NAME=/app\n", "HTTP_X_FORWARDED_PREFIX=/app\n") {
			if !strings.Contains(string(resp.Body)+"\n", w) {
				t.Errorf("%s: no %q in\n%s", target, w, resp.Body)
			}
		}
		eventually(t, patience, "the access log has "+target, func() bool { return strings.Contains(s.out.String(), `"GET `+target+` HTTP/1.1" 200`) })
	}
	if resp := s.mustGet("/app/f/d", 301); resp.Get("location") != "/app/f/d/" {
		t.Errorf("the redirect leads to %q", resp.Get("location"))
	}
	s.stop()
}
