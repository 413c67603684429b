package guests_test

import (
	"context"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/host"
	"github.com/appserver-go/appserver/host/engine"
	"github.com/appserver-go/appserver/host/httpwasm"
	"github.com/appserver-go/appserver/internal/npmtest"
)

// needModules skips the test where the modules that a guest with a go.mod of its own needs cannot be had.
func needModules(t testing.TB, dir string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "mod", "download")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Skipf("skipped: the modules of guests/%s cannot be had: %s", dir, out)
	}
}

// firewall starts the guest in waf before next.
func firewall(t testing.TB, instances int, next exchange.Handler) *host.Guest {
	t.Helper()
	needModules(t, "waf")
	out := filepath.Join(t.TempDir(), "waf.wasm")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-buildmode=c-shared", "-tags", "no_fs_access", "-o", out, ".")
	cmd.Dir = "waf"
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOFLAGS=")
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, output)
	}
	wasm, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	guest, err := host.Load(t.Context(), host.Options{
		Path: "waf.wasm", Wasm: wasm, Isolation: httpwasm.IsolationReset, Interrupt: engine.InterruptFuel, Instances: instances,
		CacheDir: npmtest.CodeCache(t), Next: next,
		Config: []byte(`SecRule REQUEST_URI "@beginsWith /admin" "id:101,phase:1,deny,status:403,log"`),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = guest.Close() })
	return guest
}

// TestWAF has the core rule set judge requests to a Flask application.
func TestWAF(t *testing.T) {
	t.Parallel()
	app, _ := pythonGuest(t, "flask", "app:app", httpwasm.IsolationShared)
	entered, leave := make(chan struct{}, 2), make(chan struct{})
	h := firewall(t, 2, exchange.HandlerFunc(func(ctx context.Context, x *exchange.Exchange) error {
		if x.Request.Path() != "/hold" {
			return app.Serve(ctx, x)
		}
		entered <- struct{}{}
		<-leave
		return nil
	}))
	for _, c := range []struct {
		method, target, body string
		status               int
		want                 string
	}{
		{"GET", "/?name=you", "", 200, "Hello, you!"},
		{"GET", "/admin", "", 403, ""},
		{"GET", "/?q=" + url.QueryEscape("<script>alert(1)</script>"), "", 403, ""},
		{"GET", "/?id=" + url.QueryEscape("1' OR '1'='1"), "", 403, ""},
		{"GET", "/?file=../../etc/passwd", "", 403, ""},
		{"POST", "/form", "a=1", 200, `{"a":"1"}`},
		{"POST", "/form", "a=" + url.QueryEscape("<script>alert(1)</script>"), 403, ""},
		{"GET", "/?name=again", "", 200, "Hello, again!"},
	} {
		r := request(c.method, c.target, c.body, "User-Agent", "Mozilla/5.0", "Accept", "*/*")
		if c.body != "" {
			r.Fields.Add("Content-Type", "application/x-www-form-urlencoded")
			r.Fields.Add("Content-Length", strconv.Itoa(len(c.body)))
		}
		a := serve(t.Context(), h, r)
		if a.err != nil || a.status != c.status || !strings.Contains(string(a.body), c.want) {
			t.Errorf("%s %s: status %d, body %.100q, error %v", c.method, c.target, a.status, a.body, a.err)
		}
	}
	testSecondInstance(t, h, entered, leave)
}

// testSecondInstance has two requests in the guest at once: the second needs an instance that does not exist yet, and stands on
// the image of the first, whose start took seconds.
func testSecondInstance(t *testing.T, h *host.Guest, entered, leave chan struct{}) {
	done := make(chan *answer, 2)
	get := func() {
		done <- serve(t.Context(), h, request("GET", "/hold", "", "User-Agent", "Mozilla/5.0", "Accept", "*/*"))
	}
	go get()
	<-entered
	began := time.Now()
	go get()
	<-entered
	second := time.Since(began)
	t.Logf("the second instance passed its first request on after %v", second)
	if second > time.Second { // its own start takes three
		t.Errorf("the second instance was ready after %v: it does not share the image of the first", second)
	}
	close(leave)
	for range 2 {
		if a := <-done; a.err != nil || a.status != 200 {
			t.Errorf("status %d, error %v", a.status, a.err)
		}
	}
}
