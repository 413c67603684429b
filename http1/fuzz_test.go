package http1

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/internal/httprules"
)

// parseAll reads a head from raw, given to the parser step bytes at a time.
func parseAll(raw []byte, step int, l *Limits) (h *head, fields exchange.Fields, rest []byte, done bool, bad *httprules.Refusal) {
	h = &head{}
	h.reset(l, "http")
	in := &input{}
	for {
		done, bad = h.parse(in, l, &fields)
		if done || bad != nil || len(raw) == 0 {
			return h, fields, append(bytes.Clone(in.unread()), raw...), done, bad
		}
		n := copy(in.room()[:min(step, len(in.room()))], raw)
		in.filled(n)
		raw = raw[n:]
	}
}

func seedHeads(f *testing.F, add func(raw string)) {
	for _, requests := range hostile() {
		for raw := range requests {
			add(raw)
		}
	}
	for _, v := range validRequests() {
		add(v.raw)
	}
}

// FuzzHead holds the parser against itself, fed in pieces of other sizes, and against net/http: whatever net/http refuses
// is refused here, save for the differences that laxer lists, and what both take is understood in the same way.
func FuzzHead(f *testing.F) {
	seedHeads(f, func(raw string) { f.Add([]byte(raw), 1) })
	l := &Limits{RequestLine: 8190, Fields: 100, FieldSize: 8190, Body: 1 << 20}
	f.Fuzz(func(t *testing.T, raw []byte, step int) {
		h, fields, rest, done, bad := parseAll(raw, len(raw)+1, l)
		again, fieldsAgain, restAgain, doneAgain, badAgain := parseAll(raw, max(1, step%64), l)
		// Which of several faults is found first depends on what has arrived.
		if done != doneAgain && bad == nil || (bad == nil) != (badAgain == nil) || bad == nil && (h.method != again.method ||
			h.target != again.target || !slices.Equal(fields, fieldsAgain) || done && !bytes.Equal(rest, restAgain)) {
			t.Fatalf("in pieces of %d: %v %v, at once: %v %v", step, doneAgain, badAgain, done, bad)
		}
		if !done || bad != nil {
			return
		}
		checkHead(t, h, fields)
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
		if err != nil {
			if !laxer(raw, err) {
				t.Fatalf("net/http refuses what was taken: %v", err)
			}
			return
		}
		for _, name := range h.options.nominated { // net/http leaves them to its callers
			if !kept(name) {
				r.Header.Del(name)
			}
		}
		compareHead(t, h, fields, r)
	})
}

// laxer reports whether net/http is known to refuse what is served here.
func laxer(raw []byte, err error) bool {
	text := err.Error()
	line, _, _ := bytes.Cut(raw, []byte("\r\n"))
	switch {
	case strings.Contains(text, "parse "):
		return true // net/url wants escapes to be whole, and refuses more characters in absolute forms
	case strings.Contains(text, "malformed Host") || strings.Contains(text, "invalid Host"):
		return true
	case strings.Contains(text, "invalid header value") || strings.Contains(text, "malformed MIME header"):
		return bytes.ContainsRune(line, '\x80')
	case strings.Contains(text, "bad trailer key"):
		return true // the Trailer field is dropped here, unread
	}
	return false
}

// checkHead checks what must hold of every head that is served.
func checkHead(t *testing.T, h *head, fields exchange.Fields) {
	t.Helper()
	if h.target != "*" && !strings.HasPrefix(h.target, "/") || strings.ContainsAny(h.target, " #\r\n\t\x00") {
		t.Fatalf("target %q", h.target)
	}
	if strings.ContainsAny(h.host, "@,/? \r\n\x00") || !exchange.ValidName(h.method) {
		t.Fatalf("method %q, host %q", h.method, h.host)
	}
	lengths := 0
	for _, fl := range fields {
		if !exchange.ValidName(fl.Name) || !exchange.ValidValue(fl.Value) || httprules.Hidden(fl.Name) {
			t.Fatalf("field %q: %q", fl.Name, fl.Value)
		}
		if strings.EqualFold(fl.Name, "Content-Length") {
			lengths++
		}
	}
	if lengths > 1 || lengths == 1 && h.coded || h.coded && h.minor == '0' || h.coded != h.chunked {
		t.Fatalf("framing %+v with %d lengths", h.framing, lengths)
	}
}

