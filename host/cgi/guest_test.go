package cgi

import (
	"context"
	_ "embed"
	"errors"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/host/engine"
	"github.com/appserver-go/appserver/internal/fault"
)

// The module is built from the .wat file beside it by wat2wasm --debug-names.
//
//go:embed testdata/script.wasm
var scriptWasm []byte

func TestOutput(t *testing.T) {
	g := load(t, scriptWasm, Options{})
	for _, test := range []struct {
		name    string
		script  []string
		status  int
		reason  exchange.Reason // of a failure
		err     string
		fields  exchange.Fields
		body    string
		aborted bool
	}{
		{name: "LF", script: []string{"wContent-Type: text/plain\n\nhello"}, status: 200, fields: exchange.Fields{{Name: "Content-Type", Value: "text/plain"}}, body: "hello"},
		{name: "CRLF", script: []string{"wContent-Type: text/plain\r\n\r\nhello"}, status: 200, fields: exchange.Fields{{Name: "Content-Type", Value: "text/plain"}}, body: "hello"},
		{name: "in pieces", script: []string{"wContent-Type: a/b\r", "w\n", "w\r", "w\nhe", "wllo"}, status: 200, fields: exchange.Fields{{Name: "Content-Type", Value: "a/b"}}, body: "hello"},
		{name: "status", script: []string{"wStatus: 404 Not Found\n\n"}, status: 404},
		{name: "status without reason", script: []string{"wstatus:204\n\n"}, status: 204},
		{name: "exit with 0", script: []string{"wStatus: 200\n\nok", "e0"}, status: 200, body: "ok"},
		{name: "repeated Set-Cookie", script: []string{"wStatus: 200\nSet-Cookie: a=1\nSet-Cookie: b=2\n\n"}, status: 200, fields: exchange.Fields{{Name: "Set-Cookie", Value: "a=1"}, {Name: "Set-Cookie", Value: "b=2"}}},
		{name: "client redirect", script: []string{"wLocation: https://example.com/\n\n"}, status: 302, fields: exchange.Fields{{Name: "Location", Value: "https://example.com/"}}},
		{name: "client redirect with status", script: []string{"wLocation: /x\nStatus: 307\n\n"}, status: 307, fields: exchange.Fields{{Name: "Location", Value: "/x"}}},
		{name: "relative redirect with fields", script: []string{"wLocation: /x\nSet-Cookie: a=1\n\n"}, status: 302, fields: exchange.Fields{{Name: "Location", Value: "/x"}, {Name: "Set-Cookie", Value: "a=1"}}},
		{name: "redirect to another host", script: []string{"wLocation: //example.com/\n\n"}, status: 302, fields: exchange.Fields{{Name: "Location", Value: "//example.com/"}}},
		{name: "empty value", script: []string{"wStatus: 200\nX-A:\n\n"}, status: 200, fields: exchange.Fields{{Name: "X-A"}}},
		{name: "hop by hop", script: []string{"wStatus: 200\nConnection: close\nTransfer-Encoding: chunked\n\nok"}, status: 200, body: "ok"},

		{name: "nothing", script: []string{"x"}, status: 502, reason: exchange.BadResponse, err: "without printing a response"},
		{name: "no head", script: []string{"wjust text\n"}, status: 502, reason: exchange.BadResponse, err: `before the empty line behind its head; it printed "just text\n"`},
		{name: "no field", script: []string{"wjust text\n\n"}, status: 502, reason: exchange.BadResponse, err: `printed "just text", which is no header field`},
		{name: "empty head", script: []string{"w\nbody"}, status: 502, reason: exchange.BadResponse, err: "none of Content-Type, Location and Status"},
		{name: "no needed field", script: []string{"wX-A: b\n\nbody"}, status: 502, reason: exchange.BadResponse, err: "none of Content-Type, Location and Status"},
		{name: "bad name", script: []string{"wStatus: 200\nX A: b\n\n"}, status: 502, reason: exchange.BadResponse, err: "no header field"},
		{name: "continuation line", script: []string{"wStatus: 200\nX-A: b\n c\n\n"}, status: 502, reason: exchange.BadResponse, err: "no header field"},
		{name: "control character", script: []string{"wStatus: 200\nX-A: b\x01c\n\n"}, status: 502, reason: exchange.BadResponse, err: "control characters"},
		{name: "carriage return", script: []string{"wStatus: 200\nX-A: b\rX-B: c\n\n"}, status: 502, reason: exchange.BadResponse, err: "control characters"},
		{name: "malformed status", script: []string{"wStatus: 2000\n\n"}, status: 502, reason: exchange.BadResponse, err: `malformed status "2000"`},
		{name: "status that is not final", script: []string{"wStatus: 101\n\n"}, status: 502, reason: exchange.BadResponse, err: "status 101"},
		{name: "two statuses", script: []string{"wStatus: 200\nStatus: 201\n\n"}, status: 502, reason: exchange.BadResponse, err: "Status twice"},
		{name: "two content types", script: []string{"wContent-Type: a/b\nContent-Type: c/d\n\n"}, status: 502, reason: exchange.BadResponse, err: "Content-Type twice"},
		{name: "endless head", script: []string{"wX-A: " + strings.Repeat("a", 70000)}, status: 502, reason: exchange.BadResponse, err: "longer than 65536"},
		{name: "endless head of a looping guest", script: []string{"wX-A: " + strings.Repeat("a", 70000), "l"}, status: 502, reason: exchange.BadResponse, err: "longer than 65536"},
		{name: "redirect to no path", script: []string{"wLocation: /a b\n\n"}, status: 502, reason: exchange.BadResponse, err: "which is no path"},
		{name: "less than Content-Length", script: []string{"wStatus: 200\nContent-Length: 5\n\nabc"}, status: 502, reason: exchange.BadResponse, err: "3 bytes of a Content-Length of 5"},
		{name: "trap", script: []string{"t"}, status: 500, reason: exchange.Trapped, err: "unreachable"},
		{name: "trap behind the head", script: []string{"wStatus: 200\n\npart", "t"}, status: 500, reason: exchange.Trapped, err: "unreachable"},
		{name: "exit", script: []string{"e3"}, status: 500, reason: exchange.Exited, err: "exited with code 3"},
		{name: "exit behind the head", script: []string{"wStatus: 200\n\nwhole", "e3"}, status: 500, reason: exchange.Exited, err: "exited with code 3"},
		{name: "trap behind sent bytes", script: []string{"wStatus: 200\n\npart", "s", "t"}, status: 500, reason: exchange.Trapped, err: "unreachable", body: "part", aborted: true},
		{name: "exit behind sent bytes", script: []string{"wStatus: 200\n\npart", "s", "e1"}, status: 500, reason: exchange.Exited, err: "exited with code 1", body: "part", aborted: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			var w wire
			status, failure := serve(t, g, newExchange(&w, "GET", "/?"+strings.Join(test.script, "&")))
			if status != test.status {
				t.Errorf("the status is %d, want %d", status, test.status)
			}
			if w.body.String() != test.body || w.aborted != test.aborted {
				t.Errorf("the body is %q, aborted %v; want %q, %v", w.body.String(), w.aborted, test.body, test.aborted)
			}
			if failure != nil {
				if failure.Reason != test.reason || !strings.Contains(failure.Error(), test.err) {
					t.Errorf("it failed with %s: %v; want %s: %s", failure.Reason, failure, test.reason, test.err)
				}
				if stack := failure.Reason == exchange.Trapped || failure.Reason == exchange.Exited; stack != (failure.Stack != "") {
					t.Errorf("the stack is %q", failure.Stack)
				}
				return
			}
			if test.reason != "" || !w.closed {
				t.Errorf("it did not fail; closed %v", w.closed)
			}
			if !slices.Equal(w.fields, test.fields) {
				t.Errorf("the fields are %q, want %q", w.fields, test.fields)
			}
			if w.length != int64(len(test.body)) && test.status != 204 {
				t.Errorf("the length is %d, want %d", w.length, len(test.body))
			}
		})
	}
}

