package http1

import (
	"io"
	"strings"
	"testing"

	"github.com/appserver-go/appserver/exchange"
)

const (
	smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
	host     = "Host: a\r\n"
	post     = "POST / HTTP/1.1\r\n" + host
	te       = post + "Transfer-Encoding: chunked\r\n\r\n"
)

// tableLimits are small, so that exceeding them by single bytes takes no time.
var tableLimits = Limits{RequestLine: 100, Fields: 10, FieldSize: 200, Body: 1000}

// raws are requests with the status they get.
type raws map[string]int

// hostileLines are request lines and what follows "Host: a" after them.
var hostileLines = raws{
	"": 400, " ": 400, "GET": 400, "GET /": 400, "GET / ": 400, "GET  / HTTP/1.1": 400, "GET /  HTTP/1.1": 400, " GET / HTTP/1.1": 400,
	"GET\t/\tHTTP/1.1": 400, "GET / HTTP/1.1 ": 400, "GET / HTTP/1.1\t": 400, "GET /a b HTTP/1.1": 400, "GET /\x00 HTTP/1.1": 400,
	"GET /\x01 HTTP/1.1": 400, "GET /\x7f HTTP/1.1": 400, "GET /a\tb HTTP/1.1": 400, "GET /a\rb HTTP/1.1": 400, "GET / HTTP/1.1\r": 400,
	"GET / http/1.1": 400, "GET / HTTP/1": 400, "GET / HTTP/1.": 400, "GET / HTTP/.1": 400, "GET / HTTP/1.1.1": 400, "GET / HTTP/11": 400,
	"GET / HTTP/1,1": 400, "GET / HTTP/1.1x": 400, "GET / HTTP/01.1": 400, "GET / HTTP/1.01": 400, "GET / HTTP 1.1": 400, "GET / HTTP/x.y": 400,
	"GET / HTTPS/1.1": 400, "GET / HTCPCP/1.0": 400, "GET / HTTP/-1.1": 400, "GET / HTTP/1.\x00": 400, "GET / ICY/1.1": 400,
	"GET / HTTP/2.0": 505, "GET / HTTP/0.9": 505, "GET / HTTP/3.0": 505, "GET / HTTP/1.2": 505, "GET / HTTP/1.9": 505, "GET / HTTP/9.9": 505,
	"PRI * HTTP/2.0": 505,
	"GE / HTTP/1.1":  400, "get / HTTP/1.1": 400, "Get / HTTP/1.1": 400, "G@T / HTTP/1.1": 400, "GET( / HTTP/1.1": 400, "G\x00T / HTTP/1.1": 400,
	"GÄT / HTTP/1.1": 400, "GET# / HTTP/1.1": 400, "ABCDEFGHIJKLMNOPQRSTU / HTTP/1.1": 400, "-bl / HTTP/1.1": 400, "\"GET\" / HTTP/1.1": 400,
	"\x16\x03\x01\x02\x00\x01": 400, "{\"a\":1}": 400, "<html>": 400,
	"CONNECT a:80 HTTP/1.1": 501, "CONNECT / HTTP/1.1": 501, "TRACE / HTTP/1.1": 501,
	"GET * HTTP/1.1": 400, "POST * HTTP/1.1": 400, "OPTIONS ** HTTP/1.1": 400, "OPTIONS *?a HTTP/1.1": 400, "GET a HTTP/1.1": 400,
	"GET a:80 HTTP/1.1": 400, "GET a/b HTTP/1.1": 400, "GET ?a HTTP/1.1": 400, "GET \\ HTTP/1.1": 400, "GET /x#y HTTP/1.1": 400,
	"GET http://a/#x HTTP/1.1": 400, "GET ftp://a/ HTTP/1.1": 400, "GET file:///x HTTP/1.1": 400, "GET http:/a HTTP/1.1": 400,
	"GET http:///a HTTP/1.1": 400, "GET http:// HTTP/1.1": 400, "GET http://u@a/ HTTP/1.1": 400, "GET http://u:p@a/ HTTP/1.1": 400,
	"GET http://a:b/ HTTP/1.1": 400, "GET http://a:99999/ HTTP/1.1": 400, "GET http://:80/ HTTP/1.1": 400, "GET http://[::1/ HTTP/1.1": 400,
	"GET http://a,b/ HTTP/1.1": 400, "GET ://a/ HTTP/1.1": 400, "GET https://a/ HTTP/1.1": 421, "GET HTTPS://a/ HTTP/1.1": 421,
	"GET /" + strings.Repeat("a", 100) + " HTTP/1.1":   414,
	strings.Repeat("A", 101):                           414,
	"GET / HTTP/1.1\r\nX: y\r\n z":                     400,
	"GET / HTTP/1.1\nX: y":                             400,
	"GET / HTTP/1.1\r\n\r\nGET /smuggled HTTP/1.1":     400, // no Host
	"GET / HTTP/1.1\r\n" + strings.Repeat(" ", 300):    431,
	"GET / HTTP/1.1\r\n" + strings.Repeat("A", 300):    431,
	"GET / HTTP/1.1\r\nA: " + strings.Repeat("b", 196): 431,
}

