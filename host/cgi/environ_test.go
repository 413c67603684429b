package cgi

import (
	"maps"
	"strings"
	"testing"

	"github.com/appserver-go/appserver/exchange"
)

// see has the guest cgienv list its arguments and environment.
func see(t *testing.T, g *Guest, x *exchange.Exchange, w *wire) (args []string, env map[string]string) {
	t.Helper()
	if status, failure := serve(t, g, x); status != 200 || failure != nil {
		t.Fatal(status, failure)
	}
	env = map[string]string{}
	for line := range strings.Lines(w.body.String()) {
		line = strings.TrimSuffix(line, "\n")
		if arg, ok := strings.CutPrefix(line, "arg "); ok {
			args = append(args, arg)
			continue
		}
		name, value, _ := strings.Cut(strings.TrimPrefix(line, "env "), "=")
		if _, twice := env[name]; twice {
			t.Errorf("%s is set twice", name)
		}
		env[name] = value
	}
	return args, env
}

func TestEnvironment(t *testing.T) {
	t.Setenv("TOP_SECRET", "of the host")
	g := load(t, shared(t, "cgienv"), Options{
		Env: []string{"MINE=1", "PATH_INFO=/forged", "TWICE=a", "TWICE=b", "HTTP_X_MINE=kept", "HTTP_X_ONE=overridden", "EMPTY="},
	})
	var w wire
	x := newExchange(&w, "POST", "/a%20b/%c3%a9?x=1&y=%20z")
	x.Request.Body, x.Request.ContentLength = strings.NewReader("hello"), 5
	for _, f := range []exchange.Field{
		{Name: "Content-Type", Value: "text/plain"},
		{Name: "Content-Length", Value: "5"},
		{Name: "Accept", Value: "a/b"},
		{Name: "accept", Value: "c/d"},
		{Name: "Cookie", Value: "a=1"},
		{Name: "Cookie", Value: "b=2"},
		{Name: "X-One", Value: "of the client"},
		{Name: "X_Two", Value: "dropped"},
		{Name: "Content_Length", Value: "dropped"},
		{Name: "Proxy", Value: "http://evil.example"},
		{Name: "Authorization", Value: "Basic eA=="},
	} {
		x.Request.Fields.Add(f.Name, f.Value)
	}
	args, env := see(t, g, x, &w)
	want := map[string]string{
		"MINE": "1", "TWICE": "b", "EMPTY": "", "HTTP_X_MINE": "kept",
		"AUTH_TYPE": "", "CONTENT_LENGTH": "5", "CONTENT_TYPE": "text/plain", "GATEWAY_INTERFACE": "CGI/1.1",
		"PATH_INFO": "/a b/é", "PATH_TRANSLATED": "/a b/é", "QUERY_STRING": "x=1&y=%20z",
		"REMOTE_ADDR": "192.0.2.7", "REMOTE_HOST": "192.0.2.7", "REMOTE_PORT": "4711", "REMOTE_USER": "",
		"REQUEST_METHOD": "POST", "REQUEST_SCHEME": "http", "REQUEST_URI": "/a%20b/%c3%a9?x=1&y=%20z",
		"SCRIPT_NAME": "", "SERVER_NAME": "example.com", "SERVER_PORT": "8080", "SERVER_PROTOCOL": "HTTP/1.1",
		"SERVER_SOFTWARE": "appserver", "X_FULL_URL": "http://example.com:8080/a%20b/%c3%a9?x=1&y=%20z",
		"X_MATCHED_ROUTE": "/...", "X_RAW_PATH_INFO": "/a%20b/%c3%a9",
		"HTTP_HOST": "example.com:8080", "HTTP_ACCEPT": "a/b, c/d", "HTTP_COOKIE": "a=1; b=2",
		"HTTP_X_ONE": "of the client", "HTTP_AUTHORIZATION": "Basic eA==",
	}
	for name, value := range want {
		if got, ok := env[name]; !ok || got != value {
			t.Errorf("%s is %q, want %q", name, got, value)
		}
	}
	for name := range maps.Keys(env) {
		if _, ok := want[name]; !ok {
			t.Errorf("there is a variable %s=%s", name, env[name])
		}
	}
	if got := strings.Join(args, "|"); got != "/a%20b/%c3%a9|x=1|y=%20z" {
		t.Errorf("the arguments are %s", got)
	}
}