func TestHead(t *testing.T) {
	g := load(t, scriptWasm, Options{})
	var w wire
	if status, failure := serve(t, g, newExchange(&w, "HEAD", "/?wStatus: 200\n\nhello")); status != 200 || failure != nil {
		t.Fatal(status, failure)
	}
	if w.body.Len() != 0 || w.length != 5 {
		t.Errorf("HEAD got a body of %d bytes and the length %d", w.body.Len(), w.length)
	}
}

// TestStreaming looks at when the parts of a body are sent.
func TestStreaming(t *testing.T) {
	g := load(t, scriptWasm, Options{})
	for _, test := range []struct {
		name    string
		script  string
		flushes []string
		length  int64
	}{
		{"lines without a pause are one response", "wStatus: 200\n\n&wone\n&wtwo\n", nil, 8},
		{"a sleep sends what is there", "wStatus: 200\n\n&wone\n&s&wtwo\n&s&s&wthree\n", []string{"one\n", "one\ntwo\n"}, -1},
		{"a sleep sends the head alone", "wStatus: 200\n\n&s&wone\n", []string{""}, -1},
		{"a sleep within the head sends nothing", "wStatus: 200\n&s&w\nbody", nil, 4},
		{"a declared length is kept", "wStatus: 200\nContent-Length: 6\n\none&s&wtwo", []string{"one"}, 6},
	} {
		t.Run(test.name, func(t *testing.T) {
			var w wire
			if status, failure := serve(t, g, newExchange(&w, "GET", "/?"+test.script)); status != 200 || failure != nil {
				t.Fatal(status, failure)
			}
			if !slices.Equal(w.flushes, test.flushes) || w.length != test.length {
				t.Errorf("flushed %q with length %d, want %q with %d", w.flushes, w.length, test.flushes, test.length)
			}
		})
	}
}

