package http1

import (
	"slices"
	"strings"
	"testing"

	"github.com/appserver-go/appserver/exchange"
)

// valid is a request that must be served, and what of it the handler must see.
type valid struct {
	raw    string
	want   seen   // an empty method, target, host and proto stand for GET, /, a and HTTP/1.1
	closes bool   // the response is the last of its connection
	fields string // "name=value" pairs joined by "|"
}

func get(fields string) string { return "GET / HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n" }

// fieldLines are valid field lines and what the handler sees of them.
var fieldLines = map[string]string{
	"":                               "",
	"A: b\r\n":                       "A=b",
	"a:b\r\n":                        "a=b",
	"A:\r\n":                         "A=",
	"A:   \r\n":                      "A=",
	"A: \t b \t\r\n":                 "A=b",
	"A: b c\td\r\n":                  "A=b c\td",
	"A: \xe9\xff\x80 é\r\n":          "A=\xe9\xff\x80 é",
	"A: b:c, \"d\";e=(f)<g>@{h}\r\n": "A=b:c, \"d\";e=(f)<g>@{h}",
	"!#$%&'*+-.^`|~09azAZ: b\r\n":    "!#$%&'*+-.^`\x00~09azAZ=b",
	"B: 1\r\nA: 2\r\nb: 3\r\n":       "B=1|A=2|b=3",
	"A: 1\r\nA: 1\r\n":               "A=1|A=1",
	"A_B: 1\r\nA-B: 2\r\n_: 3\r\n":   "A-B=2",
	"Content_Length: 5\r\nTransfer_Encoding: chunked\r\n":                        "",
	"Proxy: evil\r\nX-Proxy: 1\r\n":                                              "X-Proxy=1",
	"Keep-Alive: 1\r\nTE: trailers\r\nTrailer: X\r\nUpgrade: h2c\r\n":            "",
	"Proxy-Connection: x\r\nProxy-Authorization: x\r\nProxy-Authenticate: x\r\n": "",
	"Connection: upgrade\r\nUpgrade: websocket\r\n":                              "",
	"Connection: keep-alive\r\n":                                                 "",
	"Connection: , ,Keep-Alive , x-b,\r\nX-A: 1\r\nX-B: 2\r\n":                   "X-A=1", // X-B ends at this hop
	"Connection:\r\n":                          "",
	"Content-Type: a/b\r\n":                    "Content-Type=a/b",
	"Content-Length: 0\r\n":                    "Content-Length=0",
	"Content-Length: 000\r\n":                  "Content-Length=000",
	"Expect: 100-continue\r\n":                 "",
	"Expect: 100-Continue\r\n":                 "",
	"Cookie: a=b; c=d\r\nCookie: e=f\r\n":      "Cookie=a=b; c=d|Cookie=e=f",
	"X: " + strings.Repeat("v", 190) + "\r\n":  "X=" + strings.Repeat("v", 190),
	"X: " + strings.Repeat("v", 195) + "\r\n":  "X=" + strings.Repeat("v", 195),
	strings.Repeat("A: b\r\n", 9):              strings.TrimSuffix(strings.Repeat("A=b|", 9), "|"),
	"X: 12345678\t2345678\r\n":                 "X=12345678\t2345678",
	"X: \xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9é\r\n": "X=éééé" + "é",
	"X:\t\r\n":             "X=",
	"X: 1\r\nHost_: b\r\n": "X=1",
	"Range: bytes=0-1\r\nIf-None-Match: \"x\"\r\n": "Range=bytes=0-1|If-None-Match=\"x\"",
	"Early-Data: 1\r\nExpects: tea\r\n":            "Early-Data=1|Expects=tea",
}

