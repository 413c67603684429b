package guests_test

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"os/exec"
	"regexp"
	"testing"
	"time"

	"golang.org/x/net/webdav"

	"github.com/appserver-go/appserver/http1"
)

// TestWebDAV has litmus judge a WebDAV server as a guest, beside the same server native.
func TestWebDAV(t *testing.T) {
	t.Parallel()
	litmus, err := exec.LookPath("litmus")
	if err != nil {
		t.Skip("skipped: no litmus: see scripts/install-test-packages.sh")
	}
	native := judge(t, litmus, func(l net.Listener) (stop func()) {
		s := &http.Server{Handler: &webdav.Handler{FileSystem: webdav.NewMemFS(), LockSystem: webdav.NewMemLS()}}
		go s.Serve(l)
		return func() { _ = s.Close() }
	})
	h := mustLoad(t, build(t, "webdav", "-tags", "stdio"), options{stdio: true})
	guest := judge(t, litmus, func(l net.Listener) (stop func()) {
		s := http1.New(http1.Options{
			Handler: func(c *http1.Call) {
				ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
				defer cancel()
				if err := h.Serve(ctx, &c.Exchange); err == nil {
					_ = c.Response.Finish()
				} else {
					t.Error(err)
					c.Response.Abort()
				}
			},
			Keepalive: time.Minute, HeaderTimeout: time.Minute, StallTimeout: time.Minute,
		})
		go s.Serve(l)
		return func() {
			_ = l.Close()
			_ = s.Close()
			<-s.Empty() // the guest must not be closed under a request
		}
	})
	if len(native) < 80 {
		t.Fatalf("litmus ran %d tests", len(native))
	}
	for name, want := range native {
		if guest[name] != want {
			t.Errorf("%s: %s, native %s", name, guest[name], want)
		}
	}
	t.Logf("%d tests of litmus have the same outcome as native", len(native))
}

var (
	litmusRun    = regexp.MustCompile("-> running `([a-z]+)'")
	litmusResult = regexp.MustCompile(`^ ?\d+\. ([a-z_0-9]+)\.*.* (pass|FAIL|SKIPPED|WARNING)\b`)
)

// judge runs litmus against a server and returns the outcome of each test.
func judge(t *testing.T, litmus string, serve func(net.Listener) (stop func())) map[string]string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	stop := serve(l)
	defer stop()
	cmd := exec.CommandContext(t.Context(), litmus, "--keep-going", "http://"+l.Addr().String()+"/")
	cmd.Dir = t.TempDir() // for its logs
	cmd.WaitDelay = time.Minute
	out, _ := cmd.CombinedOutput() // it fails when a test does
	outcomes, group := map[string]string{}, ""
	for line := range bytes.Lines(out) {
		if m := litmusRun.FindSubmatch(line); m != nil {
			group = string(m[1])
		} else if m := litmusResult.FindSubmatch(bytes.ReplaceAll(line, []byte("\r"), nil)); m != nil {
			outcomes[group+" "+numbered(line)] = string(m[2])
		}
	}
	return outcomes
}

// numbered returns the number and name of a test of litmus; there are several of a name.
func numbered(line []byte) string {
	return string(regexp.MustCompile(`\d+\. [a-z_0-9]+`).Find(line))
}
