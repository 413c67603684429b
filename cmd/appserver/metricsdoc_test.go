package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/appserver-go/appserver/internal/load"
	"github.com/appserver-go/appserver/internal/otlp/otlptest"
)

// The commands of docs/metrics.md do what they say.
func TestMetricsDocumentCommands(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "metrics.md"))
	if err != nil {
		t.Fatal(err)
	}
	c := otlptest.Start(t)
	served := map[string]*appserver{} // by the option that shows which command it is
	monitor := ""
	for _, m := range regexp.MustCompile(`(?m)^\$ (.+)$`).FindAllStringSubmatch(string(text), -1) {
		switch words := strings.Fields(m[1]); {
		case strings.HasPrefix(m[1], "appserver serve testdata/wasm/hello.wasm --"):
			args := append([]string{wasm("hello")}, words[3:]...)
			for i := range args {
				args[i] = strings.NewReplacer("127.0.0.1:9100", "127.0.0.1:0", "http://127.0.0.1:4318", c.URL).Replace(args[i])
			}
			s := start(t, args...)
			served[words[3]] = s
			if words[3] == "--metrics-bind" {
				monitor = strings.TrimPrefix(s.awaitMsg("Metrics").text("address"), "http://")
			}
		case words[0] == "curl" && strings.HasPrefix(words[1], "http://127.0.0.1:9100/"):
			resp, err := load.Get(t.Context(), monitor, strings.TrimPrefix(words[1], "http://127.0.0.1:9100"))
			if err != nil || resp.Status != 200 {
				t.Errorf("%s: %+v, %v", m[1], resp, err)
			}
		default:
			t.Errorf("docs/metrics.md has a command that nobody tries: %s", m[1])
		}
	}
	traced := served["--otel-endpoint"]
	if len(served) != 2 || traced == nil {
		t.Fatalf("the servers are %v", served)
	}
	traced.ask("", "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01") // or 0.1 decides
	for _, s := range served {
		s.stop()
	}
	if spans := c.Spans(); len(spans) != 1 || spans[0].Service != "shop" {
		t.Errorf("spans: %+v", spans)
	}
}
