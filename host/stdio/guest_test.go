package stdio

import (
	"context"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/internal/fault"
)

func TestKeptInstance(t *testing.T) {
	g, log := load(t, Options{Instances: 4})
	for _, want := range []string{"1", "2", "3"} {
		if have := get(t, g, "/count"); have != want {
			t.Errorf("have %s, want %s", have, want)
		}
	}
	if log.String() != "" {
		t.Errorf("logged %s", log)
	}
}

func TestFreshInstances(t *testing.T) {
	g, _ := load(t, Options{Fresh: true})
	for range 5 {
		if have := get(t, g, "/count"); have != "1" {
			t.Errorf("the guest counts %s", have)
		}
	}
}

func TestWorldOfGuest(t *testing.T) {
	t.Setenv("TOP_SECRET", "of the host")
	g, _ := load(t, Options{Args: []string{"-v", "app:app"}, Env: []string{"A=1"}})
	if have, want := get(t, g, "/env"), "server -v app:app\nA=1\nAPPSERVER_PROTOCOL=stdio"; have != want {
		t.Errorf("have %s\nwant %s", have, want)
	}
}

func TestRequestHead(t *testing.T) {
	g, _ := load(t, Options{})
	var w wire
	x := request(&w, "PATCH", "/head?a=%20b", "", func(r *exchange.Request) {
		r.Scheme = "https"
		r.Fields = exchange.Fields{
			{Name: "X-B", Value: "1"},
			{Name: "x-a", Value: "2"},
			{Name: "X-B", Value: "3"},
			{Name: "X-Forwarded-For", Value: "198.51.100.1"},
			{Name: "X-Forwarded-Proto", Value: "http"},
			{Name: "Expect", Value: "100-continue"},
			{Name: "Content-Length", Value: "0"},
		}
	})
	if f := serve(t.Context(), g, x); f != nil {
		t.Fatal(f)
	}
	want := "PATCH /head?a=%20b HTTP/1.1\nHost: example.com:8080\nX-B: 1\nx-a: 2\nX-B: 3\n" +
		"X-Forwarded-For: 198.51.100.1, 192.0.2.7\nX-Forwarded-Proto: https\nContent-Length: 0"
	if have := w.body.String(); have != want {
		t.Errorf("have %s\nwant %s", have, want)
	}
}

func TestBodies(t *testing.T) {
	g, _ := load(t, Options{})
	large := strings.Repeat("0123456789abcdef", 1<<16)
	for _, body := range []string{"", "x", large} {
		for _, known := range []bool{true, false} {
			var w wire
			x := request(&w, "POST", "/echo", body, func(r *exchange.Request) {
				if !known {
					r.ContentLength = -1
					r.Trailers = exchange.Fields{{Name: "X-Checked", Value: "yes"}, {Name: "Content-Length", Value: "7"}}
				}
			})
			if f := serve(t.Context(), g, x); f != nil || w.body.String() != body {
				t.Errorf("%d bytes, known %v: %d bytes came back, failure %v", len(body), known, w.body.Len(), f)
			}
			checked := w.trailers.Get("X-Checked")
			if w.trailers.Get("X-Sum") == "" || !known && checked != "yes" || w.trailers.Get("Content-Length") != "" {
				t.Errorf("%d bytes, known %v: the trailers are %v", len(body), known, w.trailers)
			}
		}
	}
	if have := get(t, g, "/count"); have != "7" {
		t.Errorf("the instance was replaced: it counts %s", have)
	}
}

// TestStreaming has the client send a piece only when it has got the answer to the one before.
func TestStreaming(t *testing.T) {
	g, _ := load(t, Options{})
	body, client := io.Pipe()
	w := wire{flushed: make(chan string, 1)}
	x := request(&w, "POST", "/stream", "", func(r *exchange.Request) { r.Body, r.ContentLength = body, -1 })
	done := make(chan *exchange.Failure, 1)
	go func() { done <- serve(t.Context(), g, x) }()
	want := "first"
	for _, piece := range []string{"a", "bc", "def"} {
		if have := <-w.flushed; have != want {
			t.Errorf("have %q, want %q", have, want)
		}
		_, _ = io.WriteString(client, piece)
		want += "<" + piece + ">"
	}
	if have := <-w.flushed; have != want {
		t.Errorf("have %q, want %q", have, want)
	}
	_ = client.Close()
	if f := <-done; f != nil || w.body.String() != want {
		t.Errorf("have %q, failure %v", w.body.String(), f)
	}
}

