package kit

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// pass makes a middleware of a function.
func pass(f func(w http.ResponseWriter, r *http.Request, next http.Handler)) Middleware {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { f(w, r, next) })
	}
}

// begin runs handle_request, which must pass the request on, and returns the context.
func begin(t *testing.T, a *adapter) uint32 {
	t.Helper()
	r := a.handleRequest()
	if uint32(r) != 1 {
		t.Fatalf("handle_request returned %#x, want next = 1", r)
	}
	return uint32(r >> 32)
}

func TestPassOn(t *testing.T) {
	h := newFakeHost(t, "GET", "/old", "")
	h.headers[ofRequest]["X-Gone"] = []string{"1"}
	h.headers[ofRequest]["X-Kept"] = []string{"1"}
	after := false
	a := h.adapter(pass(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		r.Method, r.URL.Path, r.Host = "POST", "/new", "other.example"
		r.Header.Del("X-Gone")
		r.Header.Add("X-New", "a")
		r.Header.Add("X-New", "b")
		next.ServeHTTP(w, r)
		after = true
		if _, err := io.WriteString(w, "too late"); err == nil {
			t.Error("a write after next went through")
		}
	}))
	id := begin(t, a)
	if h.enabled&bufferResponse != 0 {
		t.Error("the response of a middleware that leaves it alone is buffered")
	}
	if after {
		t.Error("next returned before the next handler answered")
	}
	if h.requestMethod != "POST" || h.requestURI != "/new" || h.replaced[ofRequest] {
		t.Errorf("passed on: %s %s, body replaced %v", h.requestMethod, h.requestURI, h.replaced[ofRequest])
	}
	if got := fmt.Sprint(h.headers[ofRequest]); got != "map[Host:[other.example] X-Kept:[1] X-New:[a b]]" {
		t.Errorf("request header %s", got)
	}
	h.respond(200, "theirs")
	a.handleResponse(id, false)
	if !after || h.body() != "theirs" {
		t.Errorf("middleware went on: %v, body %q", after, h.body())
	}
}

func TestReplaceRequestBody(t *testing.T) {
	h := newFakeHost(t, "POST", "/", "plain")
	a := h.adapter(pass(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(bytes.ToUpper(body)))
		next.ServeHTTP(w, r)
	}))
	id := begin(t, a)
	if got := string(h.written[ofRequest]); got != "PLAIN" {
		t.Errorf("body passed on: %q", got)
	}
	h.respond(200, "")
	a.handleResponse(id, false)
}

func TestAddResponseHeader(t *testing.T) {
	h := newFakeHost(t, "GET", "/", "")
	a := h.adapter(pass(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		w.Header().Set("X-Mine", "1")
		w.Header().Set("X-Both", "mine")
		next.ServeHTTP(w, r)
	}))
	id := begin(t, a)
	h.respond(404, "none", "X-Both", "theirs")
	a.handleResponse(id, false)
	if got := fmt.Sprint(h.headers[ofResponse]); got != "map[X-Both:[theirs] X-Mine:[1]]" {
		t.Errorf("response header %s", got)
	}
	if h.responseStatus != 404 || h.body() != "none" {
		t.Errorf("status %d, body %q", h.responseStatus, h.body())
	}
}

// upper is a ResponseWriter that changes the body, as one that compresses does.
type upper struct{ http.ResponseWriter }

func (u upper) Write(p []byte) (int, error) { return u.ResponseWriter.Write(bytes.ToUpper(p)) }

// sink drops a response.
type sink struct{ header http.Header }

func (s sink) Header() http.Header         { return s.header }
func (s sink) WriteHeader(int)             {}
func (s sink) Write(p []byte) (int, error) { return len(p), nil }

