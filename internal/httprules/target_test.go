package httprules

import (
	"net/http"
	"strings"
	"testing"
)

func TestTarget(t *testing.T) {
	tests := []struct{ method, uri, host, wantTarget, wantHost string }{
		{"GET", "/a?b", "h", "/a?b", "h"},
		{"GET", "//a//b", "h", "//a//b", "h"},
		{"GET", "/", "", "/", ""},
		{"GET", "/", "[::1]:80", "/", "[::1]:80"},
		{"GET", "http://x", "h", "/", "x"},
		{"GET", "HTTP://x:81/p?q", "h", "/p?q", "x:81"},
		{"GET", "http://x?q", "h", "/?q", "x"},
		{"OPTIONS", "*", "h", "*", "h"},
		{"OPTIONS", "http://x:1", "h", "*", "x:1"},
	}
	for _, tt := range tests {
		target, host, bad := Target(tt.method, "http", tt.uri, tt.host)
		if bad != nil || target != tt.wantTarget || host != tt.wantHost {
			t.Errorf("%s %s (Host %q) = %q %q %v, want %q %q", tt.method, tt.uri, tt.host, target, host, bad, tt.wantTarget, tt.wantHost)
		}
	}
}

func FuzzTarget(f *testing.F) {
	for _, s := range []string{"/a?b", "*", "http://x:1/y", "https://x/", "a:80", "/x#y", "http://u@h/", "//", "http://[::1]/"} {
		f.Add("GET", s, "h:80")
		f.Add("OPTIONS", s, "]")
	}
	f.Fuzz(func(t *testing.T, method, uri, hostField string) {
		target, host, bad := Target(method, "http", uri, hostField)
		if bad != nil {
			if bad.Status < 400 || target != "" || host != "" {
				t.Errorf("refusal %+v with %q %q", bad, target, host)
			}
			return
		}
		if target != "*" && !strings.HasPrefix(target, "/") {
			t.Errorf("target %q is not in origin-form", target)
		}
		if strings.ContainsAny(target, "# \r\n\t\x00") || strings.ContainsAny(host, "@,/? \r\n\x00") {
			t.Errorf("target %q, host %q", target, host)
		}
		again, sameHost, bad := Target(method, "http", target, host)
		if bad != nil && target != "*" || bad == nil && (again != target || sameHost != host) {
			t.Errorf("%q %q does not stay itself: %q %q %v", target, host, again, sameHost, bad)
		}
	})
}

func TestHosts(t *testing.T) {
	for host, want := range map[string]bool{
		"": true, "a": true, "a.b": true, "A-1.b:80": true, "a:": true, "127.0.0.1:8080": true, "[::1]": true, "[::1]:80": true,
		"[::ffff:1.2.3.4]": true, "a_b": true, "x%20y": true, "a:65535": true,
		"a,b": false, "a b": false, "a/b": false, "u@a": false, "a?b": false, "a:b": false, "a:80:80": false, "]a": false, "[a": false,
		"[]": false, "[:::]": false, "[1.2.3.4]": false, "[::1%25eth0]": false, "[::1]x": false, "[::1]80": false, "a:65536": false,
		"a:000080": false, "a\x00": false, "é": false, "a:+80": false, "a\tb": false, `a"b`: false, "a\\b": false, "<a>": false, "a#b": false,
	} {
		if got := ValidHost(host); got != want {
			t.Errorf("ValidHost(%q) is %v", host, got)
		}
	}
}

func TestMethods(t *testing.T) {
	for method, want := range map[string]int{
		"GET": 0, "HEAD": 0, "POST": 0, "OPTIONS": 0, "M-SEARCH": 0, "VERSION-CONTROL": 0, "X.Y_Z~": 0,
		"CONNECT": 501, "TRACE": 501,
		"": 400, "GE": 400, "get": 400, "Get": 400, "G@T": 400, "GET#": 400, "G T": 400, "GET\x00": 400, strings.Repeat("A", 21): 400,
	} {
		got := 0
		if bad := Method(method); bad != nil {
			got = bad.Status
		}
		if method == "X.Y_Z~" && got != 0 || got != want {
			t.Errorf("Method(%q) is %d, want %d", method, got, want)
		}
	}
}

func TestHidden(t *testing.T) {
	for name, want := range map[string]bool{
		"Connection": true, "keep-alive": true, "TE": true, "Proxy": true, "PROXY": true, "expect": true, "Content_Length": true,
		"_": true, "Proxy-Authorization": true, "Upgrade": true,
		"Content-Length": false, "X-Proxy": false, "Expects": false, "Cookie": false, "Accept": false, "Range": false,
	} {
		if got := Hidden(name); got != want {
			t.Errorf("Hidden(%q) is %v", name, got)
		}
	}
}

func TestStatusTextIsNetHTTPs(t *testing.T) {
	for status := range 700 {
		if got, want := StatusText(status), http.StatusText(status); got != want {
			t.Errorf("StatusText(%d) is %q, want %q", status, got, want)
		}
	}
}