func TestResponses(t *testing.T) {
	g, _ := load(t, Options{Instances: 2})
	for _, test := range []struct {
		method, target, body string
		status               int
		length               int64
		want                 string
	}{
		{"GET", "/hints", "", 200, 6, "hinted"},
		{"GET", "/status?418", "", 418, 0, ""},
		{"GET", "/nobody", "", 204, -1, ""},
		{"HEAD", "/headof", "", 200, 12, ""},
		{"GET", "/headof", "", 200, 12, "twelve bytes"},
		{"POST", "/unread", strings.Repeat("x", 200<<10), 200, 5, "early"},
		{"POST", "/refuse", strings.Repeat("x", 200<<10), 413, 2, "no"},
		{"GET", "/close", "", 200, -1, "until the end"},
		{"GET", "/last", "", 200, 4, "last"},
		{"GET", "/big?1000000", "", 200, 1000000, strings.Repeat("0123456789abcdef", 62500)},
	} {
		var w wire
		f := serve(t.Context(), g, request(&w, test.method, test.target, test.body, nil))
		if f != nil || w.status != test.status || w.length != test.length || w.body.String() != test.want || !w.closed {
			t.Errorf("%s %s: status %d, length %d, %d bytes, failure %v", test.method, test.target, w.status, w.length, w.body.Len(), f)
		}
	}
}

func TestFailures(t *testing.T) {
	g, log := load(t, Options{})
	for _, test := range []struct {
		target string
		status int
		reason exchange.Reason
		says   string
		stack  bool
	}{
		{"/nonsense", 502, exchange.BadResponse, "no HTTP response", false},
		{"/endless", 502, exchange.BadResponse, "longer than", false},
		{"/crlf", 502, exchange.BadResponse, "", false},
		{"/status?99", 502, exchange.BadResponse, "", false},
		{"/status?101", 502, exchange.BadResponse, "the guest switched protocols", false},
		{"/half", 502, exchange.Exited, "code 5", false},
		{"/exit?0", 502, exchange.Exited, "the guest has ended", false},
		{"/exit?7", 502, exchange.Exited, "code 7", false},
		{"/panic", 502, exchange.Exited, "code 2", false},
		{"/spin", 504, exchange.TimedOut, "deadline", true},
		{"/sleep", 504, exchange.TimedOut, "deadline", false},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		if test.reason == exchange.TimedOut {
			ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
		}
		var w wire
		f := serve(ctx, g, request(&w, "GET", test.target, "", nil))
		cancel()
		if f == nil || f.Status != test.status || f.Reason != test.reason || !strings.Contains(f.Error(), test.says) {
			t.Errorf("%s: %+v", test.target, f)
		} else if test.stack && !strings.Contains(f.Stack, "main.serve") {
			t.Errorf("%s: the stack is %q", test.target, f.Stack)
		}
		if have := get(t, g, "/count"); have == "" {
			t.Errorf("after %s: no answer", test.target)
		}
	}
	if !strings.Contains(log.String(), "about to panic\n") || !strings.Contains(log.String(), "panic: in a request") {
		t.Errorf("stderr is not in the log: %s", log)
	}
}

// TestForgedResponse has a guest print a second response, for whoever asks next.
func TestForgedResponse(t *testing.T) {
	g, log := load(t, Options{})
	for range 20 {
		if have := get(t, g, "/extra"); have != "fine" {
			t.Fatalf("got %q", have)
		}
		if have := get(t, g, "/count"); have != "1" {
			t.Fatalf("got %q", have)
		}
	}
	if !strings.Contains(log.String(), "no response to a request") {
		t.Errorf("not in the log: %s", log)
	}
}

