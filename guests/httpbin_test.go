package guests_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/appserver-go/appserver/internal/npmtest"
)

// TestHTTPBin serves go-httpbin by each protocol, and has the package's own tests judge. What fails must be what
// httpbin/failures.txt says, no more and no less.
func TestHTTPBin(t *testing.T) {
	suite := httpbinSuite(t)
	for _, c := range []struct {
		protocol, isolation string
		flags               []string
		long                bool
	}{
		{"stdio", "shared", []string{"-tags", "stdio"}, false},
		{"http-wasm", "shared", []string{"-buildmode=c-shared"}, true},
		{"cgi", "reset", []string{"-tags", "cgi"}, true},
	} {
		t.Run(c.protocol, func(t *testing.T) {
			if c.long && os.Getenv("TORTURE") == "" {
				t.Skip("skipped: TORTURE=1 is not set")
			}
			guest := build(t, "httpbin", c.flags...)
			server := []string{
				appserverBinary(t), "serve", guest, "--guest-protocol", c.protocol, "--guest-isolation", c.isolation,
				"--bind", "127.0.0.1:0", "-w", "1", "-k", "threaded", "--threads", "16", "--request-id-header", "", "--log-level", "info", "--log-format", "json",
				"--guest-cache-dir", npmtest.CodeCache(t),
			}
			expected := expectedFailures(t, c.protocol)
			results := suite.run(t, server)
			suite.again(t, server, &results, expected)
			compare(t, results, expected)
		})
	}
}

// appserverBinary builds the server.
func appserverBinary(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "appserver")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-o", path, "../cmd/appserver").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return path
}

// suite is the package's tests, compiled, with appservers for servers.
type suite struct{ dir, binary string }

// httpbinSuite makes the suite from the module in the module cache. Nothing of it is in this repository.
func httpbinSuite(t *testing.T) *suite {
	t.Helper()
	const module = "github.com/mccutchen/go-httpbin/v2"
	cmd := exec.CommandContext(t.Context(), "go", "mod", "download", "-json", module)
	cmd.Dir = "httpbin"
	out, err := cmd.Output()
	var have struct{ Dir string }
	if err != nil || json.Unmarshal(out, &have) != nil || have.Dir == "" {
		t.Skipf("skipped: the module %s cannot be had: %v", module, err)
	}
	s := &suite{dir: filepath.Join(t.TempDir(), "httpbin")}
	if err := os.CopyFS(s.dir, os.DirFS(have.Dir)); err != nil {
		t.Fatal(err)
	}
	s.replaceServers(t)
	s.binary = filepath.Join(s.dir, "suite")
	cmd = exec.CommandContext(t.Context(), "go", "test", "-c", "-vet=off", "-o", s.binary, "./httpbin")
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go test -c: %v\n%s", err, out)
	}
	return s
}

// replaceServers has the tests use appservers.
func (s *suite) replaceServers(t *testing.T) {
	t.Helper()
	ours, err := os.ReadFile("httpbin/testdata/appserver_test.go")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.dir, "httpbin", "appserver_test.go"), ours, 0o644); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(s.dir, "httpbin", "handlers_test.go")
	if err := os.Chmod(path, 0o644); err != nil { // the module cache is read-only
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range [][2]string{
		{"srv := httptest.NewServer(app)", "srv := serveApp(t, app)"},
		{"t.Cleanup(srv.Close)", ""},
		{"client := srv.Client()", "client := &http.Client{Transport: &http.Transport{}}\n\tt.Cleanup(client.CloseIdleConnections)"},
		{"os.Exit(m.Run())", "code := m.Run()\n\tstopServers()\n\tos.Exit(code)"},
		{"WithExcludeHeaders(", "excluding("},
	} {
		if bytes.Count(text, []byte(r[0])) != 1 {
			t.Fatalf("go-httpbin's tests have changed: %q is not in them once", r[0])
		}
		text = bytes.ReplaceAll(text, []byte(r[0]), []byte(r[1]))
	}
	if err := os.WriteFile(path, text, 0o644); err != nil {
		t.Fatal(err)
	}
}

