package sockets

import (
	"errors"
	"strings"
	"testing"

	"github.com/appserver-go/appserver/internal/fault"
)

func TestParse(t *testing.T) {
	tests := []struct {
		in   string
		want Addr
		out  string // of String
	}{
		// Vectors of gunicorn's tests/test_util.py.
		{"unix://var/run/test.sock", Addr{Network: Unix, Path: "var/run/test.sock"}, "unix:var/run/test.sock"},
		{"unix:/var/run/test.sock", Addr{Network: Unix, Path: "/var/run/test.sock"}, "unix:/var/run/test.sock"},
		{"unix:///var/run/test.sock", Addr{Network: Unix, Path: "/var/run/test.sock"}, "unix:/var/run/test.sock"},
		{"unix:run.sock", Addr{Network: Unix, Path: "run.sock"}, "unix:run.sock"},
		{"fd://33", Addr{Network: FD, FD: 33}, "fd://33"},
		{"tcp://localhost", Addr{Network: TCP, Host: "localhost", Port: 8000}, "localhost:8000"},
		{"tcp://localhost:5000", Addr{Network: TCP, Host: "localhost", Port: 5000}, "localhost:5000"},
		{"", Addr{Network: TCP, Host: "0.0.0.0", Port: 8000}, "0.0.0.0:8000"},
		{"[::1]:5000", Addr{Network: TCP6, Host: "::1", Port: 5000}, "[::1]:5000"},
		{"[::1]:8000", Addr{Network: TCP6, Host: "::1", Port: 8000}, "[::1]:8000"},
		{"[::1]", Addr{Network: TCP6, Host: "::1", Port: 8000}, "[::1]:8000"},
		{"localhost:8000", Addr{Network: TCP, Host: "localhost", Port: 8000}, "localhost:8000"},
		{"127.0.0.1:8000", Addr{Network: TCP, Host: "127.0.0.1", Port: 8000}, "127.0.0.1:8000"},
		{"localhost", Addr{Network: TCP, Host: "localhost", Port: 8000}, "localhost:8000"},
		// Ours.
		{"LocalHost:80", Addr{Network: TCP, Host: "localhost", Port: 80}, "localhost:80"},
		{":8080", Addr{Network: TCP, Host: "0.0.0.0", Port: 8080}, "0.0.0.0:8080"},
		{"tcp://", Addr{Network: TCP, Host: "0.0.0.0", Port: 8000}, "0.0.0.0:8000"},
		{"tcp://[::]:0", Addr{Network: TCP6, Host: "::", Port: 0}, "[::]:0"},
		{"[0:0::1]:1", Addr{Network: TCP6, Host: "::1", Port: 1}, "[::1]:1"},
		{"[FE80::1%Eth0]:1", Addr{Network: TCP6, Host: "fe80::1%Eth0", Port: 1}, "[fe80::1%Eth0]:1"},
		{"my-host_1.example:65535", Addr{Network: TCP, Host: "my-host_1.example", Port: 65535}, "my-host_1.example:65535"},
		{"tcp://Unix", Addr{Network: TCP, Host: "unix", Port: 8000}, "tcp://unix:8000"},
		{"unix:@app", Addr{Network: Unix, Path: "@app"}, "unix:@app"},
		{"unix:////x", Addr{Network: Unix, Path: "//x"}, "unix:////x"},
		{"unix:a b:c", Addr{Network: Unix, Path: "a b:c"}, "unix:a b:c"},
		{"unix:" + strings.Repeat("p", 107), Addr{Network: Unix, Path: strings.Repeat("p", 107)}, "unix:" + strings.Repeat("p", 107)},
		{"fd://0", Addr{Network: FD}, "fd://0"},
	}
	for _, tt := range tests {
		t.Run(tt.in, func(t *testing.T) {
			got, err := Parse(tt.in)
			if err != nil {
				t.Fatal(err)
			}
			if got != tt.want {
				t.Errorf("Parse = %+v, want %+v", got, tt.want)
			}
			if got.String() != tt.out {
				t.Errorf("String = %q, want %q", got.String(), tt.out)
			}
		})
	}
}