func TestClientFailures(t *testing.T) {
	g, _ := load(t, Options{})
	t.Run("cut body", func(t *testing.T) {
		var w wire
		x := request(&w, "POST", "/count", "abc", func(r *exchange.Request) {
			r.ContentLength = 10
			r.Body = io.MultiReader(strings.NewReader("abc"), failing{})
		})
		if f := serve(t.Context(), g, x); f == nil || f.Status != 400 || f.Reason != exchange.BadRequest {
			t.Errorf("have %+v", f)
		}
	})
	get(t, g, "/count")
	t.Run("gone", func(t *testing.T) {
		w := wire{err: errors.New("broken pipe")}
		f := serve(t.Context(), g, request(&w, "GET", "/big?1000000", "", nil))
		if f == nil || f.Reason != exchange.Canceled {
			t.Errorf("have %+v", f)
		}
		if have := get(t, g, "/count"); have != "3" {
			t.Errorf("the guest lost its memory: it counts %s", have)
		}
	})
	t.Run("canceled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(20*time.Millisecond, cancel)
		var w wire
		if f := serve(ctx, g, request(&w, "GET", "/sleep", "", nil)); f == nil || f.Status != 503 || f.Reason != exchange.Canceled {
			t.Errorf("have %+v", f)
		}
	})
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// TestExpect checks that a body whose client asks before it sends is read only when the guest wants it.
func TestExpect(t *testing.T) {
	g, _ := load(t, Options{})
	for _, test := range []struct {
		target string
		wanted bool
	}{{"/refuse", false}, {"/echo", true}} {
		read := false
		var w wire
		x := request(&w, "POST", test.target, "", func(r *exchange.Request) {
			r.Fields.Add("Expect", "100-continue")
			r.ContentLength = 3
			body := strings.NewReader("abc")
			r.Body = reader(func(p []byte) (int, error) { read = true; return body.Read(p) })
		})
		if f := serve(t.Context(), g, x); f != nil || read != test.wanted {
			t.Errorf("%s: read %v, failure %v", test.target, read, f)
		}
	}
}

type reader func(p []byte) (int, error)

func (f reader) Read(p []byte) (int, error) { return f(p) }

func TestBadStarts(t *testing.T) {
	for _, test := range []struct{ how, says string }{
		{"exit", "code 3"},
		{"return", "the guest has ended"},
		{"panic", "code 2"},
	} {
		_, log, err := tryLoad(t, Options{Env: []string{"START=" + test.how}})
		if fault.Code(err) != fault.LoadFailed || !strings.Contains(err.Error(), test.says) || fault.Hint(err) == "" {
			t.Errorf("%s: %v (code %d, hint %q)", test.how, err, fault.Code(err), fault.Hint(err))
		}
		if test.how == "exit" && !strings.Contains(log.String(), "nothing to do") {
			t.Errorf("stderr is not in the log: %s", log)
		}
	}
	t.Run("spin", func(t *testing.T) {
		module, err := compile()
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if _, err = New(ctx, module, Options{Name: "server", Env: []string{"START=spin"}}); fault.Code(err) != fault.LoadFailed {
			t.Error(err)
		}
	})
}

// TestConcurrency has more clients than instances, and looks whether anything is left behind.
func TestConcurrency(t *testing.T) {
	before := runtime.NumGoroutine()
	g, _ := load(t, Options{Instances: 3})
	done := make(chan error, 24)
	for n := range cap(done) {
		go func() {
			body := strings.Repeat(string(rune('a'+n)), 10000*n)
			for range 5 {
				var w wire
				if f := serve(t.Context(), g, request(&w, "POST", "/echo", body, nil)); f != nil {
					done <- f
					return
				}
				if w.body.String() != body {
					done <- errors.New("another client's body")
					return
				}
			}
			done <- nil
		}()
	}
	for range cap(done) {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	_ = g.Close()
	for end := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before; runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("%d goroutines are left of %d", runtime.NumGoroutine(), before)
		}
	}
}