// results are the outcomes of tests that have no subtests, and what the failed ones printed.
type results struct {
	passed int
	failed map[string]string
}

var (
	outcomeLine = regexp.MustCompile(`^ *--- (PASS|FAIL|SKIP): (\S+) \(`)
	currentLine = regexp.MustCompile(`^=== [A-Z]+ +(\S+)`)
)

// again runs tests that fail and should not once more, each by itself. Some have deadlines of 100 ms, which a busy machine
// misses.
func (s *suite) again(t *testing.T, command []string, r *results, expected map[string]string) {
	t.Helper()
	for name := range r.failed {
		if expected[name] != "" {
			continue
		}
		var pattern []string
		for part := range strings.SplitSeq(name, "/") {
			pattern = append(pattern, "^"+regexp.QuoteMeta(part)+"$")
		}
		if alone := s.run(t, command, "-test.run", strings.Join(pattern, "/")); len(alone.failed) == 0 {
			delete(r.failed, name)
			r.passed++
		}
	}
}

// run runs the suite against servers of a command.
func (s *suite) run(t *testing.T, command []string, flags ...string) results {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), s.binary, append(flags, "-test.v", "-test.timeout", "5m", "-test.parallel", "4")...)
	cmd.Dir = filepath.Join(s.dir, "httpbin")
	cmd.Env = append(os.Environ(), "APPSERVER="+strings.Join(command, "\n"))
	var log bytes.Buffer
	cmd.Stderr = &log
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r := readResults(out)
	_ = cmd.Wait() // it fails when a test does
	if r.passed+len(r.failed) == 0 {
		t.Fatalf("the suite did not run:\n%s", &log)
	}
	return r
}

// readResults reads what go test -v prints.
func readResults(out io.Reader) results {
	outcomes, printed := map[string]string{}, map[string]string{}
	name := ""
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		if m := outcomeLine.FindStringSubmatch(lines.Text()); m != nil {
			outcomes[m[2]], name = m[1], ""
		} else if m := currentLine.FindStringSubmatch(lines.Text()); m != nil {
			name = m[1]
		} else if name != "" && len(printed[name]) < 2000 {
			printed[name] += lines.Text() + "\n"
		}
	}
	r := results{failed: map[string]string{}}
	parents := map[string]bool{}
	for name := range outcomes {
		for at := strings.LastIndex(name, "/"); at > 0; at = strings.LastIndex(name[:at], "/") {
			parents[name[:at]] = true
		}
	}
	for name, outcome := range outcomes {
		switch {
		case outcome == "PASS":
			r.passed++
		case outcome == "FAIL" && !parents[name]:
			r.failed[name] = printed[name]
		}
	}
	return r
}

// expectedFailures reads what a protocol cannot do, with the reasons.
func expectedFailures(t *testing.T, protocol string) map[string]string {
	t.Helper()
	text, err := os.ReadFile("httpbin/failures.txt")
	if err != nil {
		t.Fatal(err)
	}
	reason, expected := "", map[string]string{}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		fields := strings.Fields(line)
		switch {
		case strings.HasPrefix(line, "#"):
			reason = strings.TrimSpace(line[1:])
		case len(fields) == 2 && reason != "" && slices.Contains(strings.Split(fields[0], ","), protocol):
			expected[fields[1]] = reason
		case len(fields) != 0 && (len(fields) != 2 || reason == ""):
			t.Errorf("httpbin/failures.txt: %q is not protocols and a test, below a reason", line)
		}
	}
	return expected
}

// compare reports tests that fail and should not, and those that should and do not.
func compare(t *testing.T, r results, expected map[string]string) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(r.failed)) {
		if expected[name] == "" {
			t.Errorf("%s fails:\n%s", name, r.failed[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(expected)) {
		if _, failed := r.failed[name]; !failed {
			t.Errorf("%s does not fail any more, take it out of httpbin/failures.txt: %s", name, expected[name])
		}
	}
	t.Logf("%d passed, %d failed as expected of %d", r.passed, len(r.failed), len(expected))
}
