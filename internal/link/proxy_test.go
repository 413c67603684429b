package link_test

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/appserver-go/appserver/internal/link"
	"github.com/appserver-go/appserver/internal/link/linktest"
)

const signature = "\r\n\r\n\x00\r\nQUIT\n"

// v2 makes a header of version 2.
func v2(command, family byte, block string) string {
	b := append([]byte(signature), command, family)
	b = binary.BigEndian.AppendUint16(b, uint16(len(block)))
	return string(b) + block
}

const (
	four = "\x01\x02\x03\x04\x05\x06\x07\x08\x10\x00\x00\x50"
	six  = " \x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01" + " \x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02" + "\x10\x00\x01\xbb"
	ssl  = "\x20\x00\x0f\x01\x00\x00\x00\x00\x21\x00\x07TLSv1.3" // the client spoke TLS
)

func proxy(version int) *link.Door {
	return &link.Door{Proxy: &link.Proxy{Version: version, Allowed: func(string) bool { return true }}}
}

func TestProxyHeaders(t *testing.T) {
	const request = "GET / HTTP/1.1\r\n\r\n"
	for name, tt := range map[string]struct {
		header, remote, local, scheme string
	}{
		"v1 four":          {"PROXY TCP4 1.2.3.4 5.6.7.8 4096 80\r\n", "1.2.3.4:4096", "5.6.7.8:80", "http"},
		"v1 six":           {"PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n", "[2001:db8::1]:1", "[2001:db8::2]:65535", "http"},
		"v1 mapped":        {"PROXY TCP6 ::ffff:1.2.3.4 ::ffff:5.6.7.8 1 2\r\n", "1.2.3.4:1", "5.6.7.8:2", "http"},
		"v1 unknown":       {"PROXY UNKNOWN\r\n", "", "pipe", "http"},
		"v1 unknown long":  {"PROXY UNKNOWN ffff::1 ffff::1 65535 65535\r\n", "", "pipe", "http"},
		"v2 four":          {v2(0x21, 0x11, four), "1.2.3.4:4096", "5.6.7.8:80", "http"},
		"v2 six":           {v2(0x21, 0x21, six), "[2001:db8::1]:4096", "[2001:db8::2]:443", "http"},
		"v2 with TLVs":     {v2(0x21, 0x11, four+"\x04\x00\x02xy"+ssl), "1.2.3.4:4096", "5.6.7.8:80", "https"},
		"v2 local":         {v2(0x20, 0x00, ""), "", "pipe", "http"},
		"v2 local with":    {v2(0x20, 0x11, four), "", "pipe", "http"},
		"v2 unix":          {v2(0x21, 0x31, strings.Repeat("\x00", 216)), "", "pipe", "http"},
		"v2 no TLS beyond": {v2(0x21, 0x11, four+"\x20\x00\x05\x00\x00\x00\x00\x01"), "1.2.3.4:4096", "5.6.7.8:80", "http"},
	} {
		for _, rest := range []string{request, ""} {
			l, got, err := through(t, proxy(0), []byte(tt.header+rest), 1<<20)
			if err != nil || l.Remote != tt.remote || l.Local != tt.local || l.Scheme != tt.scheme || string(got) != rest {
				t.Errorf("%s: %+v, rest %q, %v", name, l, got, err)
			}
		}
		if strings.HasPrefix(name, "v2") { // which may come in pieces
			if l, got, err := through(t, proxy(2), []byte(tt.header+request), 1); err != nil || l.Remote != tt.remote || string(got) != request {
				t.Errorf("%s byte by byte: %+v, rest %q, %v", name, l, got, err)
			}
		}
	}
}

// Nothing of these is ever taken for HTTP.
func TestHostileProxyHeaders(t *testing.T) {
	for name, raw := range map[string]string{
		"none":               "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"TLS":                "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03abcdefgh",
		"lower case":         "proxy TCP4 1.2.3.4 5.6.7.8 1 2\r\n",
		"no blank":           "PROXYTCP4 1.2.3.4 5.6.7.8 1 2\r\n",
		"two blanks":         "PROXY  TCP4 1.2.3.4 5.6.7.8 1 2\r\n",
		"blank behind":       "PROXY TCP4 1.2.3.4 5.6.7.8 1 2 \r\n",
		"tab":                "PROXY\tTCP4 1.2.3.4 5.6.7.8 1 2\r\n",
		"bare LF":            "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n",
		"CR in the middle":   "PROXY TCP4 1.2.3.4\r5.6.7.8 1 2\r\n",
		"NUL":                "PROXY TCP4 1.2.3.4\x00 5.6.7.8 1 2\r\n",
		"port too large":     "PROXY TCP4 1.2.3.4 5.6.7.8 65536 2\r\n",
		"port with sign":     "PROXY TCP4 1.2.3.4 5.6.7.8 +1 2\r\n",
		"port with zero":     "PROXY TCP4 1.2.3.4 5.6.7.8 01 2\r\n",
		"port empty":         "PROXY TCP4 1.2.3.4 5.6.7.8  2\r\n",
		"port missing":       "PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n",
		"one too many":       "PROXY TCP4 1.2.3.4 5.6.7.8 1 2 3\r\n",
		"short address":      "PROXY TCP4 1.2.3 5.6.7.8 1 2\r\n",
		"octal":              "PROXY TCP4 01.2.3.4 5.6.7.8 1 2\r\n",
		"six as four":        "PROXY TCP4 ::1 ::1 1 2\r\n",
		"four as six":        "PROXY TCP6 1.2.3.4 5.6.7.8 1 2\r\n",
		"zone":               "PROXY TCP6 fe80::1%eth0 fe80::2 1 2\r\n",
		"UDP":                "PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\n",
		"name":               "PROXY TCP4 localhost 5.6.7.8 1 2\r\n",
		"too long":           "PROXY UNKNOWN " + strings.Repeat("x", 200) + "\r\n",
		"never ends":         "PROXY TCP4 " + strings.Repeat("1", 10_000),
		"cut":                "PROXY TCP4 1.2.3.4",
		"v2 cut":             v2(0x21, 0x11, four)[:20],
		"v2 version 1":       v2(0x11, 0x11, four),
		"v2 version 3":       v2(0x31, 0x11, four),
		"v2 command":         v2(0x22, 0x11, four),
		"v2 family":          v2(0x21, 0x41, four),
		"v2 transport":       v2(0x21, 0x13, four),
		"v2 datagram":        v2(0x21, 0x12, four),
		"v2 unspec":          v2(0x21, 0x00, ""),
		"v2 too short":       v2(0x21, 0x11, four[:11]),
		"v2 six too short":   v2(0x21, 0x21, four),
		"v2 huge":            v2(0x21, 0x11, four+strings.Repeat("\x04\x00\x01x", 16_000)),
		"v2 huge local":      v2(0x20, 0x00, strings.Repeat("x", 65_000)),
		"v2 TLV cut":         v2(0x21, 0x11, four+"\x04\x00\x09x"),
		"v2 signature wrong": strings.Replace(v2(0x21, 0x11, four), "QUIT", "QUIZ", 1),
	} {
		for _, piece := range []int{1 << 20, 1} {
			l, _, err := through(t, proxy(0), []byte(raw), piece)
			if err == nil {
				t.Errorf("%s: %+v", name, l)
			} else if name != "cut" && !errors.Is(err, link.ErrProxyHeader) {
				t.Errorf("%s: %v is not about the header", name, err)
			}
		}
	}
}

