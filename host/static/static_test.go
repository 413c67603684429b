package static

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/appserver-go/appserver/exchange"
)

// recorder is a front end that keeps a response.
type recorder struct {
	status int
	fields exchange.Fields
	body   bytes.Buffer
}

func (r *recorder) WriteHead(status int, fields exchange.Fields, length int64) error {
	r.status, r.fields = status, append(exchange.Fields(nil), fields...)
	if length >= 0 {
		r.fields.Add("Content-Length", strconv.FormatInt(length, 10))
	}
	return nil
}
func (r *recorder) Write(p []byte) (int, error) { return r.body.Write(p) }
func (r *recorder) Flush() error                { return nil }
func (r *recorder) Close(exchange.Fields) error { return nil }
func (r *recorder) Abort()                      {}

// ask serves one request, and makes a response of a failure as a worker does.
func ask(t testing.TB, h *Handler, method, target string, fields ...string) *recorder {
	t.Helper()
	rec := &recorder{}
	x := &exchange.Exchange{Request: exchange.Request{Method: method, Target: target, Proto: "HTTP/1.1", Scheme: "http", Host: "h"}}
	for i := 0; i < len(fields); i += 2 {
		x.Request.Fields.Add(fields[i], fields[i+1])
	}
	x.Response.Reset(rec, method)
	err := h.Serve(context.Background(), x)
	if err == nil {
		err = x.Response.Finish()
	}
	if err != nil {
		f := exchange.AsFailure(err)
		if f.Status >= 500 {
			t.Errorf("%s %s: %v", method, target, err)
		}
		rec.status = f.Status
	}
	return rec
}

