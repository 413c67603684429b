package main

import (
	"strings"
	"testing"

	"github.com/appserver-go/appserver/internal/load"
)

// ask sends a request with some field lines, behind a PROXY header or none, and returns the answer.
func (s *appserver) ask(header string, fields ...string) *load.Response {
	s.t.Helper()
	raw := header + "GET /x HTTP/1.1\r\nHost: here\r\n" + strings.Join(append(fields, "Connection: close\r\n\r\n"), "\r\n")
	r, err := load.Do(s.t.Context(), s.addr, raw)
	if err != nil {
		s.t.Fatalf("%v\n%s", err, s.log())
	}
	return r
}

// What is known of a client reaches the guest and the access log, and nothing that it made up.
func TestGuestsSeeTheClientOfATrustedProxy(t *testing.T) {
	const proto, for4, host = "X-Forwarded-Proto: https", "X-Forwarded-For: 6.6.6.6, 1.2.3.4", "X-Forwarded-Host: there"
	for name, tt := range map[string]struct {
		args        []string
		fields      []string
		want, never []string
		log         string
	}{
		"trusted":      {nil, []string{proto, for4, host}, []string{"REMOTE_ADDR=1.2.3.4", "HTTPS=on", "HTTP_HOST=here"}, []string{"REMOTE_ADDR=127"}, "1.2.3.4 "},
		"not trusted":  {[]string{"--forwarded-allow-ips", "10.0.0.0/8"}, []string{proto, for4, host}, []string{"REMOTE_ADDR=127.0.0.1"}, []string{"HTTPS", "FORWARDED"}, "127.0.0.1 "},
		"as gunicorn":  {[]string{"--real-ip-header", ""}, []string{proto, for4}, []string{"REMOTE_ADDR=127.0.0.1", "HTTPS=on"}, nil, "127.0.0.1 "},
		"host":         {[]string{"--real-host-header", "X-Forwarded-Host"}, []string{host}, []string{"HTTP_HOST=there"}, []string{"HTTP_HOST=here"}, "127.0.0.1 "},
		"forwarded":    {[]string{"--real-ip-header", "Forwarded"}, []string{"Forwarded: for=1.2.3.4"}, []string{"REMOTE_ADDR=1.2.3.4"}, nil, "1.2.3.4 "},
		"other scheme": {[]string{"--secure-scheme-headers", "X-Scheme=tls"}, []string{"X-Scheme: tls", "X-Forwarded-Proto: http"}, []string{"HTTPS=on"}, nil, "127.0.0.1 "},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, append([]string{wasm("cgienv"), "-w", "1", "--access-log", "-"}, tt.args...)...)
			body := string(s.ask("", tt.fields...).Body)
			for _, want := range tt.want {
				if !strings.Contains(body, want) {
					t.Errorf("the guest does not see %q in %q", want, body)
				}
			}
			for _, never := range tt.never {
				if strings.Contains(body, never) {
					t.Errorf("the guest sees %q in %q", never, body)
				}
			}
			s.stop()
			if out := s.out.String(); !strings.HasPrefix(out, tt.log) {
				t.Errorf("access log %q", out)
			}
		})
	}
}

func TestContradictorySchemesAreRefused(t *testing.T) {
	s := start(t, wasm("hello"), "-w", "1")
	if r := s.ask("", "X-Forwarded-Proto: https", "X-Forwarded-Ssl: off"); r.Status != 400 {
		t.Errorf("status %d", r.Status)
	}
	s.stop()
}

func TestProxyProtocol(t *testing.T) {
	const header = "PROXY TCP4 1.2.3.4 5.6.7.8 4711 443\r\n"
	s := start(t, wasm("cgienv"), "-w", "1", "--proxy-protocol", "auto", "--access-log", "-")
	// The client behind the header is not trusted, whoever passes its connection on.
	body := string(s.ask(header, "X-Forwarded-For: 9.9.9.9", "X-Forwarded-Proto: https").Body)
	if !strings.Contains(body, "REMOTE_ADDR=1.2.3.4") || strings.Contains(body, "FORWARDED") || strings.Contains(body, "HTTPS") {
		t.Errorf("%q", body)
	}
	if r, err := s.get("/"); err == nil {
		t.Errorf("a connection without a header is served: %d", r.Status)
	}
	s.awaitMsg("Closing a connection without a good PROXY header")
	s.stop()
	if out := s.out.String(); !strings.HasPrefix(out, "1.2.3.4 ") {
		t.Errorf("access log %q", out)
	}

	s = start(t, wasm("hello"), "-w", "1", "--proxy-protocol", "v2", "--proxy-allow-ips", "10.0.0.1")
	s.mustGet("/", 200) // who may not send a header need not
	if r := s.ask(header); r.Status != 400 {
		t.Errorf("a stranger's header gets %d", r.Status)
	}
	s.stop()
}

func TestProxyProtocolBeforeTLS(t *testing.T) {
	k := newKeyDir(t)
	s := k.start("cgienv", "-w", "1", "--proxy-protocol", "v1")
	c, err := load.DialThrough(t.Context(), s.addr, "PROXY TCP4 1.2.3.4 5.6.7.8 4711 443\r\n", k.ca.Client())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if r, err := c.Do([]byte(get(false)), false); err != nil || !strings.Contains(string(r.Body), "REMOTE_ADDR=1.2.3.4") || !strings.Contains(string(r.Body), "HTTPS=on") {
		t.Errorf("%+v %v", r, err)
	}
	c.Close()
	s.stop()
}