// compareHead fails where two readers of the same head understand it differently. net/http folds names and merges,
// drops underscores not at all, and reads the body's length where there is no reason to.
func compareHead(t *testing.T, h *head, fields exchange.Fields, r *http.Request) {
	t.Helper()
	if r.Method != h.method || r.Proto != h.proto() {
		t.Fatalf("net/http reads %s %s, here %s %s", r.Method, r.Proto, h.method, h.proto())
	}
	if r.ContentLength != h.bodyLength() {
		t.Fatalf("net/http reads a length of %d, here %d", r.ContentLength, h.bodyLength())
	}
	if strings.HasPrefix(r.RequestURI, "/") && (r.RequestURI != h.target || r.Host != h.host) {
		t.Fatalf("net/http reads %q at %q, here %q at %q", r.RequestURI, r.Host, h.target, h.host)
	}
	for _, fl := range fields {
		if !slices.Contains(r.Header.Values(fl.Name), fl.Value) {
			t.Fatalf("net/http reads %q for %s, here %q", r.Header.Values(fl.Name), fl.Name, fl.Value)
		}
	}
	for name, values := range r.Header {
		if n := len(fields.Values(name)); n != len(values) && !httprules.Hidden(name) {
			t.Fatalf("net/http reads %d lines of %s, here %d", len(values), name, n)
		}
	}
}

// decode reads a chunked body given to the reader step bytes at a time.
func decode(raw []byte, step int) (body []byte, trailers exchange.Fields, rest []byte, err error) {
	l := &Limits{Fields: 100, FieldSize: 8190}
	in, k := &input{}, &chunks{}
	for {
		ready, err := k.advance(in, l, &trailers)
		switch {
		case err != nil:
			return body, trailers, nil, err
		case ready && k.state == atEnd:
			return body, trailers, append(bytes.Clone(in.unread()), raw...), nil
		case ready && len(in.unread()) > 0:
			n := min(k.left, int64(len(in.unread())))
			body = append(body, in.unread()[:n]...)
			in.skip(int(n))
			k.left -= n
			continue
		case len(raw) == 0:
			return body, trailers, nil, io.ErrUnexpectedEOF
		}
		n := copy(in.room()[:min(step, len(in.room()))], raw)
		in.filled(n)
		raw = raw[n:]
	}
}

// FuzzChunks holds the chunk reader against itself, fed in other pieces, and against net/http's.
func FuzzChunks(f *testing.F) {
	for body := range hostileChunks {
		f.Add([]byte(body), 1)
	}
	for body := range bodies {
		f.Add([]byte(body), 3)
	}
	f.Fuzz(func(t *testing.T, raw []byte, step int) {
		body, trailers, rest, err := decode(raw, len(raw)+1)
		bodyAgain, trailersAgain, restAgain, errAgain := decode(raw, max(1, step%64))
		if (err == nil) != (errAgain == nil) || err == nil && (!bytes.Equal(body, bodyAgain) || !slices.Equal(trailers, trailersAgain) || !bytes.Equal(rest, restAgain)) {
			t.Fatalf("in pieces of %d: %q %v %q %v, at once: %q %v %q %v", step, bodyAgain, trailersAgain, restAgain, errAgain, body, trailers, rest, err)
		}
		if err != nil {
			return
		}
		for _, fl := range trailers {
			if !exchange.MayTrail(fl.Name) || !exchange.ValidName(fl.Name) || !exchange.ValidValue(fl.Value) {
				t.Fatalf("trailer %q: %q", fl.Name, fl.Value)
			}
		}
		r, err := http.ReadRequest(bufio.NewReader(io.MultiReader(strings.NewReader(te), bytes.NewReader(raw))))
		if err != nil {
			t.Fatal(err)
		}
		other, err := io.ReadAll(r.Body)
		if err != nil && laxerChunks(raw, err) {
			return
		}
		if err != nil || !bytes.Equal(other, body) {
			t.Fatalf("net/http reads %q, %v; here %q", other, err, body)
		}
	})
}

// laxerChunks reports whether net/http is known to refuse what is taken here: blanks ahead of a semicolon, which RFC
// 9112 §7.1.1 says must be parsed.
func laxerChunks(raw []byte, err error) bool {
	return strings.Contains(err.Error(), "invalid byte in chunk length") &&
		(bytes.Contains(raw, []byte(" ;")) || bytes.Contains(raw, []byte("\t;")))
}

// FuzzConnection serves arbitrary bytes and checks that the server neither hangs nor panics, and that nothing it answers
// is malformed.
func FuzzConnection(f *testing.F) {
	seedHeads(f, func(raw string) { f.Add([]byte(raw + smuggled)) })
	f.Fuzz(func(t *testing.T, raw []byte) {
		ts := start(t, Options{Keepalive: keep, HeaderTimeout: patience, Limits: tableLimits}, readAll)
		c := ts.dial(t)
		if err := c.Send(raw); err != nil {
			return
		}
		if err := c.Conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
			return
		}
		got, err := io.ReadAll(c.Conn)
		if err != nil {
			return // reset, after more than is read of garbage
		}
		if _, err := parseAnswers(got, bytes.HasPrefix(raw, []byte("HEAD "))); err != nil && !bytes.Contains(raw, []byte("HEAD ")) {
			t.Fatalf("%v in %q", err, got)
		}
	})
}