// site is a directory of files, and beside it what must not be reached.
func site(t testing.TB) (h *Handler, dir string) {
	t.Helper()
	base := t.TempDir()
	dir = filepath.Join(base, "www")
	for name, text := range map[string]string{
		"www/a.txt": "hello, world", "www/app.js": "let a", "www/app.js.br": "BR", "www/app.js.gz": "GZ", "www/only.css": "p {}",
		"www/index.html": "<p>root", "www/sub/index.html": "<p>sub", "www/empty/x": "", "www/.secret": "s", "www/.git/config": "s",
		"www/.well-known/acme": "token", `www/back\slash`: "b", "www/sp ace": "s", "www/zero": "", "www/a%2fb": "percent",
		"www/ünï": "u", "secret": "outside", "www/unknown.zzz": "z",
	} {
		path := filepath.Join(base, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{
		"out": "../secret", "abs": filepath.Join(base, "secret"), "in": "a.txt", "loop": "loop", "outdir": "..", "insub": "sub",
	} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mkfifo(filepath.Join(dir, "fifo"), 0o644); err != nil {
		t.Fatal(err)
	}
	h, err := Open([]string{"/s=" + dir, "/=" + filepath.Join(dir, "sub"), "/s/deep=" + filepath.Join(dir, "sub")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h, dir
}

func TestPaths(t *testing.T) {
	h, _ := site(t)
	for target, want := range map[string]string{
		"/s/a.txt": "hello, world", "/s/a.txt?q=%2e": "hello, world", "/s/%61.txt": "hello, world", "/%73/a.txt": "hello, world",
		"/s//a.txt": "hello, world", "/s/sp%20ace": "s", "/s/%C3%BCn%C3%AF": "u", "/s/a%252fb": "percent", "/s/back%5Cslash": "b",
		"/s/in": "hello, world", "/s/insub/": "<p>sub", "/s/": "<p>root", "/s/sub/": "<p>sub", "/s/.well-known/acme": "token",
		"/s/zero": "", "/": "<p>sub", "/index.html": "<p>sub", "/s/deep/": "<p>sub",
		"/s": "301 /s/", "/s/sub": "301 /s/sub/", "/s/sub?a=b": "301 /s/sub/?a=b", "/s/insub": "301 /s/insub/", "/s//sub": "301 /s/sub/",
		"/s/empty/": "403", "/s/.secret": "404", "/s/.git/config": "404", "/s/none": "404", "/s/a.txt/": "404", "/s/a.txt/b": "404",
		"/s/../secret": "404", "/s/%2e%2e/secret": "404", "/s/%2E%2E%2fsecret": "404", "/s/..%2fsecret": "404", "/s/..%5csecret": "404",
		"/s/sub/..%2f..%2fsecret": "404", "/s/a%2fb": "404", "/s/sub%2findex.html": "404", "/s/a.txt%00.html": "404", "/s/%": "404",
		"/s/%zz": "404", "/s/out": "404", "/s/abs": "404", "/s/loop": "404", "/s/outdir/secret": "404", "/s/fifo": "404",
		"/s/./a.txt": "404", "/s/C:%5Cwindows": "404", "/s/a.txt::$DATA": "404", "/s/" + strings.Repeat("x", 5000): "404",
		"/s/%c0%ae%c0%ae/secret": "404", "/s/%252e%252e/secret": "404",
	} {
		done := make(chan *recorder, 1)
		go func() { done <- ask(t, h, "GET", target) }()
		var r *recorder
		select {
		case r = <-done:
		case <-time.After(20 * time.Second):
			t.Fatalf("%s: no answer", target)
		}
		got := r.body.String()
		if r.status != 200 {
			got = strings.TrimSpace(fmt.Sprint(r.status, " ", r.fields.Get("Location")))
		}
		if got != want {
			t.Errorf("%s: %q, want %q", target, got, want)
		}
		if strings.Contains(r.body.String(), "outside") {
			t.Errorf("%s leads outside", target)
		}
	}
}

func TestHas(t *testing.T) {
	_, dir := site(t)
	h, err := Open([]string{"/assets=" + dir})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	for path, want := range map[string]bool{
		"/assets": true, "/assets/": true, "/assets/x": true, "/%61ssets/x": true, "/assetsx": false, "/": false, "*": false, "/asset": false,
		"/x/../assets/a": false, "/assets%2fx": false, "/assets/%zz": false,
	} {
		if h.Has(path) != want {
			t.Errorf("%s is there: %v", path, !want)
		}
	}
	if r := ask(t, h, "POST", "/assets/a.txt"); r.status != 405 || r.fields.Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: %d %v", r.status, r.fields)
	}
}

// The target of a redirect is a path of this server, whatever the request says, and knows where clients see the guest.
func TestRedirectsStayHere(t *testing.T) {
	for _, c := range [][4]string{
		{"", "/s/", "sub", "/s/sub/"},
		{"", "/", "evil.example", "/evil.example/"},
		{"/app", "/s/", ".", "/app/s/"},
		{"", "/s/", "a b/ü?#", "/s/a%20b/%C3%BC%3F%23/"},
		{"//x", "/", "y", "/x/y/"},
	} {
		if got := directoryURL(c[0], c[1], c[2]); got != c[3] {
			t.Errorf("%q: %q", c, got)
		}
	}
}

func TestCompressedFiles(t *testing.T) {
	h, _ := site(t)
	for accept, want := range map[string]string{
		"": "let a", "br": "BR", "gzip": "GZ", "gzip, br": "BR", "br;q=0, gzip": "GZ", "br;q=0.000": "let a", "*": "BR", "*;q=0": "let a",
		"*, br;q=0": "GZ", "br;q=0, *": "GZ", "identity": "let a", "deflate, GZIP;q=0.5": "GZ", "brr": "let a", "br;q=x": "let a",
	} {
		r := ask(t, h, "GET", "/s/app.js", "Accept-Encoding", accept)
		coding := map[string]string{"BR": "br", "GZ": "gzip"}[want]
		if r.body.String() != want || r.fields.Get("Content-Encoding") != coding || r.fields.Get("Vary") != "Accept-Encoding" ||
			r.fields.Get("Content-Type") != "text/javascript; charset=utf-8" {
			t.Errorf("%q: %q with %v", accept, r.body.String(), r.fields)
		}
	}
	if r := ask(t, h, "GET", "/s/only.css", "Accept-Encoding", "br, gzip"); r.body.String() != "p {}" || r.fields.Has("Vary") {
		t.Errorf("without compressed ones: %q, %v", r.body.String(), r.fields)
	}
	plain, br := ask(t, h, "GET", "/s/app.js"), ask(t, h, "GET", "/s/app.js", "Accept-Encoding", "br")
	if a, b := plain.fields.Get("ETag"), br.fields.Get("ETag"); a == b || a == "" || b == "" {
		t.Errorf("tags %q and %q", a, b)
	}
	if r := ask(t, h, "GET", "/s/app.js", "Accept-Encoding", "gzip", "If-None-Match", br.fields.Get("ETag")); r.status != 200 {
		t.Errorf("another coding's tag gives %d", r.status)
	}
	if r := ask(t, h, "GET", "/s/unknown.zzz"); r.fields.Get("Content-Type") != "application/octet-stream" {
		t.Errorf("an unknown type is %q", r.fields.Get("Content-Type"))
	}
}

// Preconditions and ranges: net/http's ServeContent is given the same file and the same request.
func TestSameAsServeContent(t *testing.T) {
	h, dir := site(t)
	data := make([]byte, 200_000)
	for i := range data {
		data[i] = byte('a' + i%26)
	}
	path := filepath.Join(dir, "big.txt")
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	modified := time.Unix(1700000000, 0)
	if err := os.Chtimes(path, modified, modified); err != nil {
		t.Fatal(err)
	}
	tag := ask(t, h, "HEAD", "/s/big.txt").fields.Get("ETag")
	date, before, later := httpDate(modified), httpDate(modified.Add(-time.Hour)), httpDate(modified.Add(time.Hour))
	tags := []string{tag, `"other"`, "W/" + tag, "*", `"other", ` + tag, "nonsense", `W/"x" , W/` + tag, `"unfinished`, ""}
	dates := []string{date, before, later, "nonsense", "", modified.UTC().Format(time.RFC850), modified.UTC().Format(time.ANSIC)}
	ranges := []string{
		"", "bytes=0-0", "bytes=0-", "bytes=-1", "bytes=-0", "bytes=5-4", "bytes=199999-", "bytes=200000-", "bytes=199999-300000",
		"bytes=0-1,3-4", "bytes=0-1, 199999-", "bytes=0-,0-", "bytes=-5,0-4,100-200", "bytes=200000-,0-1", "bytes=200000-,300000-",
		"bytes=", "bytes=,", "bytes=a-b", "bytes=1", "bytes=--1", "bytes=-", "bytes=99999999999999999999-", "bytes=-99999999999999999999",
		"bytes=0-99999999999999999999", "bytes= 0 - 5 ", "bytes=-300000", "bytes=0-1-2", "bytes=0x1-2", "bytes=1000-150000",
	}
	pick := func(from []string) string { return from[rand.IntN(len(from))] }
	for i := range 4000 {
		req := httptest.NewRequest(pick([]string{"GET", "GET", "HEAD"}), "/s/big.txt", nil)
		var fields []string
		set := func(name, value string, one bool) {
			if value != "" && one {
				req.Header.Set(name, value)
				fields = append(fields, name, value)
			}
		}
		set("Range", ranges[i%len(ranges)], true)
		set("If-Match", pick(tags), rand.IntN(6) == 0)
		set("If-None-Match", pick(tags), rand.IntN(4) == 0)
		set("If-Modified-Since", pick(dates), rand.IntN(4) == 0)
		set("If-Unmodified-Since", pick(dates), rand.IntN(6) == 0)
		set("If-Range", pick(append(tags, dates...)), rand.IntN(3) == 0)
		want := httptest.NewRecorder()
		want.Header().Set("ETag", tag)
		want.Header().Set("Content-Type", "text/plain; charset=utf-8")
		http.ServeContent(want, req, "big.txt", modified, bytes.NewReader(data))
		compare(t, fmt.Sprintf("%s %q", req.Method, fields), ask(t, h, req.Method, "/s/big.txt", fields...), want)
	}
}

// compare wants the same answer. The texts of errors and the boundaries of parts are everybody's own.
func compare(t *testing.T, what string, got *recorder, want *httptest.ResponseRecorder) {
	t.Helper()
	if got.status != want.Code {
		t.Errorf("%s: status %d, ServeContent has %d", what, got.status, want.Code)
		return
	}
	for _, name := range []string{"Content-Range", "Accept-Ranges", "Last-Modified", "ETag"} {
		if got.status >= 400 && name != "Content-Range" || got.status == 304 {
			continue
		}
		a, b := got.fields.Get(name), want.Header().Get(name)
		if got.status == 416 && b == "" {
			b = "bytes */200000" // RFC 9110 §15.5.17 wants it for malformed ranges, too
		}
		if a != b {
			t.Errorf("%s: %s is %q, ServeContent has %q", what, name, a, b)
		}
	}
	if got.status >= 300 {
		return
	}
	if a, b := got.fields.Get("Content-Length"), want.Header().Get("Content-Length"); !strings.HasPrefix(got.fields.Get("Content-Type"), "multipart") && a != b {
		t.Errorf("%s: length %q, ServeContent has %q", what, a, b)
	}
	if a, b := parts(t, got.fields.Get("Content-Type"), got.body.Bytes()), parts(t, want.Header().Get("Content-Type"), want.Body.Bytes()); a != b {
		t.Errorf("%s: body of %d bytes, ServeContent has %d", what, len(a), len(b))
	}
}

// parts returns a body, or of one with several parts what is in each.
func parts(t *testing.T, kind string, body []byte) string {
	t.Helper()
	_, params, err := mime.ParseMediaType(kind)
	if err != nil {
		t.Error(err)
	}
	if params["boundary"] == "" || len(body) == 0 {
		return string(body)
	}
	var all strings.Builder
	r := multipart.NewReader(bytes.NewReader(body), params["boundary"])
	for {
		p, err := r.NextPart()
		if errors.Is(err, io.EOF) {
			return all.String()
		}
		if err != nil {
			t.Error(err)
			return all.String()
		}
		text, err := io.ReadAll(p)
		if err != nil {
			t.Error(err)
		}
		fmt.Fprintf(&all, "%s %s %s\n", p.Header.Get("Content-Range"), p.Header.Get("Content-Type"), text)
	}
}

// Where ServeContent and RFC 9110 §14.2 differ: units it does not know are to be ignored, and their names have no case.
func TestRangeUnits(t *testing.T) {
	h, _ := site(t)
	for field, want := range map[string]int{"items=0-1": 200, "0-1": 200, "Bytes=0-1": 206, "BYTES=0-1": 206, "bytes=+1-2": 416, "bytes": 200} {
		if r := ask(t, h, "GET", "/s/a.txt", "Range", field); r.status != want {
			t.Errorf("%s: %d, want %d", field, r.status, want)
		}
	}
}

// More ranges than anybody needs get the whole file, and so does a client that wants an empty file in parts.
func TestManyRanges(t *testing.T) {
	h, _ := site(t)
	few := "bytes=0-0" + strings.Repeat(",1-1", 5)
	if r := ask(t, h, "GET", "/s/a.txt", "Range", few); r.status != 206 {
		t.Errorf("%d for a few ranges", r.status)
	}
	many := "bytes=0-0" + strings.Repeat(",", 10) + strings.Repeat(",1-1", 60000)
	if r := ask(t, h, "GET", "/s/a.txt", "Range", many); r.status != 200 || r.body.String() != "hello, world" {
		t.Errorf("%d for very many ranges", r.status)
	}
}

func FuzzRange(f *testing.F) {
	for _, s := range []string{"bytes=0-1", "bytes=-5,3-", "bytes=9-,,1-2", "x", "bytes= 1 - 2"} {
		f.Add(s, int64(10))
	}
	f.Fuzz(func(t *testing.T, field string, size int64) {
		size &= 1<<20 - 1
		spans, v := parseRange(field, size)
		total := int64(0)
		for _, s := range spans {
			if s.start < 0 || s.length < 0 || s.start+s.length > size {
				t.Fatalf("%q of %d: %+v", field, size, s)
			}
			total += s.length
		}
		if v != partial && spans != nil || total > size || len(spans) > maxRanges {
			t.Fatalf("%q of %d: %v %+v", field, size, v, spans)
		}
	})
}

func FuzzPath(f *testing.F) {
	for _, s := range []string{"/s/a", "/s/%2e%2e/x", "/s/..%2f", "/s/\x00", "/s/%00", "/s//a/", "/s/.git"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, escaped string) {
		decoded, ok := unescape(escaped)
		if !ok {
			return
		}
		name, _, ok := locate(decoded)
		if !ok {
			return
		}
		if strings.ContainsRune(name, 0) || strings.HasPrefix(name, "/") || strings.HasSuffix(name, "/") || name == "" {
			t.Fatalf("%q leads to %q", escaped, name)
		}
		if name != "." && !filepath.IsLocal(name) {
			t.Fatalf("%q leads to %q", escaped, name)
		}
		for segment := range strings.SplitSeq(name, "/") {
			if segment == ".." || segment == "" || name != "." && segment[0] == '.' && segment != wellKnown {
				t.Fatalf("%q leads to %q", escaped, name)
			}
		}
	})
}

func TestParse(t *testing.T) {
	for text, want := range map[string]Mount{
		"/assets=./dist": {"/assets", "./dist"}, "/assets/=/srv/a=b": {"/assets", "/srv/a=b"}, "/=.": {"/", "."}, "/a/b=c": {"/a/b", "c"},
		"": {}, "/a": {}, "a=b": {}, "/a=": {}, "=b": {}, "/a/../b=c": {}, "/a//b=c": {}, "/a%20=b": {}, "/a?=b": {},
	} {
		got, err := Parse(text)
		if got != want || (err == nil) != (want != Mount{}) {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
	if _, err := Open([]string{"/a=/nowhere/at/all"}); err == nil {
		t.Error("a directory that is not there opens")
	}
}