// targets are request lines and what the handler sees as method, target and host.
var targets = map[string][3]string{
	"GET /a%20b?c=d%26&e HTTP/1.1":                  {"GET", "/a%20b?c=d%26&e", "a"},
	"GET //a//b HTTP/1.1":                           {"GET", "//a//b", "a"},
	"GET /.. HTTP/1.1":                              {"GET", "/..", "a"},
	"GET /? HTTP/1.1":                               {"GET", "/?", "a"},
	"GET /a?b?c=/ HTTP/1.1":                         {"GET", "/a?b?c=/", "a"},
	"GET /%00 HTTP/1.1":                             {"GET", "/%00", "a"},
	"GET /http://x/ HTTP/1.1":                       {"GET", "/http://x/", "a"},
	"GET /a:b@c HTTP/1.1":                           {"GET", "/a:b@c", "a"},
	"GET /é HTTP/1.1":                               {"GET", "/é", "a"},
	"GET /\"<>|{}^` HTTP/1.1":                       {"GET", "/\"<>|{}^`", "a"},
	"GET /a;b=c,d HTTP/1.1":                         {"GET", "/a;b=c,d", "a"},
	"GET http://x HTTP/1.1":                         {"GET", "/", "x"},
	"GET http://x/ HTTP/1.1":                        {"GET", "/", "x"},
	"GET HTTP://x.y:81/p?q HTTP/1.1":                {"GET", "/p?q", "x.y:81"},
	"GET http://x?q HTTP/1.1":                       {"GET", "/?q", "x"},
	"GET http://[::1]:80/p HTTP/1.1":                {"GET", "/p", "[::1]:80"},
	"OPTIONS * HTTP/1.1":                            {"OPTIONS", "*", "a"},
	"OPTIONS http://x HTTP/1.1":                     {"OPTIONS", "*", "x"},
	"OPTIONS / HTTP/1.1":                            {"OPTIONS", "/", "a"},
	"DELETE /a HTTP/1.1":                            {"DELETE", "/a", "a"},
	"PROPFIND /a HTTP/1.1":                          {"PROPFIND", "/a", "a"},
	"M-SEARCH /a HTTP/1.1":                          {"M-SEARCH", "/a", "a"},
	"PUT /a HTTP/1.1":                               {"PUT", "/a", "a"},
	"PATCH /a HTTP/1.1":                             {"PATCH", "/a", "a"},
	"ABCDEFGHIJKLMNOPQRST / HTTP/1.1":               {"ABCDEFGHIJKLMNOPQRST", "/", "a"},
	"GET /" + strings.Repeat("a", 86) + " HTTP/1.1": {"GET", "/" + strings.Repeat("a", 86), "a"},
}

// bodies are chunked bodies and what the handler reads; trailers follow behind "+".
var bodies = map[string]string{
	"0\r\n\r\n":                                             "",
	"000\r\n\r\n":                                           "",
	"1\r\na\r\n0\r\n\r\n":                                   "a",
	"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n":                        "abc",
	"A\r\n0123456789\r\n0\r\n\r\n":                          "0123456789",
	"a\r\n0123456789\r\n0\r\n\r\n":                          "0123456789",
	"00000a\r\n0123456789\r\n0\r\n\r\n":                     "0123456789",
	"4\r\n\r\n\r\n\r\n0\r\n\r\n":                            "\r\n\r\n",
	"3\r\n0\r\n\r\n0\r\n\r\n":                               "0\r\n",
	"1;a\r\nx\r\n0\r\n\r\n":                                 "x",
	"1;a=b;c=\"d\"\r\nx\r\n0;e\r\n\r\n":                     "x",
	"1 ; a = b\r\nx\r\n0\r\n\r\n":                           "x",
	"1;a=\"\\\"; b\\\\ \t\"\r\nx\r\n0\r\n\r\n":              "x",
	"1;" + strings.Repeat("a", 1000) + "\r\nx\r\n0\r\n\r\n": "x",
	"0\r\nX-Sum: 42\r\n\r\n":                                "+X-Sum=42",
	"1\r\na\r\n0\r\nX-Sum: 42\r\nx-b:  c \r\nX_Y: 1\r\nX-Sum: 43\r\n\r\n":      "a+X-Sum=42|x-b=c|X-Sum=43",
	"3e8\r\n" + strings.Repeat("a", 1000) + "\r\n0\r\n\r\n":                    strings.Repeat("a", 1000),
	strings.Repeat("64\r\n"+strings.Repeat("a", 100)+"\r\n", 10) + "0\r\n\r\n": strings.Repeat("a", 1000),
}

