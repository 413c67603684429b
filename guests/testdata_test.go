package guests_test

import (
	"bytes"
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/internal/fault"
)

// small is the path of one of the small guests.
func small(name string) string { return filepath.Join("..", "testdata", "wasm", name+".wasm") }

// TestSmallGuestsMatchSources rebuilds the small guests and compares.
func TestSmallGuestsMatchSources(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), filepath.Join("..", "testdata", "wasm", "build.sh"), "--check").CombinedOutput()
	if err != nil {
		t.Fatalf("build.sh --check: %v\n%s", err, out)
	}
	if bytes.HasPrefix(out, []byte("skipped: ")) {
		t.Skipf("%s", out)
	}
}

func TestSmallGuests(t *testing.T) {
	megabyte := strings.Repeat("0123456789abcdef", 1<<16)
	for _, c := range []struct {
		guest  string
		r      exchange.Request
		status int
		fields map[string]string // "" means absent
		body   string
		reason exchange.Reason
	}{
		{"hello", request("GET", "/", ""), 200, map[string]string{"Content-Type": "text/plain; charset=utf-8"}, "Hello from WebAssembly!\n", ""},
		{"hello", request("HEAD", "/", ""), 200, map[string]string{"Content-Type": "text/plain; charset=utf-8"}, "", ""},
		{
			"echo", request("PUT", "/a%20b?c=d", megabyte, "content-type", "a/b"), 200,
			map[string]string{"X-Method": "PUT", "X-Target": "/a%20b?c=d", "Content-Type": "a/b"},
			megabyte, "",
		},
		{"echo", request("GET", "/", ""), 200, map[string]string{"X-Method": "GET", "Content-Type": ""}, "", ""},
		{"next", request("GET", "/", ""), 202, map[string]string{"X-Seen": "1"}, "from next", ""},
		{"cgihello", request("GET", "/", ""), 200, map[string]string{"Content-Type": "text/plain; charset=utf-8"}, "Hello from CGI/WASI\n", ""},
		{"cgiecho", request("POST", "/", megabyte), 200, map[string]string{"Content-Type": "application/octet-stream"}, megabyte, ""},
		{"cgistatus", request("GET", "/", ""), 418, map[string]string{"Set-Cookie": "a=1; Path=/|b=2; Path=/"}, "short and stout\n", ""},
		{"cgiredirect", request("GET", "/local?x=y", ""), 200, nil, "arrived with x=y by GET\n", ""},
		{"cgiredirect", request("POST", "/elsewhere", "body"), 200, map[string]string{"Location": ""}, "arrived with from=cgi by GET\n", ""},
		{"cgiredirect", request("GET", "/absolute", ""), 302, map[string]string{"Location": "https://example.com/elsewhere"}, "", ""},
		{"cgiloop", request("GET", "/", ""), 502, nil, "error page", exchange.BadResponse},
		{"cgitrap", request("GET", "/", ""), 500, nil, "error page", exchange.Trapped},
		{"cginohead", request("GET", "/", ""), 502, nil, "error page", exchange.BadResponse},
		{"cgiexit", request("GET", "/", ""), 500, nil, "error page", exchange.Exited},
	} {
		t.Run(c.guest+" "+c.r.Method+" "+c.r.Target, func(t *testing.T) {
			h := mustLoad(t, small(c.guest), options{hostile: true, next: exchange.HandlerFunc(accepted)})
			a := serve(t.Context(), h, c.r)
			if a.status != c.status || string(a.body) != c.body || a.reason != c.reason {
				t.Errorf("status %d, %d bytes of body: %.60q, error %v", a.status, a.size, a.body, a.err)
			}
			for name, want := range c.fields {
				if got := strings.Join(a.fields.Values(name), "|"); got != want {
					t.Errorf("%s is %q, want %q", name, got, want)
				}
			}
		})
	}
}

// accepted is the handler that the middleware next passes on to.
func accepted(_ context.Context, x *exchange.Exchange) error {
	x.Response.Status = 202
	_, err := x.Response.Write([]byte("from next"))
	return err
}