// hostileFields follow "GET / HTTP/1.1" and "Host: a" in a head that is otherwise fine.
var hostileFields = raws{
	" A: b": 400, "\tA: b": 400, "A: b\r\n c": 400, "A: b\r\n\tc": 400, "A: b\r\n ": 400, "A:\r\n b": 400,
	"A : b": 400, "A\t: b": 400, "A b: c": 400, ": b": 400, "A": 400, "A b": 400, "A;b": 400, "=": 400,
	"A\x00: b": 400, "A\x01: b": 400, "A\x7f: b": 400, "A(: b": 400, "A@b: c": 400, "A,b: c": 400, "A/b: c": 400, "[A]: b": 400, "\"A\": b": 400,
	"Ä: b": 400, "\xff: b": 400, "A\r: b": 400, "A\\: b": 400, "{A}: b": 400, "A?: b": 400, "A<: b": 400,
	"A: b\x00c": 400, "A: \x00": 400, "A: b\x01": 400, "A: \x1b[31m": 400, "A: \x7f": 400, "A: b\rc": 400, "A: b\r": 400, "A: b\x0bc": 400, "A: b\x0cc": 400,
	"A: 12345678\x1f": 400, "A: 1234567\x00abcdefgh": 400, "A: b\x08c": 400, "A: \x0b": 400,
	"A: b\nB: c": 400, "A: b\n": 400, "\nA: b": 400, "A\n: b": 400,
	"Host: a": 400, "Host: b": 400, "hOsT: b": 400, "Host:": 400,
	"Content-Type: a/b\r\nContent-Type: a/c": 400, "Content-Type: a/b\r\ncontent-type: a/b": 400,
	"Expect: tea": 417, "Expect: 100-continue, tea": 417, "Expect: 100-continue\r\nExpect: 100-continue": 417, "Expect:": 417, "Expect: 200-ok": 417,
	"Connection: a b": 400, "Connection: (": 400, "Connection: close;x=y": 400, "Connection: \"close\"": 400,
	strings.Repeat("A: b\r\n", 9) + "A: b": 431, strings.Repeat("A_: b\r\n", 9) + "A: b": 431,
}

// hostileHosts are Host values.
var hostileHosts = []string{
	"a,b", "a b", "]a", "[a", "[]", "[::1", "[:::]", "[1.2.3.4]", "[::1%25lo]", "a:b", "a:80:80", "a:65536", "a:8x", "a:-1", "u@a", "a/b", "a?b",
	"a#b", "http://a", "a\x00", "a\x7f", "é", "a\\b", "a\"b", "<a>", "[::1]x", "a|b", "{a}", "^",
}