func TestEnvironmentOfOtherRequests(t *testing.T) {
	g := load(t, shared(t, "cgienv"), Options{})
	for _, test := range []struct {
		name string
		set  func(*exchange.Request)
		want map[string]string
	}{
		{
			"TLS", func(r *exchange.Request) { r.Scheme, r.Host, r.Proto = "https", "example.com", "HTTP/2.0" },
			map[string]string{"HTTPS": "on", "SERVER_PORT": "443", "SERVER_PROTOCOL": "HTTP/2.0", "X_FULL_URL": "https://example.com/"},
		},
		{
			"no Host", func(r *exchange.Request) { r.Host = "" },
			map[string]string{"SERVER_NAME": "192.0.2.1", "SERVER_PORT": "8080", "HTTP_HOST": "<unset>"},
		},
		{"no port", func(r *exchange.Request) { r.Host = "example.com" }, map[string]string{"SERVER_NAME": "example.com", "SERVER_PORT": "80"}},
		{
			"IPv6", func(r *exchange.Request) { r.Host, r.RemoteAddr = "[2001:db8::1]:81", "[2001:db8::2]:99" },
			map[string]string{"SERVER_NAME": "2001:db8::1", "SERVER_PORT": "81", "REMOTE_ADDR": "2001:db8::2", "REMOTE_PORT": "99"},
		},
		{"IPv6 without port", func(r *exchange.Request) { r.Host = "[2001:db8::1]" }, map[string]string{"SERVER_NAME": "2001:db8::1", "SERVER_PORT": "80"}},
		{
			"unix socket", func(r *exchange.Request) { r.Host, r.LocalAddr, r.RemoteAddr = "", "/run/x.sock", "" },
			map[string]string{"SERVER_NAME": "localhost", "SERVER_PORT": "80", "REMOTE_ADDR": "", "REMOTE_PORT": ""},
		},
		{
			"OPTIONS *", func(r *exchange.Request) { r.Method, r.Target = "OPTIONS", "*" },
			map[string]string{"REQUEST_METHOD": "OPTIONS", "REQUEST_URI": "*", "PATH_INFO": "", "QUERY_STRING": "", "CONTENT_LENGTH": "0", "CONTENT_TYPE": ""},
		},
		{"unknown length", func(r *exchange.Request) { r.Body, r.ContentLength = strings.NewReader("four"), -1 }, map[string]string{"CONTENT_LENGTH": "4"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var w wire
			x := newExchange(&w, "GET", "/")
			test.set(&x.Request)
			_, env := see(t, g, x, &w)
			for name, value := range test.want {
				got, ok := env[name]
				if value == "<unset>" && ok || value != "<unset>" && (!ok || got != value) {
					t.Errorf("%s is %q, want %q", name, got, value)
				}
			}
		})
	}
}

func TestArgs(t *testing.T) {
	for _, test := range []struct {
		target string
		args   []string
		want   string
	}{
		{"/p", nil, "/p"},
		{"/p?", nil, "/p"},
		{"/p?a&b=c", nil, "/p|a|b=c"},
		{"/p?a&b=c", []string{"-q", "x"}, "/p|-q|x"},
		{"/p?a&b=c", []string{"--", "${ARGS}"}, "/p|--|a|b=c"},
	} {
		g := load(t, shared(t, "cgienv"), Options{Args: test.args})
		var w wire
		if args, _ := see(t, g, newExchange(&w, "GET", test.target), &w); strings.Join(args, "|") != test.want {
			t.Errorf("%s with %q: the arguments are %q", test.target, test.args, args)
		}
	}
}

func TestBadPaths(t *testing.T) {
	g := load(t, shared(t, "cgienv"), Options{})
	for _, target := range []string{"/%", "/%4", "/%zz", "/a%0", "/%4g", "/a%00b"} {
		var w wire
		if status, failure := serve(t, g, newExchange(&w, "GET", target)); status != 400 || failure.Reason != exchange.BadRequest {
			t.Errorf("%s: got %d, %v", target, status, failure)
		}
	}
}