// TestHeldBackTooLong proves that a guest that goes on printing does not keep back what it printed long ago.
func TestHeldBackTooLong(t *testing.T) {
	var w wire
	x := newExchange(&w, "GET", "/")
	o := &output{response: &x.Response, stop: func(err error) { t.Error(err) }, hold: time.Hour}
	for _, step := range []struct {
		text    string
		age     time.Duration // of what is held back
		flushes int
	}{
		{"Status: 200\n\n", 0, 0}, {"one", 0, 0}, {"two", time.Hour, 1}, {"three", 0, 1}, {"four", time.Hour, 2},
	} {
		o.held = o.held.Add(-step.age)
		if _, err := o.Write([]byte(step.text)); err != nil {
			t.Fatal(err)
		}
		if len(w.flushes) != step.flushes {
			t.Errorf("after %q there were %d flushes, want %d", step.text, len(w.flushes), step.flushes)
		}
	}
}

// TestClientGone proves that a guest whose output nobody takes is ended.
func TestClientGone(t *testing.T) {
	g := load(t, scriptWasm, Options{})
	gone := errors.New("connection reset")
	w := wire{err: gone}
	_, failure := serve(t, g, newExchange(&w, "GET", "/?wStatus: 200\n\nx&s&l"))
	if failure == nil || failure.Reason != exchange.Canceled || !errors.Is(failure, gone) {
		t.Errorf("got %v", failure)
	}
}

func TestDeadline(t *testing.T) {
	g := load(t, scriptWasm, Options{})
	for _, script := range []string{"l", strings.Repeat("s&", 1000), "wStatus: 200\n\nok&l"} {
		t.Run(script[:1], func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond) // enough to begin on a busy machine
			defer cancel()
			var w wire
			f := exchange.AsFailure(g.Serve(ctx, newExchange(&w, "GET", "/?"+script)))
			if f.Status != 504 || f.Reason != exchange.TimedOut || !errors.Is(f, context.DeadlineExceeded) || f.Stack == "" {
				t.Errorf("got %d %s: %v, stack %q", f.Status, f.Reason, f, f.Stack)
			}
		})
	}
}

func TestBody(t *testing.T) {
	g := load(t, scriptWasm, Options{BufferLimit: 1000})
	big := strings.Repeat("0123456789", 20000)
	for _, test := range []struct {
		name   string
		body   io.Reader
		length int64
		status int
		want   string
		reason exchange.Reason
	}{
		{"none", strings.NewReader("not read"), 0, 200, "", ""},
		{"known length", strings.NewReader("hello"), 5, 200, "hello", ""},
		{"byte by byte", iotest.OneByteReader(strings.NewReader("hello")), 5, 200, "hello", ""},
		{"end with the data", iotest.DataErrReader(strings.NewReader("hello")), 5, 200, "hello", ""},
		{"large", strings.NewReader(big), int64(len(big)), 200, big, ""},
		{"unknown length", strings.NewReader("hello"), -1, 200, "hello", ""},
		{"unknown and just within the limit", strings.NewReader(big[:1000]), -1, 200, big[:1000], ""},
		{"unknown and over the limit", strings.NewReader(big[:1001]), -1, 413, "", exchange.BadRequest},
		{"cut short", io.MultiReader(strings.NewReader("he"), iotest.ErrReader(io.ErrUnexpectedEOF)), 5, 400, "", exchange.BadRequest},
		{"unknown and cut short", iotest.ErrReader(io.ErrUnexpectedEOF), -1, 400, "", exchange.BadRequest},
		{"too large for the front end", iotest.ErrReader(exchange.Fail(413, exchange.BadRequest, "too large")), 5, 413, "", exchange.BadRequest},
	} {
		t.Run(test.name, func(t *testing.T) {
			var w wire
			x := newExchange(&w, "POST", "/?wStatus: 200\n\n&r")
			x.Request.Body, x.Request.ContentLength = test.body, test.length
			status, failure := serve(t, g, x)
			if status != test.status || w.body.String() != test.want {
				t.Errorf("got %d and %d bytes, want %d and %d bytes", status, w.body.Len(), test.status, len(test.want))
			}
			if (failure == nil) != (test.reason == "") || failure != nil && failure.Reason != test.reason {
				t.Errorf("the failure is %v, want %q", failure, test.reason)
			}
		})
	}
}