// hostileFraming follows "POST / HTTP/1.1" and "Host: a".
var hostileFraming = raws{
	"Content-Length: +3\r\n\r\nabc": 400, "Content-Length: -3\r\n\r\nabc": 400, "Content-Length: 3 \x00\r\n\r\nabc": 400, "Content-Length: 0x3\r\n\r\nabc": 400,
	"Content-Length: 3,3\r\n\r\nabc": 400, "Content-Length: 3, 3\r\n\r\nabc": 400, "Content-Length: 3 3\r\n\r\nabc": 400, "Content-Length: 3_0\r\n\r\nabc": 400,
	"Content-Length: 3.0\r\n\r\nabc": 400, "Content-Length: 3e1\r\n\r\nabc": 400, "Content-Length:\r\n\r\nabc": 400, "Content-Length: \r\n\r\nabc": 400,
	"Content-Length: three\r\n\r\nabc": 400, "Content-Length: ３\r\n\r\nabc": 400, "Content-Length: \"3\"\r\n\r\nabc": 400, "Content-Length: 3;\r\n\r\nabc": 400,
	"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc": 400, "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd": 400,
	"Content-Length: 3\r\ncontent-length: 3\r\n\r\nabc": 400, "Content-Length: 0\r\nContent-Length: 3\r\n\r\nabc": 400,
	"Content-Length: 18446744073709551619\r\n\r\nabc": 400, "Content-Length: 9223372036854775808\r\n\r\nabc": 400, "Content-Length: 0000000000000000003\r\n\r\nabc": 400,
	"Content-Length: 1001\r\n\r\n" + strings.Repeat("a", 1001): 413, "Content-Length: 999999999999999999\r\n\r\n": 413,
	"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n": 400, "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n": 400,
	"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n": 400, "Content-Length: 5\r\nTransfer-Encoding: identity\r\n\r\nabcde": 400,
	"Transfer-Encoding: identity\r\n\r\n": 400, "Transfer-Encoding: gzip\r\n\r\n": 400, "Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n": 400,
	"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n": 501, "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n": 501,
	"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n": 400, "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n": 400,
	"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n": 400, "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n": 400,
	"Transfer-Encoding: chunked,\r\n\r\n0\r\n\r\n": 400, "Transfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n": 400, "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n": 400,
	"Transfer-Encoding:\r\n\r\n0\r\n\r\n": 400, "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n": 400, "Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n": 400,
	"Transfer-Encoding: chunked \x00\r\n\r\n0\r\n\r\n": 400, "Transfer-Encoding: chu\x00nked\r\n\r\n0\r\n\r\n": 400, "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n": 400,
	"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n": 400, "Transfer-Encoding: chunked\nX: y\r\n\r\n0\r\n\r\n": 400,
}

// hostileChunks are chunked bodies; the handler reads them.
var hostileChunks = raws{
	"z\r\n": 400, "\r\n": 400, " 1\r\na\r\n0\r\n\r\n": 400, "1 \r\na\r\n0\r\n\r\n": 400, "1\t\r\na\r\n0\r\n\r\n": 400, "0x1\r\na\r\n0\r\n\r\n": 400,
	"+1\r\na\r\n0\r\n\r\n": 400, "-1\r\na\r\n0\r\n\r\n": 400, "1_0\r\n": 400, "1,\r\na\r\n0\r\n\r\n": 400, "g\r\n": 400, "1\x00\r\na\r\n": 400,
	"1\na\r\n0\r\n\r\n": 400, "1\r\r\na\r\n0\r\n\r\n": 400, "1\ra\r\n0\r\n\r\n": 400, "1\r\na\n0\r\n\r\n": 400, "1\r\na\r0\r\n\r\n": 400,
	"1\r\nab\r\n0\r\n\r\n": 400, "2\r\na\r\n0\r\n\r\n": 400, "1\r\na0\r\n\r\n": 400, "1\r\na\r\n\r\n": 400, "0\n\r\n": 400,
	"ffffffffffffffff\r\na": 400, "1000000000000000\r\na": 400, "0000000000000001\r\na\r\n0\r\n\r\n": 400, "8000000000000000\r\n": 400,
	"1;\r\na\r\n0\r\n\r\n": 400, "1;=\r\na\r\n0\r\n\r\n": 400, "1;a=\r\na\r\n0\r\n\r\n": 400, "1;a=\"b\r\na\r\n0\r\n\r\n": 400, "1;a b\r\na\r\n0\r\n\r\n": 400,
	"1;a\x00\r\na\r\n0\r\n\r\n": 400, "1;a=\"\x01\"\r\na\r\n0\r\n\r\n": 400, "1;a\nb\r\na\r\n0\r\n\r\n": 400, "1;a=\"\\\x00\"\r\na\r\n0\r\n\r\n": 400, "1;;a\r\na\r\n0\r\n\r\n": 400,
	"1;a=\"\n\"\r\na\r\n0\r\n\r\n": 400, "1 ;a \r\na\r\n0\r\n\r\n": 400, "1;" + strings.Repeat("a", 2000) + "\r\na\r\n0\r\n\r\n": 400, "0;a=b c\r\n\r\n": 400,
	strings.Repeat("1;"+strings.Repeat("a", 1000)+"\r\na\r\n", 20) + "0\r\n\r\n": 400,
	"3e9\r\n" + strings.Repeat("a", 1001) + "\r\n0\r\n\r\n":                      413, strings.Repeat("64\r\n"+strings.Repeat("a", 100)+"\r\n", 11) + "0\r\n\r\n": 413,
	"0\r\nHost: b\r\n\r\n": 400, "0\r\nContent-Length: 1\r\n\r\n": 400, "0\r\nTransfer-Encoding: chunked\r\n\r\n": 400, "0\r\nTrailer: a\r\n\r\n": 400,
	"0\r\nTE: a\r\n\r\n": 400, "0\r\nAuthorization: a\r\n\r\n": 400, "0\r\nConnection: close\r\n\r\n": 400, "0\r\nCookie_: a\r\nHost: a\r\n\r\n": 400,
	"0\r\nA\r\n\r\n": 400, "0\r\nA : b\r\n\r\n": 400, "0\r\n A: b\r\n\r\n": 400, "0\r\nA: b\r\n c\r\n\r\n": 400, "0\r\nA: b\nC: d\r\n\r\n": 400, "0\r\nA: \x00\r\n\r\n": 400,
	"0\r\n" + strings.Repeat("A: b\r\n", 11) + "\r\n": 400, "0\r\nA: " + strings.Repeat("b", 300) + "\r\n\r\n": 400, "0\r\n\n": 400, "0\r\n: b\r\n\r\n": 400,
}