func TestReplaceResponse(t *testing.T) {
	theirs := strings.Repeat("body ", 20000)
	for _, c := range []struct {
		name    string
		handler func(w http.ResponseWriter, r *http.Request, next http.Handler)
		status  int
		body    string
		header  string
	}{
		{"changed", func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			next.ServeHTTP(upper{w}, r)
		}, 201, strings.ToUpper(theirs), "map[Content-Type:[a/b] X-A:[1 2]]"},
		{"discarded", func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			next.ServeHTTP(sink{http.Header{}}, r)
			w.Header().Set("X-Mine", "1")
			w.WriteHeader(503)
		}, 503, "", "map[X-Mine:[1]]"},
		{"replaced", func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			next.ServeHTTP(sink{http.Header{}}, r)
			fmt.Fprint(w, "mine")
		}, 200, "mine", "map[Content-Type:[text/plain; charset=utf-8]]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newFakeHost(t, "GET", "/", "")
			a := h.adapter(pass(c.handler))
			id := begin(t, a)
			h.respond(201, theirs, "Content-Type", "a/b", "X-A", "1", "X-A", "2")
			a.handleResponse(id, false)
			if h.responseStatus != c.status || h.body() != c.body {
				t.Errorf("status %d, body of %d bytes: %.40q", h.responseStatus, len(h.body()), h.body())
			}
			if got := fmt.Sprint(h.headers[ofResponse]); got != c.header {
				t.Errorf("header %s, want %s", got, c.header)
			}
		})
	}
}

func TestAnswerWithoutNext(t *testing.T) {
	h := newFakeHost(t, "GET", "/", "")
	a := h.adapter(pass(func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		http.Error(w, "forbidden", http.StatusForbidden)
	}))
	if r := a.handleRequest(); r != 0 || h.responseStatus != 403 {
		t.Errorf("handle_request returned %d with status %d", r, h.responseStatus)
	}
}

func TestNextFails(t *testing.T) {
	h := newFakeHost(t, "GET", "/", "")
	deferred, returned := false, false
	a := h.adapter(pass(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		defer func() { deferred = true }()
		next.ServeHTTP(w, r)
		returned = true
	}))
	id := begin(t, a)
	h.phase = "response"
	a.handleResponse(id, true)
	if !deferred || returned || h.replaced[ofResponse] || len(a.pending) != 0 {
		t.Errorf("deferred %v, returned %v, body written %v, pending %d",
			deferred, returned, h.replaced[ofResponse], len(a.pending))
	}
}

func TestRequestsInFlight(t *testing.T) {
	h := newFakeHost(t, "GET", "/", "")
	var order []string
	a := h.adapter(pass(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		name := r.URL.Path
		next.ServeHTTP(w, r)
		order = append(order, name)
	}))
	first := begin(t, a)
	h.requestURI = "/second"
	second := begin(t, a)
	h.respond(200, "")
	a.handleResponse(second, false)
	a.handleResponse(first, false)
	a.handleResponse(first, false) // unknown by now, and ignored
	if got := strings.Join(order, " "); first == second || got != "/second /" {
		t.Errorf("contexts %d and %d, finished in order %q", first, second, got)
	}
}

// TestMisuse checks what next refuses; the panics are caught in the handler, where a program would end.
func TestMisuse(t *testing.T) {
	for _, c := range []struct {
		name, want string
		features   uint32
		call       func(w http.ResponseWriter, r *http.Request, next http.Handler)
	}{
		{"foreign context", "context", bufferResponse, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			next.ServeHTTP(w, r.WithContext(t.Context()))
		}},
		{"answered before", "answered", bufferResponse, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			w.WriteHeader(200)
			next.ServeHTTP(w, r)
		}},
		{"no buffering", "buffer", 0, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			next.ServeHTTP(upper{w}, r)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newFakeHost(t, "GET", "/", "")
			h.supported = c.features
			message := ""
			a := h.adapter(pass(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				defer func() { message = fmt.Sprint(recover()) }()
				c.call(w, r, next)
			}))
			a.handleRequest()
			if !strings.Contains(message, c.want) {
				t.Errorf("panic %q, want something about %q", message, c.want)
			}
		})
	}
}
