package workers

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/appserver-go/appserver/config"
	"github.com/appserver-go/appserver/exchange"
)

func TestTrustPeer(t *testing.T) {
	tests := []struct {
		allow string
		peer  string
		want  bool
	}{
		{"127.0.0.1,::1", "127.0.0.1:5", true},
		{"127.0.0.1,::1", "[::1]:5", true},
		{"127.0.0.1", "[::ffff:127.0.0.1]:5", true},
		{"::ffff:127.0.0.1", "127.0.0.1:5", true},
		{"127.0.0.1", "127.0.0.2:5", false},
		{"10.1.2.3/8", "10.9.9.9:5", true},
		{"::ffff:10.0.0.0/104", "10.9.9.9:5", true},
		{"10.0.0.0/8", "11.0.0.1:5", false},
		{"fe80::/10", "[fe80::1%eth0]:5", true},
		{"*", "1.2.3.4:5", true},
		{"", "1.2.3.4:5", false},
		{"", "", true}, // a unix socket
		{"127.0.0.1", "nonsense", false},
	}
	for _, tt := range tests {
		var peers []string
		if tt.allow != "" {
			peers = strings.Split(tt.allow, ",")
		}
		p, err := newPeers("x", peers)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.contain(tt.peer); got != tt.want {
			t.Errorf("%q trusts %q: %v", tt.allow, tt.peer, got)
		}
	}
	for _, bad := range []string{"x", "1.2.3", "10.0.0.0/33", "", "fe80::1%eth0"} {
		if _, err := newPeers("x", []string{bad}); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

// newTrust makes a Trust in 10.0.0.0/24 with the default settings, as change leaves them.
func newTrust(t testing.TB, change func(*config.Config)) *Trust {
	t.Helper()
	c := &config.Config{
		ForwardedAllowIPs: []string{"10.0.0.1", "10.0.0.9"}, RealIPHeader: "X-Forwarded-For",
		SecureSchemeHeaders: []string{"X-Forwarded-Protocol=ssl", "X-Forwarded-Proto=https", "X-Forwarded-Ssl=on"},
	}
	if change != nil {
		change(c)
	}
	trust, err := NewTrust(c)
	if err != nil {
		t.Fatal(err)
	}
	return trust
}

func TestTrustApply(t *testing.T) {
	trust := newTrust(t, nil)
	const proxy, stranger = "10.0.0.1:1", "10.0.0.2:1"
	tests := []struct {
		peer, fields string
		scheme, kept string
		bad          bool
	}{
		{proxy, "X-Forwarded-Proto=https", "https", "X-Forwarded-Proto", false},
		{proxy, "X-Forwarded-Proto=HTTPS,X-Forwarded-Ssl=on,X-Forwarded-Protocol=ssl", "https", "X-Forwarded-Proto X-Forwarded-Ssl X-Forwarded-Protocol", false},
		{proxy, "X-Forwarded-Proto=http", "http", "X-Forwarded-Proto", false},
		{proxy, "X-Forwarded-Proto=http,X-Forwarded-Ssl=on", "", "", true},
		{proxy, "X-Forwarded-Proto=https,x-forwarded-proto=http", "", "", true},
		{stranger, "X-Forwarded-Proto=https,A=b,X-Forwarded-For=1,Forwarded=for=1,X-Real-IP=1,X-Forwardedness=1", "http", "A X-Forwardedness", false},
		{stranger, "X-Forwarded-Proto=http,X-Forwarded-Ssl=on", "http", "", false},
		{"", "X-Forwarded-Proto=https", "https", "X-Forwarded-Proto", false},
	}
	for _, tt := range tests {
		r := &exchange.Request{RemoteAddr: tt.peer, Scheme: "http"}
		for f := range strings.SplitSeq(tt.fields, ",") {
			name, value, _ := strings.Cut(f, "=")
			r.Fields.Add(name, value)
		}
		err := trust.Apply(r)
		if tt.bad {
			if f := exchange.AsFailure(err); err == nil || f.Status != 400 {
				t.Errorf("%q: %v", tt.fields, err)
			}
			continue
		}
		var kept []string
		for _, f := range r.Fields {
			kept = append(kept, f.Name)
		}
		if err != nil || r.Scheme != tt.scheme || !slices.Equal(kept, strings.Fields(tt.kept)) {
			t.Errorf("%q from %q: scheme %s, fields %q, error %v", tt.fields, tt.peer, r.Scheme, kept, err)
		}
	}
}

func TestTrustTakesAddressAndHost(t *testing.T) {
	const proxy, stranger = "10.0.0.1:1", "10.0.0.2:1"
	forwarded := func(c *config.Config) { c.RealIPHeader = "Forwarded" }
	realIP := func(c *config.Config) { c.RealIPHeader = "X-Client" }
	host := func(c *config.Config) { c.RealHostHeader = "X-Forwarded-Host" }
	off := func(c *config.Config) { c.RealIPHeader = "" }
	tests := []struct {
		name, peer, fields string
		change             func(*config.Config)
		remote, host       string
		bad                bool
	}{
		{"one", proxy, "X-Forwarded-For=1.2.3.4", nil, "1.2.3.4:0", "h", false},
		{"with port", proxy, "X-Forwarded-For=1.2.3.4:77", nil, "1.2.3.4:77", "h", false},
		{"six", proxy, "X-Forwarded-For=2001:db8::1", nil, "[2001:db8::1]:0", "h", false},
		{"mapped", proxy, "X-Forwarded-For=::ffff:1.2.3.4", nil, "1.2.3.4:0", "h", false},
		{"written by the client", proxy, "X-Forwarded-For=6.6.6.6, 1.2.3.4", nil, "1.2.3.4:0", "h", false},
		{"two proxies", proxy, "X-Forwarded-For=6.6.6.6, 1.2.3.4, 10.0.0.9", nil, "1.2.3.4:0", "h", false},
		{"two lines", proxy, "X-Forwarded-For=6.6.6.6;X-Forwarded-For=1.2.3.4,10.0.0.9", nil, "1.2.3.4:0", "h", false},
		{"proxies only", proxy, "X-Forwarded-For=10.0.0.9", nil, "10.0.0.9:0", "h", false},
		{"unknown", proxy, "X-Forwarded-For=1.2.3.4, unknown", nil, proxy, "h", false},
		{"garbage before", proxy, "X-Forwarded-For=<x>, 10.0.0.9", nil, "10.0.0.9:0", "h", false},
		{"empty", proxy, "X-Forwarded-For=", nil, proxy, "h", false},
		{"zone", proxy, "X-Forwarded-For=fe80::1%eth0", nil, proxy, "h", false},
		{"off", proxy, "X-Forwarded-For=1.2.3.4", off, proxy, "h", false},
		{"stranger", stranger, "X-Forwarded-For=1.2.3.4", nil, stranger, "h", false},
		{"unix", "", "X-Forwarded-For=1.2.3.4", nil, "1.2.3.4:0", "h", false},
		{"other field", proxy, "X-Client=1.2.3.4;X-Forwarded-For=5.5.5.5", realIP, "1.2.3.4:0", "h", false},
		{"other field of a stranger", stranger, "X-Client=1.2.3.4", realIP, stranger, "h", false},
		{"forwarded", proxy, "Forwarded=for=6.6.6.6,proto=https, FOR=\"[2001:db8::1]:4711\"", forwarded, "[2001:db8::1]:4711", "h", false},
		{"forwarded by two", proxy, "Forwarded=for=1.2.3.4, for=10.0.0.9", forwarded, "1.2.3.4:0", "h", false},
		{"forwarded hidden", proxy, "Forwarded=for=1.2.3.4, for=_hidden", forwarded, proxy, "h", false},
		{"host", proxy, "X-Forwarded-Host=a.example:8080", host, proxy, "a.example:8080", false},
		{"host list", proxy, "X-Forwarded-Host=evil, a.example", host, proxy, "a.example", false},
		{"host not asked for", proxy, "X-Forwarded-Host=a.example", nil, proxy, "h", false},
		{"host of a stranger", stranger, "X-Forwarded-Host=a.example", host, stranger, "h", false},
		{"no host", proxy, "X-Forwarded-Host=a/b", host, "", "", true},
	}
	for _, tt := range tests {
		r := &exchange.Request{RemoteAddr: tt.peer, Scheme: "http", Host: "h"}
		for f := range strings.SplitSeq(tt.fields, ";") {
			name, value, _ := strings.Cut(f, "=")
			r.Fields.Add(name, value)
		}
		err := newTrust(t, tt.change).Apply(r)
		if tt.bad {
			if f := exchange.AsFailure(err); err == nil || f.Status != 400 {
				t.Errorf("%s: %v", tt.name, err)
			}
			continue
		}
		if err != nil || r.RemoteAddr != tt.remote || r.Host != tt.host {
			t.Errorf("%s: remote %q, host %q, error %v", tt.name, r.RemoteAddr, r.Host, err)
		}
	}
}

// Whatever a client writes, the address is one, and with a proxy that appends it is what the proxy has appended.
func FuzzForwardedFor(f *testing.F) {
	for _, s := range []string{"1.2.3.4", "::1, x", ",", "[::1]:80", "10.0.0.9", "unknown", "\"", "1.2.3.4:x"} {
		f.Add(s)
	}
	trust := newTrust(f, nil)
	f.Fuzz(func(t *testing.T, written string) {
		r := &exchange.Request{RemoteAddr: "10.0.0.1:1", Scheme: "http"}
		r.Fields.Add("X-Forwarded-For", written+", 5.6.7.8")
		if err := trust.Apply(r); err != nil || r.RemoteAddr != "5.6.7.8:0" {
			t.Errorf("%q: %q %v", written, r.RemoteAddr, err)
		}
		r = &exchange.Request{RemoteAddr: "10.0.0.1:1", Scheme: "http"}
		r.Fields.Add("X-Forwarded-For", written)
		if err := trust.Apply(r); err != nil {
			t.Fatal(err)
		}
		if _, err := netip.ParseAddrPort(r.RemoteAddr); err != nil {
			t.Errorf("%q: %v", written, err)
		}
	})
}

func FuzzTrust(f *testing.F) {
	for _, s := range []string{"127.0.0.1", "10.0.0.0/8", "*", "::ffff:1.2.3.4/120", "fe80::1%x", "/"} {
		f.Add(s, "10.0.0.1:80")
	}
	f.Fuzz(func(t *testing.T, allow, peer string) {
		p, err := newPeers("x", []string{allow})
		if err == nil && p.contain(peer) && strings.TrimSpace(allow) != "*" && peer != "" && !strings.Contains(peer, ":") {
			t.Errorf("%q trusts %q, which is no address and port", allow, peer)
		}
	})
}
