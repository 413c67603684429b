package workers

import (
	"slices"
	"strings"
	"testing"

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
		trust, err := NewTrust(peers)
		if err != nil {
			t.Fatal(err)
		}
		if got := trust.Peer(tt.peer); got != tt.want {
			t.Errorf("%q trusts %q: %v", tt.allow, tt.peer, got)
		}
	}
	for _, bad := range []string{"x", "1.2.3", "10.0.0.0/33", "", "fe80::1%eth0"} {
		if _, err := NewTrust([]string{bad}); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

func TestTrustApply(t *testing.T) {
	trust, err := NewTrust([]string{"10.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
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

func FuzzTrust(f *testing.F) {
	for _, s := range []string{"127.0.0.1", "10.0.0.0/8", "*", "::ffff:1.2.3.4/120", "fe80::1%x", "/"} {
		f.Add(s, "10.0.0.1:80")
	}
	f.Fuzz(func(t *testing.T, allow, peer string) {
		trust, err := NewTrust([]string{allow})
		if err == nil && trust.Peer(peer) && strings.TrimSpace(allow) != "*" && peer != "" && !strings.Contains(peer, ":") {
			t.Errorf("%q trusts %q, which is no address and port", allow, peer)
		}
	})
}