// hostile returns all hostile requests by what they are.
func hostile() map[string]raws {
	all := map[string]raws{"line": {}, "field": {}, "host": {}, "framing": {}, "chunk": {}, "version": {}}
	for line, status := range hostileLines {
		all["line"][line+"\r\n"+host+"\r\n"] = status
	}
	for field, status := range hostileFields {
		all["field"]["GET / HTTP/1.1\r\n"+host+field+"\r\n\r\n"] = status
	}
	for _, h := range hostileHosts {
		all["host"]["GET / HTTP/1.1\r\nHost: "+h+"\r\n\r\n"] = 400
	}
	for f, status := range hostileFraming {
		all["framing"][post+f] = status
	}
	for body, status := range hostileChunks {
		all["chunk"][te+body] = status
	}
	all["version"]["GET / HTTP/1.1\r\n\r\n"] = 400
	all["version"]["POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"] = 400
	all["version"]["POST / HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n0\r\n\r\n"] = 400
	all["version"]["GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n"] = 400
	all["version"]["GET /\r\n\r\n"] = 400
	all["version"]["\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"] = 400
	return all
}

// readAll answers with what reading the body ended with.
func readAll(c *Call) error {
	if _, err := io.Copy(io.Discard, c.Request.Body); err != nil {
		c.Response.Replace(exchange.AsFailure(err).Status, "text/plain", "")
	}
	return nil
}

// Every hostile request gets its status and an end, however it arrives, and nothing behind it is a request.
func TestHostileRequests(t *testing.T) {
	ts := start(t, Options{Keepalive: keep, HeaderTimeout: patience, Limits: tableLimits}, readAll)
	n := 0
	for kind, requests := range hostile() {
		for raw, status := range requests {
			n++
			for _, byByte := range []bool{false, true} {
				answers := ts.talk(t, raw+smuggled, byByte)
				if len(answers) != 1 || answers[0].status != status || !answers[0].close {
					t.Errorf("%s %.120q (byte by byte: %v): answers %+v, want one %d", kind, raw, byByte, answers, status)
				}
				for _, s := range ts.take() {
					if s.target != "/" || kind != "chunk" {
						t.Errorf("%s %.120q: the handler saw %q", kind, raw, s.target)
					}
				}
			}
		}
	}
	if n < 150 {
		t.Errorf("the table has %d requests", n)
	}
	t.Logf("%d hostile requests", n)
}