func validRequests() []valid {
	var all []valid
	for lines, fields := range fieldLines {
		all = append(all, valid{raw: get(lines), fields: fields})
	}
	for line, w := range targets {
		all = append(all, valid{raw: line + "\r\nHost: a\r\n\r\n", want: seen{method: w[0], target: w[1], host: w[2]}})
	}
	for body, want := range bodies {
		want, trailers, _ := strings.Cut(want, "+")
		w := seen{method: "POST", body: want, length: -1, trailers: pairs(trailers)}
		all = append(all, valid{raw: post + "Transfer-Encoding: Chunked\r\n\r\n" + body, want: w})
	}
	for _, h := range []string{"", "a.b", "A-1.b:80", "a:", "127.0.0.1:8080", "[::1]", "[::1]:80", "a_b", "x%20y"} {
		w := seen{host: h}
		if h == "" {
			w.host = "-"
		}
		all = append(all, valid{raw: "GET / HTTP/1.1\r\nHost: " + h + "\r\n\r\n", want: w})
	}
	big := strings.Repeat("b", 1000)
	return append(all,
		valid{raw: post + "Content-Length: 3\r\n\r\nabc", want: seen{method: "POST", body: "abc", length: 3}, fields: "Content-Length=3"},
		valid{raw: post + "Content-Length: 1000\r\n\r\n" + big, want: seen{method: "POST", body: big, length: 1000}, fields: "Content-Length=1000"},
		valid{raw: post + "content-length:\t03 \r\n\r\nabc", want: seen{method: "POST", body: "abc", length: 3}, fields: "content-length=03"},
		valid{raw: get("Content-Length: 3\r\n") + "abc", want: seen{body: "abc", length: 3}, fields: "Content-Length=3"},
		valid{raw: post + "Content-Length: 35\r\n\r\n" + smuggled, want: seen{method: "POST", body: smuggled, length: 35}, fields: "Content-Length=35"},
		valid{raw: get("Connection: close\r\n"), closes: true},
		valid{raw: get("Connection: x, CLOSE\r\n"), closes: true},
		valid{raw: get("Connection: keep-alive\r\nConnection: close\r\n"), closes: true},
		valid{raw: "GET / HTTP/1.0\r\n\r\n", want: seen{host: "-", proto: "HTTP/1.0"}, closes: true},
		valid{raw: "GET / HTTP/1.0\r\nHost: a\r\n\r\n", want: seen{proto: "HTTP/1.0"}, closes: true},
		valid{raw: "GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n", want: seen{proto: "HTTP/1.0"}},
		valid{raw: "GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", want: seen{host: "-", proto: "HTTP/1.0"}, closes: true},
		valid{
			raw:  "POST / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
			want: seen{method: "POST", proto: "HTTP/1.0", body: "abc", length: 3}, fields: "Content-Length=3",
		},
	)
}

// pairs parses "name=value|name=value", where a NUL in a name stands for a bar.
func pairs(s string) exchange.Fields {
	var fields exchange.Fields
	if s == "" {
		return nil
	}
	for pair := range strings.SplitSeq(s, "|") {
		name, value, _ := strings.Cut(pair, "=")
		fields.Add(strings.ReplaceAll(name, "\x00", "|"), value)
	}
	return fields
}

// complete fills in the defaults of a wanted request.
func (v *valid) complete() {
	w := &v.want
	for p, def := range map[*string]string{&w.method: "GET", &w.target: "/", &w.host: "a", &w.proto: "HTTP/1.1"} {
		if *p == "" {
			*p = def
		}
	}
	if w.host == "-" {
		w.host = ""
	}
	if v.fields != "" || w.fields == nil {
		w.fields = pairs(v.fields)
	}
}

func (s *seen) equal(o *seen) bool {
	return s.method == o.method && s.target == o.target && s.host == o.host && s.proto == o.proto && s.body == o.body &&
		s.length == o.length && s.err == nil && slices.Equal(s.fields, o.fields) && slices.Equal(s.trailers, o.trailers)
}

// Every valid request is served, however it arrives, and so is the one behind it unless the connection ends.
func TestValidRequests(t *testing.T) {
	bodies := make(chan seen, 2) // what was read, in the order of requests
	ts := start(t, Options{Keepalive: keep, HeaderTimeout: patience, Limits: tableLimits}, func(c *Call) error {
		var b strings.Builder
		buf := make([]byte, 7)
		for {
			n, err := c.Request.Body.Read(buf)
			b.Write(buf[:n])
			if err != nil {
				bodies <- seen{body: b.String(), trailers: clone(c.Request.Trailers), err: c.BodyErr()}
				return nil
			}
		}
	})
	all := validRequests()
	for _, v := range all {
		v.complete()
		for _, byByte := range []bool{false, true} {
			answers := ts.talk(t, v.raw+"GET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", byByte)
			n := 2
			if v.closes {
				n = 1
			}
			got := ts.take()
			for i := range got {
				read := <-bodies
				got[i].body, got[i].trailers, got[i].err = read.body, read.trailers, read.err
			}
			if len(answers) != n || len(got) != n || answers[0].status != 200 || answers[n-1].status != 200 {
				t.Errorf("%.120q (byte by byte: %v): answers %+v, requests %+v", v.raw, byByte, answers, got)
				continue
			}
			if !got[0].equal(&v.want) {
				t.Errorf("%.120q (byte by byte: %v):\nhave %+v\nwant %+v", v.raw, byByte, got[0], v.want)
			}
			if n == 2 && got[1].target != "/next" {
				t.Errorf("%.120q: the next request was %q", v.raw, got[1].target)
			}
		}
	}
	if len(all) < 80 {
		t.Errorf("the table has %d requests", len(all))
	}
	t.Logf("%d valid requests", len(all))
}
