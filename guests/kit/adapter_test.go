package kit

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestRequest(t *testing.T) {
	h := newFakeHost(t, "PUT", "/a%2Fb?q=1&q=2", "hello")
	h.headers[ofRequest]["Content-Length"] = []string{"5"}
	h.headers[ofRequest]["X-Twice"] = []string{"1", "2"}
	h.headers[ofRequest].Set("X-Long", strings.Repeat("v", 5000))
	h.headers[ofRequestTrailer].Set("X-Sum", "42")
	h.serve(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || string(body) != "hello" {
			t.Errorf("body %q, %v", body, err)
		}
		if r.Trailer.Get("X-Sum") != "42" {
			t.Errorf("trailer %v", r.Trailer)
		}
		for _, c := range []struct{ what, got, want string }{
			{"method", r.Method, "PUT"},
			{"path", r.URL.Path, "/a/b"},
			{"escaped path", r.URL.EscapedPath(), "/a%2Fb"},
			{"query", r.URL.RawQuery, "q=1&q=2"},
			{"target", r.RequestURI, "/a%2Fb?q=1&q=2"},
			{"host", r.Host, "example.com"},
			{"host field", r.Header.Get("Host"), ""},
			{"repeated field", strings.Join(r.Header["X-Twice"], "|"), "1|2"},
			{"long field", r.Header.Get("X-Long"), strings.Repeat("v", 5000)},
			{"remote address", r.RemoteAddr, "192.0.2.1:1234"},
		} {
			if c.got != c.want {
				t.Errorf("%s: got %q, want %q", c.what, c.got, c.want)
			}
		}
		if r.ContentLength != 5 || !r.ProtoAtLeast(1, 1) {
			t.Errorf("length %d, version %d.%d", r.ContentLength, r.ProtoMajor, r.ProtoMinor)
		}
	})
}

func TestContentLength(t *testing.T) {
	for _, c := range []struct {
		name, method, length, body string
		want                       int64
	}{
		{"get without body", "GET", "", "", 0},
		{"get with chunked body", "GET", "", "x", -1},
		{"get with body", "GET", "1", "x", 1},
		{"post without length", "POST", "", "xyz", -1},
		{"post of nothing", "POST", "0", "", 0},
		{"delete", "DELETE", "", "", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newFakeHost(t, c.method, "/", c.body)
			if c.length != "" {
				h.headers[ofRequest].Set("Content-Length", c.length)
			}
			h.serve(func(_ http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				if r.ContentLength != c.want || string(body) != c.body || err != nil {
					t.Errorf("length %d, body %q, error %v", r.ContentLength, body, err)
				}
				if (r.Body == http.NoBody) != (c.want == 0) {
					t.Errorf("body is %T", r.Body)
				}
			})
		})
	}
}

func TestTargets(t *testing.T) {
	for _, c := range []struct {
		method, target, path string
		status               int
	}{
		{"OPTIONS", "*", "*", 200},
		{"GET", "//a/b", "//a/b", 200},
		{"GET", "/%zz", "", 400},
	} {
		h := newFakeHost(t, c.method, c.target, "")
		h.serve(func(_ http.ResponseWriter, r *http.Request) {
			if r.URL.Path != c.path {
				t.Errorf("%s: path %q, want %q", c.target, r.URL.Path, c.path)
			}
		})
		if h.responseStatus != c.status {
			t.Errorf("%s: status %d, want %d", c.target, h.responseStatus, c.status)
		}
	}
}

func TestBodyAfterClose(t *testing.T) {
	newFakeHost(t, "POST", "/", "x").serve(func(_ http.ResponseWriter, r *http.Request) {
		if err := r.Body.Close(); err != nil {
			t.Error(err)
		}
		if _, err := r.Body.Read(make([]byte, 1)); err != http.ErrBodyReadAfterClose {
			t.Errorf("read after close: %v", err)
		}
	})
}

func TestAbortHandler(t *testing.T) {
	h := newFakeHost(t, "GET", "/", "")
	code := 0
	m := func(http.Handler) http.Handler {
		return http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	}
	newAdapter(h, m, func(c int) { code = c }).handleRequest()
	if code != 2 || h.replaced[ofResponse] {
		t.Errorf("exit code %d, body written %v", code, h.replaced[ofResponse])
	}
}

func TestContextEndsWithRequest(t *testing.T) {
	var done <-chan struct{}
	newFakeHost(t, "GET", "/", "").serve(func(_ http.ResponseWriter, r *http.Request) { done = r.Context().Done() })
	select {
	case <-done:
	default:
		t.Error("the request's context is not done after the request")
	}
}

func TestNoHandler(t *testing.T) {
	defer func() {
		if e := recover(); e == nil || !strings.Contains(e.(string), "call kit.Handle") {
			t.Errorf("panic %v", e)
		}
	}()
	handler(http.NotFoundHandler())
}