func TestCGIEnv(t *testing.T) {
	h := mustLoad(t, small("cgienv"), options{hostile: true, env: []string{"SECRET=configured"}})
	t.Setenv("HOST_ONLY", "must not be seen")
	a := serve(t.Context(), h, request("GET", "/a/b?c=d&e", "", "X-One", "1"))
	got := string(a.body)
	for _, want := range []string{
		"arg /a/b\narg c=d\narg e\n", "\nenv SECRET=configured\n", "\nenv REQUEST_METHOD=GET\n", "\nenv PATH_INFO=/a/b\n",
		"\nenv QUERY_STRING=c=d&e\n", "\nenv HTTP_X_ONE=1\n", "\nenv REMOTE_ADDR=192.0.2.1\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in:\n%s", want, got)
		}
	}
	if strings.Contains(got, "HOST_ONLY") {
		t.Error("the guest sees the server's own environment")
	}
}

// TestHostile lets one guest misbehave in every way it can and asks it for a good answer after each.
func TestHostile(t *testing.T) {
	log := &lines{}
	h := mustLoad(t, small("hostile"), options{hostile: true, log: log})
	for _, c := range []struct {
		target string
		status int
		reason exchange.Reason
		size   int64
	}{
		{"/", 200, "", 2},
		{"/spin", 504, exchange.TimedOut, -1},
		{"/sleep?x", 504, exchange.TimedOut, -1},
		{"/trap", 500, exchange.Trapped, -1},
		{"/grow", 500, exchange.Trapped, -1},
		{"/recurse", 500, exchange.Trapped, -1},
		{"/exit", 500, exchange.Exited, -1},
		{"/headers", 502, exchange.BadResponse, -1},
		{"/headers?crlf", 502, exchange.BadResponse, -1},
		{"/headers?nul", 502, exchange.BadResponse, -1},
		{"/headers?many", 502, exchange.BadResponse, -1},
		{"/headers?big", 502, exchange.BadResponse, -1},
		{"/status?0", 502, exchange.BadResponse, -1},
		{"/status?99", 502, exchange.BadResponse, -1},
		{"/status?101", 502, exchange.BadResponse, -1},
		{"/status?1000", 502, exchange.BadResponse, -1},
		{"/status?201", 201, "", 2},
		{"/tablegrow", 200, "", 2},
		{"/log", 200, "", 2},
		{"/big", 200, "", 1 << 30},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		if c.reason == exchange.TimedOut {
			ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
		}
		a := serve(ctx, h, request("GET", c.target, ""))
		cancel()
		if a.status != c.status || a.reason != c.reason || c.size >= 0 && a.size != c.size {
			t.Errorf("%s: status %d, reason %q, %d bytes, error %v", c.target, a.status, a.reason, a.size, a.err)
		}
		for _, f := range a.fields {
			if !exchange.ValidValue(f.Value) || strings.EqualFold(f.Name, "Set-Cookie") {
				t.Errorf("%s: the field %q: %q got through", c.target, f.Name, f.Value)
			}
		}
		if a := serve(t.Context(), h, request("GET", "/", "")); a.status != 200 || string(a.body) != "ok" {
			t.Fatalf("after %s: status %d, body %q, error %v", c.target, a.status, a.body, a.err)
		}
	}
	if got := log.String(); !strings.Contains(got, "forged") || !strings.Contains(got, "\xff") {
		t.Errorf("what /log wrote is not in the log: %q", got)
	}
}

// TestRefusedGuests checks that guests which cannot work fail to load, and that the error tells why.
func TestRefusedGuests(t *testing.T) {
	for _, c := range []struct {
		guest string
		want  []string // parts of the error
	}{
		{"badexports", []string{"handle_request"}},
		{"badimport", []string{"env.missing_function", "env.missing_too"}},
		{"bigmemory", []string{"memory"}},
		{"bigtable", []string{"table"}},
		{"endlesstable", []string{"_start"}},
		{"loopstart", []string{"_start"}},
		{"noabi", []string{"_start"}},
		{"startexit", []string{"code 7"}},
		{"trapstart", []string{"_start", "unreachable"}},
		{"truncated", []string{""}},
	} {
		t.Run(c.guest, func(t *testing.T) {
			o := options{hostile: true}
			if c.guest == "loopstart" {
				o.boot = 100 * time.Millisecond
			}
			_, err := load(t, small(c.guest), o)
			if err == nil {
				t.Fatal("the guest loaded")
			}
			if fault.Code(err) != fault.LoadFailed || fault.Hint(err) == "" {
				t.Errorf("%v: exit code %d, hint %q", err, fault.Code(err), fault.Hint(err))
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not name %q", err, want)
				}
			}
		})
	}
}
