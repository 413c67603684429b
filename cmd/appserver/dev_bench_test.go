package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/appserver-go/appserver/internal/texttest"
)

// BenchmarkSaveToServed measures the time from the saving of a file to the first response of the new guest: of a module
// that others build, and of one that a copy builds, whose time is that of a compiler that takes none.
func BenchmarkSaveToServed(b *testing.B) {
	for _, c := range []struct {
		name, saved string
		args        []string
	}{
		{"module", "app.wasm", []string{"app.wasm"}},
		{"build", "source", []string{"app.wasm", "--build", "cp source app.wasm"}},
	} {
		b.Run(c.name, func(b *testing.B) {
			dir := b.TempDir()
			module, err := os.ReadFile(wasm("hello"))
			if err != nil {
				b.Fatal(err)
			}
			turn := func(n int) string {
				text := fmt.Sprintf("Hello from turn %8d", n)
				new := strings.Replace(string(module), "Hello from WebAssembly!\n", text, 1)
				if err := os.WriteFile(filepath.Join(dir, c.saved), []byte(new), 0o644); err != nil {
					b.Fatal(err)
				}
				return text
			}
			first := turn(0)
			url := benchDev(b, dir, c.args)
			awaitText(b, url, first)
			n := 0
			for b.Loop() {
				n++
				awaitText(b, url, turn(n))
			}
			b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(n), "ms/save")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// benchDev runs dev until the end of the benchmark and returns where it listens.
func benchDev(b *testing.B, dir string, args []string) string {
	b.Helper()
	cmd := command(append([]string{"dev", "--bind", "127.0.0.1:0"}, args...)...)
	cmd.Dir = dir
	out := &texttest.Buffer{}
	cmd.Stderr = out
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = cmd.Process.Signal(unix.SIGTERM) // it may have ended, which Wait tells
		if err := cmd.Wait(); err != nil {
			b.Errorf("%v\n%s", err, out)
		}
	})
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		if m := regexp.MustCompile(`http://[0-9.:]+`).FindString(out.String()); m != "" {
			return m
		}
		if time.Now().After(end) {
			b.Fatalf("no address:\n%s", out)
		}
	}
}

// awaitText asks until the answer has a text in it.
func awaitText(b *testing.B, url, text string) {
	b.Helper()
	for end := time.Now().Add(patience); ; {
		resp, err := http.Get(url)
		if err != nil {
			b.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err == nil && strings.Contains(string(body), text) {
			return
		}
		if time.Now().After(end) {
			b.Fatalf("no %q: %d %s", text, resp.StatusCode, body)
		}
	}
}