func TestStderr(t *testing.T) {
	type key struct{}
	var mu sync.Mutex
	var lines []string
	g := load(t, scriptWasm, Options{Stderr: func(ctx context.Context, line string) {
		mu.Lock()
		defer mu.Unlock()
		lines = append(lines, ctx.Value(key{}).(string)+": "+line)
	}})
	var w wire
	x := newExchange(&w, "GET", "/?vone\ntwo&v, and\n&vlast words&t")
	if err := g.Serve(context.WithValue(t.Context(), key{}, "id"), x); err == nil {
		t.Error("it did not fail")
	}
	if want := []string{"id: one", "id: two, and", "id: last words"}; !slices.Equal(lines, want) {
		t.Errorf("got %q, want %q", lines, want)
	}
}

func TestSharedGuests(t *testing.T) {
	for _, test := range []struct {
		guest, target string
		status        int
		reason        exchange.Reason
		body          string
	}{
		{"cgihello", "/", 200, "", "Hello"},
		{"cgistatus", "/", 418, "", ""},
		{"cgiexit", "/", 500, exchange.Exited, ""},
		{"cgitrap", "/", 500, exchange.Trapped, ""},
		{"cginohead", "/", 502, exchange.BadResponse, ""},
		{"cgiloop", "/", 502, exchange.BadResponse, ""},
		{"cgiredirect", "/absolute", 302, "", ""},
		{"cgiredirect", "/other", 200, "", "arrived with from=cgi by GET"},
	} {
		t.Run(test.guest+test.target, func(t *testing.T) {
			g := load(t, shared(t, test.guest), Options{})
			var w wire
			x := newExchange(&w, "POST", test.target)
			x.Request.Body, x.Request.ContentLength = strings.NewReader("body"), 4
			status, failure := serve(t, g, x)
			if status != test.status || (failure == nil) != (test.reason == "") {
				t.Fatalf("got %d, %v; want %d", status, failure, test.status)
			}
			if failure != nil && failure.Reason != test.reason {
				t.Errorf("it failed with %s: %v", failure.Reason, failure)
			}
			if !strings.Contains(w.body.String(), test.body) {
				t.Errorf("the body is %q, want %q in it", w.body.String(), test.body)
			}
		})
	}
}

// TestConcurrent proves that requests do not see each other.
func TestConcurrent(t *testing.T) {
	g := load(t, scriptWasm, Options{})
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() {
			for k := range 20 {
				text := strconv.Itoa(n) + "." + strconv.Itoa(k)
				var w wire
				if status, failure := serve(t, g, newExchange(&w, "GET", "/?wStatus: 200\n\n"+text)); status != 200 || w.body.String() != text {
					t.Errorf("%s got %d %q, %v", text, status, w.body.String(), failure)
				}
			}
		})
	}
	wg.Wait()
}

func TestNewRefuses(t *testing.T) {
	e, err := engine.New(t.Context(), engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close(context.Background())
	for _, test := range []struct {
		name string
		wasm []byte
		o    Options
		err  string
	}{
		{"no _start", shared(t, "noabi"), Options{}, "exports no function _start"},
		{"no directory", scriptWasm, Options{Dirs: []engine.Dir{{Host: filepath.Join(t.TempDir(), "absent"), Guest: "/"}}}, "absent"},
		{"bad environment", scriptWasm, Options{Env: []string{"FOO"}}, `"FOO" has no name and value`},
	} {
		m, err := e.Compile(t.Context(), test.wasm)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := New(t.Context(), m, test.o); fault.Code(err) != fault.LoadFailed || !strings.Contains(err.Error(), test.err) || fault.Hint(err) == "" {
			t.Errorf("%s: got %v, hint %q", test.name, err, fault.Hint(err))
		}
	}
}

func BenchmarkServe(b *testing.B) {
	g := load(b, shared(b, "cgihello"), Options{})
	for b.Loop() {
		var w wire
		if status, _ := serve(b, g, newExchange(&w, "GET", "/")); status != 200 {
			b.Fatal(status)
		}
	}
}