func TestParseErrors(t *testing.T) {
	tests := []struct{ in, text, hint string }{
		{"127.0.0.1:test", "'test' is not a valid port number", "0 to 65535"}, // gunicorn's vector
		{"fd://asd", "'asd' is not a valid file descriptor", "fd://3"},        // gunicorn's vector
		{"fd://", "'' is not a valid file descriptor", "fd://3"},
		{"fd://-1", "'-1' is not a valid file descriptor", "fd://3"},
		{"127.0.0.1:", "'' is not a valid port number", "0 to 65535"},
		{"127.0.0.1:65536", "'65536' is not a valid port number", "0 to 65535"},
		{"127.0.0.1:+80", "'+80' is not a valid port number", "0 to 65535"},
		{"127.0.0.1:8_0", "'8_0' is not a valid port number", "0 to 65535"},
		{"a:1:2", "too many colons", "HOST:PORT"},
		{"::1", "needs brackets", "[::1]:8000"},
		{"[::1", "']' is missing", "[::1]:8000"},
		{"[::1]8000", "unexpected text after ']'", "[::1]:8000"},
		{"[127.0.0.1]:80", "'127.0.0.1' is not an IPv6 address", "[::1]:8000"},
		{"[::1%a b]:80", "'::1%a b' is not an IPv6 address", "[::1]:8000"},
		{"8000", "'8000' is not a host", ":8000 or 127.0.0.1:8000"},
		{"256.0.0.1:80", "'256.0.0.1' is not a host", "HOST:PORT"},
		{"*:80", "'*' is not a host", "0.0.0.0:80 or [::]:80"},
		{"/run/app.sock", "is not a host", "unix:PATH"},
		{"http://localhost:80", `unknown scheme "http"`, "HOST:PORT"},
		{" localhost", "' localhost' is not a host", "HOST:PORT"},
		{"h\x1b[0m:80", `'h\x1b[0m' is not a host`, "HOST:PORT"},
		{"unix:", "path of the unix socket is missing", "unix:PATH"},
		{"unix://", "path of the unix socket is missing", "unix:PATH"},
		{"unix:@", "path of the unix socket is missing", "unix:PATH"},
		{"unix:a\x00b", "NUL byte", "remove"},
		{"unix:" + strings.Repeat("p", 108), "has 108 bytes, a unix socket allows 107", "shorter"},
	}
	for _, tt := range tests {
		t.Run(tt.in, func(t *testing.T) {
			got, err := Parse(tt.in)
			if err == nil {
				t.Fatalf("Parse = %+v, want an error", got)
			}
			if !errors.As(err, new(*fault.Error)) {
				t.Errorf("error %T is not a fault", err)
			}
			if !strings.Contains(err.Error(), tt.text) {
				t.Errorf("error %q does not say %q", err, tt.text)
			}
			if hint := fault.Hint(err); !strings.Contains(hint, tt.hint) {
				t.Errorf("hint %q does not say %q", hint, tt.hint)
			}
		})
	}
}

func TestURL(t *testing.T) {
	tests := []struct {
		in    string
		tls   bool
		want  string
		isTCP bool
	}{
		{"127.0.0.1:8000", false, "http://127.0.0.1:8000", true},
		{"127.0.0.1:8000", true, "https://127.0.0.1:8000", true},
		{"[::1]:8000", false, "http://[::1]:8000", true},
		{"[::1]:8443", true, "https://[::1]:8443", true},
		{"tcp://unix:80", false, "http://unix:80", true},
		{"unix:/path", true, "unix:/path", false},
		{"fd://3", true, "fd://3", false},
	}
	for _, tt := range tests {
		a := mustParse(t, tt.in)
		if got := a.URL(tt.tls); got != tt.want {
			t.Errorf("%s: URL(%v) = %q, want %q", tt.in, tt.tls, got, tt.want)
		}
		if a.isTCP() != tt.isTCP {
			t.Errorf("%s: isTCP = %v", tt.in, a.isTCP())
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"", "localhost", "localhost:8000", ":80", "[::1]:5000", "[::1]", "[fe80::1%eth0]:1", "tcp://a:1", "unix:/x",
		"unix://x", "unix:////x", "unix:@a", "fd://33", "fd://asd", "a:b:c", "[", "]", "[]", "[]:1", "tcp://unix:x",
		"unix:\x00", "127.0.0.1:test", "\u212a:80", "[::ffff:1.2.3.4]:1",
		"uniX",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := Parse(s)
		if err != nil {
			if fault.Hint(err) == "" {
				t.Errorf("Parse(%q): error without a hint: %v", s, err)
			}
			return
		}
		again, err := Parse(a.String())
		if err != nil {
			t.Fatalf("Parse(%q) = %+v, whose String %q does not parse: %v", s, a, a.String(), err)
		}
		if again != a || again.String() != a.String() {
			t.Errorf("Parse(%q) = %+v, but Parse(%q) = %+v", s, a, a.String(), again)
		}
	})
}

func mustParse(t testing.TB, s string) Addr {
	t.Helper()
	a, err := Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}
