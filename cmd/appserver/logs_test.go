package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/appserver-go/appserver/internal/load"
	"github.com/appserver-go/appserver/scoreboard"
)

// hostileText is what a guest or a client may put into a log.
const hostileText = "a\nlevel=ERROR forged \x1b[31mred\x1b[0m \\x1b[31m \u202e\u009b \xff end"

func TestLogsEscapeWhatOthersChose(t *testing.T) {
	for _, format := range []string{"text", "logfmt", "json"} {
		for _, terminal := range []bool{false, true} {
			var out bytes.Buffer
			newLogger(&out, format, slog.LevelDebug, terminal).Info("Message", "line", hostileText, "error", errors.New(hostileText), "list", []string{hostileText})
			line := out.String()
			if strings.Count(line, "\n") != 1 {
				t.Errorf("%s: more than one line: %q", format, line)
			}
			colourless := strings.NewReplacer("\x1b[2m", "", "\x1b[22m", "", "\x1b[0m", "", "\x1b[92m", "", "\x1b[22;2m", "", "\x1b[22;91m", "", "\x1b[91m", "").Replace(line)
			for _, bad := range []string{"\x1b", "\u202e", "\u009b", "\xff"} {
				if strings.Contains(colourless, bad) {
					t.Errorf("%s, terminal %v: %q gets through: %q", format, terminal, bad, colourless)
				}
			}
		}
	}
}

func TestLogFilesRotate(t *testing.T) {
	dir := t.TempDir()
	errorLog, accessLog := filepath.Join(dir, "error.log"), filepath.Join(dir, "access.log")
	s := prepare(t, wasm("hello"), "-w", "2", "--error-log", errorLog, "--access-log", accessLog)
	s.begin()
	eventually(t, patience, "the server is ready", func() bool { return strings.Contains(readFile(errorLog), `"Ready"`) })
	s.addr = addressIn(t, readFile(errorLog))
	s.mustGet("/before", 200)
	eventually(t, patience, "a line in the access log", func() bool { return strings.Contains(readFile(accessLog), "/before") })
	for _, path := range []string{errorLog, accessLog} {
		if err := os.Rename(path, path+".1"); err != nil {
			t.Fatal(err)
		}
	}
	s.signal(syscall.SIGUSR1)
	eventually(t, patience, "new files, and every worker writes to them", func() bool {
		for range 4 {
			s.mustGet("/after", 200)
		}
		return strings.Count(readFile(accessLog), "/after") >= 4
	})
	s.stop()
	if strings.Contains(readFile(accessLog), "/before") || !strings.Contains(readFile(errorLog), "Shutting down") {
		t.Error("the new files do not hold what came after the rotation, and nothing else")
	}
}

func readFile(path string) string {
	data, _ := os.ReadFile(path)
	return string(data)
}

// addressIn finds the address in a JSON log.
func addressIn(t *testing.T, log string) string {
	t.Helper()
	for line := range strings.Lines(log) {
		var r struct {
			Msg       string
			Addresses []string
		}
		if json.Unmarshal([]byte(line), &r) == nil && r.Msg == "Ready" {
			return strings.TrimPrefix(r.Addresses[0], "http://")
		}
	}
	t.Fatalf("no address in the log:\n%s", log)
	return ""
}

// A reader of the logs that stalls or dies must not cost a single request.
func TestLogReadersCannotStopTheServer(t *testing.T) {
	for _, kind := range []string{"stalled", "dead", "full"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			addr := freePort(t)
			s := prepare(t, wasm("hello"), "-w", "2", "-k", "threaded", "--threads", "2", "-b", addr, "--access-log", "-", "--log-level", "debug")
			out := logSink(t, kind)
			s.cmd.Stdout, s.cmd.Stderr = out, out
			s.begin()
			out.Close()
			s.addr = addr
			eventually(t, patience, "service", func() bool {
				resp, err := s.get("/")
				return err == nil && resp.Status == 200
			})
			report := load.Run(context.Background(), load.Plan{
				Addr: addr, Clients: 8, Requests: 1000, KeepAlive: true, Check: load.Status(200),
				Raw: "GET /" + strings.Repeat("x", 500) + " HTTP/1.1\r\nHost: test\r\n\r\n",
			})
			if report.Done != 8000 || report.Bad+report.Lost > 0 {
				t.Errorf("%s", report)
			}
			eventually(t, patience, "the count of dropped records", func() bool {
				var drops int64
				for _, snap := range s.snapshots() {
					drops += snap.Counters[scoreboard.LogDrops]
				}
				return drops > 0
			})
			s.stop()
		})
	}
}

// logSink returns where a server's logs go to no good end.
func logSink(t *testing.T, kind string) *os.File {
	t.Helper()
	if kind == "full" {
		f, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	if kind == "dead" {
		r.Close()
	} else {
		t.Cleanup(func() { r.Close() })
	}
	return w
}

// freePort returns an address that nobody listens on at the moment.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// listenTCP listens as a service manager does.
func listenTCP(t *testing.T) (l struct {
	file *os.File
	addr string
},
) {
	t.Helper()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	l.addr = tcp.Addr().String()
	if l.file, err = tcp.(*net.TCPListener).File(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.file.Close() })
	return l
}

func TestAccessLogFormats(t *testing.T) {
	s := start(t, wasm("hello"), "-w", "1", "--access-log", "-")
	s.mustGet("/a?b=%22c%22", 200)
	s.stop()
	if line := s.out.String(); !strings.HasPrefix(line, "127.0.0.1 - - [") || !strings.Contains(line, `"GET /a?b=%22c%22 HTTP/1.1" 200 24 "-" "-"`) {
		t.Errorf("gunicorn's format: %q", line)
	}
	s = start(t, wasm("hello"), "-w", "1", "--access-log", "-", "--access-log-format", "json")
	resp, err := load.Do(t.Context(), s.addr, "GET /j HTTP/1.1\r\nHost: h.example\r\nX-Request-Id: abc-1\r\nConnection: close\r\n\r\n")
	if err != nil || resp.Status != 200 {
		t.Fatal(resp, err)
	}
	s.stop()
	var r map[string]any
	if err := json.Unmarshal([]byte(s.out.String()), &r); err != nil {
		t.Fatalf("%v: %q", err, s.out.String())
	}
	if r["target"] != "/j" || r["status"] != 200.0 || r["request_id"] != "abc-1" || r["host"] != "h.example" {
		t.Errorf("JSON: %v", r)
	}
}

// What a guest prints is logged line by line, with the request's id, and cannot forge lines.
func TestGuestOutputIsLogged(t *testing.T) {
	s := start(t, wasm("hostile"), "-w", "1")
	s.mustGet("/log", 200)
	r := s.awaitRecord("the guest's line", func(r record) bool { return r.msg() == "Guest" && r.text("request_id") != "" })
	if strings.ContainsAny(r.text("line"), "\x1b\n") {
		t.Errorf("line %q", r.text("line"))
	}
	s.stop()
}
