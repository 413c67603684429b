package outbound

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/host/boundary"
	"github.com/appserver-go/appserver/internal/allowlist"
)

// dns serves names: each leads to an address, and those it does not know to none.
func dns(t *testing.T, names map[string]string) *net.Resolver {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { c.Close(); <-done })
	go func() {
		defer close(done)
		for buf := make([]byte, 4096); ; {
			n, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			if reply := answerDNS(buf[:n], names); reply != nil {
				_, _ = c.WriteTo(reply, from)
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", c.LocalAddr().String())
	}}
}

func answerDNS(query []byte, names map[string]string) []byte {
	var m dnsmessage.Message
	if m.Unpack(query) != nil || len(m.Questions) != 1 {
		return nil
	}
	q := m.Questions[0]
	m.Header.Response, m.Additionals = true, nil
	addr, ok := names[strings.TrimSuffix(q.Name.String(), ".")]
	if !ok {
		m.Header.RCode = dnsmessage.RCodeNameError
	} else if q.Type == dnsmessage.TypeA {
		m.Answers = []dnsmessage.Resource{{
			Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 1},
			Body:   &dnsmessage.AResource{A: netip.MustParseAddr(addr).As4()},
		}}
	}
	reply, _ := m.Pack() // nil is no answer
	return reply
}

func target(t *testing.T, raw string) allowlist.Target {
	t.Helper()
	target, err := allowlist.ParseTarget(raw)
	if err != nil {
		t.Fatal(err)
	}
	return target
}

// code returns the code of an error, 0 for none.
func code(err error) boundary.Code {
	var e *boundary.Error
	if err != nil && !errors.As(err, &e) {
		return 1
	}
	if e == nil {
		return 0
	}
	return e.Code
}

// Where a name leads is looked at when the connection is made: it cannot lead to a public address for the check and to a
// private one for the call, and a connection made for one guest is not used by another that could not have made it.
func TestNamesLeadToPublicAddresses(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	u, _ := url.Parse(server.URL)
	c := newClient(dns(t, map[string]string{"rebound.example": "127.0.0.1", "meta.example": "169.254.169.254"}))
	defer c.Close()
	for _, r := range []struct {
		url     string
		private bool
		want    boundary.Code
	}{
		{"http://rebound.example:" + u.Port(), false, boundary.Denied},
		{"http://rebound.example:" + u.Port(), true, 0},
		{"http://rebound.example:" + u.Port(), false, boundary.Denied},
		{"http://meta.example:" + u.Port(), false, boundary.Denied},
		{server.URL, false, 0},
		{"http://localhost:" + u.Port(), false, 0},
		{"http://nowhere.example", false, boundary.Unreachable},
	} {
		res, err := c.Do(t.Context(), &boundary.Request{Method: "GET", Target: target(t, r.url), Private: r.private})
		if code(err) != r.want {
			t.Errorf("%s, private %v: %v", r.url, r.private, err)
		}
		if err == nil {
			_, _ = io.Copy(io.Discard, res.Body)
			res.Body.Close()
		}
	}
}

// A proxy is not used, whatever the environment says: it would resolve names by itself, and go anywhere.
func TestNoProxy(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1")
	c := New()
	if c.any.Proxy != nil || c.public.Proxy != nil {
		t.Error("there is a proxy")
	}
}

func TestTLS(t *testing.T) {
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	c := New()
	defer c.Close()
	if _, err := c.Do(t.Context(), &boundary.Request{Method: "GET", Target: target(t, server.URL)}); code(err) != boundary.Unreachable {
		t.Errorf("a certificate of nobody's: %v", err)
	}
	plain := strings.Replace(server.URL, "https", "http", 1)
	if res, err := c.Do(t.Context(), &boundary.Request{Method: "GET", Target: target(t, plain)}); err == nil && res.Status != 400 {
		t.Errorf("plain text: %+v, %v", res, err)
	}
}

// What goes out is what the guest wrote: target, fields, and nothing that net/http adds by itself.
func TestRequestAsWritten(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s %s %q", r.Method, r.RequestURI, r.Host, r.Header)
	}))
	defer server.Close()
	c := New()
	defer c.Close()
	var fields exchange.Fields
	fields.Add("x-a", "1")
	fields.Add("X-A", "2")
	for _, path := range []string{"/", "/a%2Fb//c;d?", "/%E2%82%AC?x=%zz&y", "/a%20b?q"} {
		res, err := c.Do(t.Context(), &boundary.Request{Method: "GET", Target: target(t, server.URL+path), Fields: fields})
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		got, _ := io.ReadAll(res.Body)
		res.Body.Close()
		want := fmt.Sprintf(`GET %s %s map["X-A":["1" "2"]]`, path, strings.TrimPrefix(server.URL, "http://"))
		if string(got) != want {
			t.Errorf("%s: got %s, want %s", path, got, want)
		}
	}
}
