package nethttp

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/appserver-go/appserver/exchange"
)

const hostile = "\r\nHost: a\r\n"

// hostileRequests are refused with the status, and nothing behind them on the connection is ever read as a request.
var hostileRequests = []struct {
	name   string
	raw    string
	status int
}{
	{"CONNECT", "CONNECT a:80 HTTP/1.1" + hostile + "\r\n", 501},
	{"TRACE", "TRACE / HTTP/1.1" + hostile + "\r\n", 501},
	{"HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
	{"HTTP/2.0", "GET / HTTP/2.0" + hostile + "\r\n", 505},
	{"asterisk", "GET * HTTP/1.1" + hostile + "\r\n", 400},
	{"authority form", "GET a:80 HTTP/1.1" + hostile + "\r\n", 400},
	{"https target", "GET https://a/ HTTP/1.1" + hostile + "\r\n", 421},
	{"other scheme", "GET ftp://a/ HTTP/1.1" + hostile + "\r\n", 400},
	{"userinfo", "GET http://u@a/ HTTP/1.1" + hostile + "\r\n", 400},
	{"fragment", "GET /x#y HTTP/1.1" + hostile + "\r\n", 400},
	{"control character in target", "GET /x\x01y HTTP/1.1" + hostile + "\r\n", 400},
	{"method too long", strings.Repeat("A", 21) + " / HTTP/1.1" + hostile + "\r\n", 400},
	{"method lower case", "-bl / HTTP/1.1" + hostile + "\r\n", 400},
	{"method no token", "G@T / HTTP/1.1" + hostile + "\r\n", 400},
	{"request line too long", "GET /" + strings.Repeat("a", 200) + " HTTP/1.1" + hostile + "\r\n", 414},
	{"too many fields", "GET / HTTP/1.1" + hostile + strings.Repeat("A: b\r\n", 20) + "\r\n", 431},
	{"field too large", "GET / HTTP/1.1" + hostile + "A: " + strings.Repeat("b", 300) + "\r\n\r\n", 431},
	{"head too large", "GET / HTTP/1.1" + hostile + strings.Repeat("A: "+strings.Repeat("b", 8000)+"\r\n", 10) + "\r\n", 431},
	{"two Content-Types", "GET / HTTP/1.1" + hostile + "Content-Type: a/b\r\nContent-Type: a/c\r\n\r\n", 400},
	{"two Hosts", "GET / HTTP/1.1" + hostile + "Host: b\r\n\r\n", 400},
	{"Host list", "GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", 400},
	{"Host bracket", "GET / HTTP/1.1\r\nHost: ]ufd\r\n\r\n", 400},
	{"Host port", "GET / HTTP/1.1\r\nHost: a:8x\r\n\r\n", 400},
	{"no Host", "GET / HTTP/1.1\r\n\r\n", 400},
	{"unknown expectation", "POST / HTTP/1.1" + hostile + "Expect: tea\r\nContent-Length: 3\r\n\r\nabc", 417},
	{"expectation on GET", "GET / HTTP/1.1" + hostile + "Expect: 100-continue, tea\r\n\r\n", 417},
	{"body over limit", "POST / HTTP/1.1" + hostile + "Content-Length: 3000\r\n\r\n" + strings.Repeat("a", 3000), 413},
	{"length and chunks differ", "POST / HTTP/1.1" + hostile + "Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde", 400},
	{"length with sign", "POST / HTTP/1.1" + hostile + "Content-Length: +3\r\n\r\nabc", 400},
	{"length list", "POST / HTTP/1.1" + hostile + "Content-Length: 3, 3\r\n\r\nabc", 400},
	{"unknown coding", "POST / HTTP/1.1" + hostile + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501},
	{"coding twice", "POST / HTTP/1.1" + hostile + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 501},
	{"blank before colon", "GET / HTTP/1.1" + hostile + "A : b\r\n\r\n", 400},
	{"NUL in field", "GET / HTTP/1.1" + hostile + "A: b\x00c\r\n\r\n", 400},
	{"garbage", "\x16\x03\x01\x02\x00\x01\r\n\r\n", 400},
}

func TestHostileRequestsAreRefused(t *testing.T) {
	var refused []string
	ts := start(t, Options{
		Keepalive: keep, HeaderTimeout: 5 * time.Second,
		Limits: Limits{RequestLine: 100, Fields: 10, FieldSize: 200, Body: 1000},
		Refused: func(_ *exchange.Exchange, status int, cause string) {
			refused = append(refused, fmt.Sprint(status, " ", cause)) // one connection at a time
		},
	}, hello)
	for _, tt := range hostileRequests {
		t.Run(tt.name, func(t *testing.T) {
			c := ts.dial(t)
			if err := c.Send([]byte(tt.raw + "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")); err != nil {
				t.Fatal(err)
			}
			r, err := c.Read(false)
			if err != nil {
				t.Fatal(err)
			}
			if r.Status != tt.status || !r.Close {
				t.Errorf("status %d, close %v; want %d and a closed connection", r.Status, r.Close, tt.status)
			}
			expectEnd(t, c)
		})
	}
	if seen := ts.requests(); len(seen) > 0 {
		t.Errorf("the handler saw %d requests, the first %+v", len(seen), seen[0])
	}
	if len(refused) < 15 {
		t.Errorf("Refused was told of %q only", refused)
	}
}

// Ambiguous requests that net/http answers must be the last of their connection.
func TestAmbiguousRequestsEndTheirConnection(t *testing.T) {
	smuggled := "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
	for name, raw := range map[string]string{
		"length beside chunked": "POST / HTTP/1.1" + hostile + "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"HTTP/1.0 chunked":      "POST / HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"HTTP/1.0 both":         "POST / HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"blank after size":      "POST / HTTP/1.1" + hostile + "Transfer-Encoding: chunked\r\n\r\n1 \r\na\r\n0\r\n\r\n",
		"bad chunk":             "POST / HTTP/1.1" + hostile + "Transfer-Encoding: chunked\r\n\r\nzz\r\n",
		"unread body":           "POST / HTTP/1.1" + hostile + "Content-Length: 70000\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			ts := start(t, Options{Keepalive: keep}, hello)
			c := ts.dial(t)
			if err := c.Send([]byte(raw + smuggled)); err != nil {
				t.Fatal(err)
			}
			if r, err := c.Read(false); err != nil || !r.Close {
				t.Errorf("got %+v %v, want the last response of the connection", r, err)
			}
			expectEnd(t, c)
			for _, r := range ts.requests() {
				if r.Target == "/smuggled" {
					t.Error("the smuggled request was served")
				}
			}
		})
	}
}

func TestChunkedBodyOverLimit(t *testing.T) {
	ts := start(t, Options{Keepalive: keep, Limits: Limits{Body: 1000}}, func(c *Call) error {
		if err := echo(c); err != nil {
			c.Response.Replace(exchange.AsFailure(err).Status, "text/plain", "")
		}
		return nil
	})
	r := ts.do(t, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"+chunked(strings.Repeat("a", 2000), 500)+"\r\n")
	if r.Status != 413 || !r.Close {
		t.Errorf("got %+v", r)
	}
}
