package allowlist

import (
	"net/netip"
	"net/url"
	"strings"
	"testing"
)

func TestAllows(t *testing.T) {
	l, err := Parse([]string{
		"https://api.example.com", "http://127.0.0.1:9000/v1/", "https://*.cdn.example", "http://[::1]:81/a", "http://localhost",
	})
	if err != nil {
		t.Fatal(err)
	}
	for raw, want := range map[string]bool{
		"https://api.example.com":             true,
		"https://API.Example.com:443/any?q=1": true,
		"https://api.example.com:8443/":       false,
		"http://api.example.com/":             false,
		"https://api.example.com.evil.org/":   false,
		"https://evil-api.example.com/":       false,
		"http://127.0.0.1:9000/v1/x":          true,
		"http://127.0.0.1:9000/v1/":           true,
		"http://127.0.0.1:9000/v1":            false,
		"http://127.0.0.1:9000/v12":           false,
		"http://127.0.0.1:9000/v1%2Fx":        false,
		"http://127.0.0.1:9000/%761/x":        false,
		"http://[::ffff:127.0.0.1]:9000/v1/x": true,
		"http://127.0.0.1/v1/x":               false,
		"https://a.b.cdn.example/":            true,
		"https://cdn.example/":                false,
		"https://xcdn.example/":               false,
		"http://[0:0::1]:81/a":                true,
		"http://[::1]:81/a/b":                 true,
		"http://[::1]:81/ab":                  false,
		"http://localhost/":                   true,
		"http://localhost:80/":                true,
		"http://sub.localhost/":               false,
	} {
		target, err := ParseTarget(raw)
		if err != nil {
			t.Errorf("%s: %v", raw, err)
		} else if got := l.Allows(target); got != want {
			t.Errorf("%s: allowed %v, want %v", raw, got, want)
		}
	}
	target, _ := ParseTarget("http://localhost/")
	if (*List)(nil).Allows(target) || new(List).Allows(target) {
		t.Error("an empty list allows something")
	}
}

func TestRefusedURLs(t *testing.T) {
	for raw, want := range map[string]string{
		"":                         "scheme",
		"ftp://h/":                 "scheme",
		"//h/":                     "scheme",
		"http:///x":                "no host",
		"http://u:p@h/":            "user",
		"http://h/#f":              "fragment",
		"http://h#":                "fragment",
		"http://h/a b":             "escaped",
		"http://h/\r\nX:1":         "escaped",
		"http://h/\\..\\x":         "escaped",
		"http://hé/":               "escaped",
		"http://h/a/../b":          "segment",
		"http://h/a/%2e%2E/b":      "segment",
		"http://h/a%2f..%2fb":      "segment",
		"http://h/a%5c..%5cb":      "segment",
		"http://h/a/..;x=1/b":      "segment",
		"http://h/.":               "segment",
		"http://2130706433/":       "name of a host",
		"http://127.1/":            "name of a host",
		"http://0x7f.0.0.1/":       "name of a host",
		"http://h.0x7f000001/":     "name of a host",
		"http://h./":               "name of a host",
		"http://h..x/":             "name of a host",
		"http://[fe80::1%25eth0]/": "zone",
		"http://h:0/":              "port",
		"http://h:/":               "port",
		"http://h:65536/":          "port",
		"http://%31/":              "",
		"http:h/x":                 "no host",
		"http://h/" + strings.Repeat("x", MaxURL): "longer",
	} {
		if target, err := ParseTarget(raw); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %+v, %v", raw, target, err)
		}
	}
}

func TestRefusedItems(t *testing.T) {
	for item, want := range map[string]string{
		"https://api.example.com/?x=1": "query",
		"https://*.127.0.0.1":          "follow",
		"https://*":                    "name",
		"https://a.*.example":          "name",
		"api.example.com":              "scheme",
		"http://user:secret@h/":        "user",
	} {
		_, err := Parse([]string{item})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", item, err)
		}
	}
}

func TestPublic(t *testing.T) {
	for addr, want := range map[string]bool{
		"93.184.216.34": true, "2606:2800:220:1::1": true, "64:ff9b::808:808": true, "2002:808:808::1": true, "::ffff:8.8.8.8": true,
		"127.0.0.1": false, "10.1.2.3": false, "172.16.0.1": false, "192.168.1.1": false, "169.254.169.254": false, "100.100.100.200": false,
		"0.0.0.0": false, "0.1.2.3": false, "224.0.0.1": false, "255.255.255.255": false, "198.18.0.1": false, "240.0.0.1": false,
		"::": false, "::1": false, "fe80::1%eth0": false, "fd00::1": false, "fec0::1": false, "ff02::1": false, "::7f00:1": false,
		"::ffff:127.0.0.1": false, "64:ff9b::7f00:1": false, "64:ff9b::a9fe:a9fe": false, "2002:7f00:1::1": false, "fd00:ec2::254": false,
	} {
		if got := Public(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: public %v, want %v", addr, got, want)
		}
	}
}

// What is read reads the same when it is written out, by net/url too, which is what clients use.
func FuzzParseTarget(f *testing.F) {
	for _, s := range []string{"https://api.example.com:8443/a/b?c=d", "http://[::1]:9/%2e", "http://h/a;b?", "http://127.0.0.1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		target, err := ParseTarget(raw)
		if err != nil {
			return
		}
		again, err := ParseTarget(target.String())
		if err != nil || again != target {
			t.Fatalf("%q is %+v, and %q %+v, %v", raw, target, target.String(), again, err)
		}
		u, err := url.Parse(target.String())
		if err != nil || !strings.EqualFold(u.Hostname(), target.Host) || u.EscapedPath() != target.Path || u.RawQuery != target.Query {
			t.Fatalf("%q is %+v, and to net/url %+v, %v", raw, target, u, err)
		}
		if l, err := Parse([]string{target.Origin()}); err != nil || !l.Allows(target) {
			t.Fatalf("%q is not allowed by its own origin: %v", raw, err)
		}
	})
}