func TestProxyVersionIsTheOneAsked(t *testing.T) {
	one, two := "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n", v2(0x21, 0x11, four)
	for _, tt := range []struct {
		version int
		header  string
		ok      bool
	}{{1, one, true}, {1, two, false}, {2, one, false}, {2, two, true}} {
		if _, _, err := through(t, proxy(tt.version), []byte(tt.header), 1<<20); (err == nil) != tt.ok {
			t.Errorf("version %d, %.10q: %v", tt.version, tt.header, err)
		}
	}
}

// Who may not speak for others is served as he is; what he says is the front end's to refuse.
func TestProxyHeaderOfStranger(t *testing.T) {
	d := &link.Door{Proxy: &link.Proxy{Allowed: func(string) bool { return false }}}
	raw := "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\nGET / HTTP/1.1\r\n\r\n"
	if l, rest, err := through(t, d, []byte(raw), 1<<20); err != nil || l.Remote != "" || string(rest) != raw {
		t.Errorf("%+v %q %v", l, rest, err)
	}
}

// Behind a header comes TLS, or HTTP/2 without it, in the same packet or not.
func TestProxyHeaderBeforeTLS(t *testing.T) {
	ca := linktest.NewAuthority(t)
	config := ca.Server(t)
	d := proxy(0)
	d.TLS = func() *tls.Config { return config }
	client, server := net.Pipe()
	go func() {
		defer client.Close()
		tc := tls.Client(&joined{Conn: client, ahead: []byte("PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n")}, ca.Client())
		tc.Write([]byte("hello"))
		tc.Close()
	}()
	l, err := d.Open(server, time.Now().Add(20*time.Second))
	if err != nil || l.Remote != "1.2.3.4:1" || l.Scheme != "https" {
		t.Fatalf("%+v %v", l, err)
	}
	if got, err := io.ReadAll(l.Stream); string(got) != "hello" || err != nil {
		t.Errorf("%q %v", got, err)
	}
	d = proxy(0)
	d.HTTP2 = true
	if l, rest, err := through(t, d, []byte("PROXY UNKNOWN\r\n"+preface+"x"), 1<<20); err != nil || !l.HTTP2 || string(rest) != "x" {
		t.Errorf("%+v %q %v", l, rest, err)
	}
}

// joined sends some bytes together with the first that are written.
type joined struct {
	net.Conn
	ahead []byte
}

func (j *joined) Write(p []byte) (int, error) {
	_, err := j.Conn.Write(append(j.ahead, p...))
	j.ahead = nil
	return len(p), err
}

// Whatever comes, addresses are addresses, and no byte behind a header is lost or made up.
func FuzzProxy(f *testing.F) {
	f.Add([]byte("PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\nGET"))
	f.Add([]byte(v2(0x21, 0x11, four+ssl) + "GET"))
	f.Add([]byte(v2(0x21, 0x21, six)))
	f.Add([]byte(v2(0x20, 0x00, "abc")))
	f.Fuzz(func(t *testing.T, raw []byte) {
		l, rest, err := through(t, proxy(0), raw, 1<<20)
		if err != nil {
			return
		}
		if !bytes.HasSuffix(raw, rest) {
			t.Errorf("%q is left of %q", rest, raw)
		}
		if head := raw[:len(raw)-len(rest)]; !bytes.HasPrefix(head, []byte("PROXY ")) && !bytes.HasPrefix(head, []byte(signature)) {
			t.Errorf("%q was taken for a header", head)
		}
		for _, a := range []string{l.Remote, l.Local} {
			if _, err := netip.ParseAddrPort(a); err != nil && a != "" && a != "pipe" {
				t.Errorf("address %q", a)
			}
		}
	})
}
