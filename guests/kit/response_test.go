package kit

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
)

func TestResponse(t *testing.T) {
	long := strings.Repeat("x", 3*bufferSize+5)
	for _, c := range []struct {
		name    string
		handler http.HandlerFunc
		status  int
		body    string
		header  http.Header
	}{
		{"nothing", func(http.ResponseWriter, *http.Request) {}, 200, "", http.Header{}},
		{"sniffed", func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, "<html>")
		}, 200, "<html>", http.Header{"Content-Type": {"text/html; charset=utf-8"}}},
		{"not sniffed when suppressed", func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = nil
			fmt.Fprint(w, "<html>")
		}, 200, "<html>", http.Header{}},
		{"not sniffed when encoded", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			fmt.Fprint(w, "<html>")
		}, 200, "<html>", http.Header{"Content-Encoding": {"gzip"}}},
		{"first status wins", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(103)
			w.WriteHeader(404)
			w.WriteHeader(500)
		}, 404, "", http.Header{}},
		{"head is fixed", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-A", "1")
			w.WriteHeader(201)
			w.Header().Set("X-A", "2")
			w.Header().Set("X-B", "2")
		}, 201, "", http.Header{"X-A": {"1"}}},
		{"repeated fields", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Add("Set-Cookie", "a=1")
			w.Header().Add("Set-Cookie", "b=2")
		}, 200, "", http.Header{"Set-Cookie": {"a=1", "b=2"}}},
		{"bad fields", func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["X-Split"] = []string{" a\r\nb "}
			w.Header()["bad name"] = []string{"x"}
			w.Header()[""] = []string{"x"}
		}, 200, "", http.Header{"X-Split": {"a  b"}}},
		{"long", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "a/b")
			n, err := io.WriteString(w, long)
			if n != len(long) || err != nil {
				t.Errorf("wrote %d, %v", n, err)
			}
		}, 200, long, http.Header{"Content-Type": {"a/b"}}},
		{"no body allowed", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(204)
			if _, err := w.Write([]byte("x")); err != http.ErrBodyNotAllowed {
				t.Errorf("write to a 204: %v", err)
			}
		}, 204, "", http.Header{}},
		{"more than declared", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "2")
			w.Header()["Content-Type"] = nil
			if _, err := w.Write([]byte("ab")); err != nil {
				t.Error(err)
			}
			if _, err := w.Write([]byte("c")); err != http.ErrContentLength {
				t.Errorf("write past Content-Length: %v", err)
			}
		}, 200, "ab", http.Header{"Content-Length": {"2"}}},
		{"absurd length", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "+2")
		}, 200, "", http.Header{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newFakeHost(t, "GET", "/", "")
			if next := h.serve(c.handler); next != 0 {
				t.Errorf("handle_request returned %d", next)
			}
			if h.responseStatus != c.status || h.body() != c.body {
				t.Errorf("status %d, body %.60q", h.responseStatus, h.body())
			}
			if got, want := fmt.Sprint(h.headers[ofResponse]), fmt.Sprint(c.header); got != want {
				t.Errorf("header %s, want %s", got, want)
			}
		})
	}
}

func TestFewHostCalls(t *testing.T) {
	h := newFakeHost(t, "GET", "/", "")
	h.serve(func(w http.ResponseWriter, _ *http.Request) {
		for range 1000 {
			fmt.Fprint(w, "0123456789")
		}
	})
	if len(h.pieces) != 1 || len(h.pieces[0]) != 10000 {
		t.Errorf("%d calls of write_body", len(h.pieces))
	}
}

func TestFlush(t *testing.T) {
	h := newFakeHost(t, "GET", "/", "")
	h.serve(func(w http.ResponseWriter, _ *http.Request) {
		for _, s := range []string{"one", "two"} {
			fmt.Fprint(w, s)
			if err := http.NewResponseController(w).Flush(); err != nil {
				t.Error(err)
			}
			if !strings.HasSuffix(h.body(), s) {
				t.Errorf("after Flush the host has %q", h.body())
			}
		}
	})
	if want := []string{"one", "", "two", ""}; !slices.Equal(h.pieces, want) {
		t.Errorf("pieces %q, want %q", h.pieces, want)
	}
}

func TestInvalidStatusPanics(t *testing.T) {
	w := newResponse(newFakeHost(t, "GET", "/", ""))
	defer func() {
		if recover() == nil {
			t.Error("WriteHeader(99) did not panic")
		}
	}()
	w.WriteHeader(99)
}

func TestTrailers(t *testing.T) {
	for _, supported := range []bool{true, false} {
		h := newFakeHost(t, "GET", "/", "")
		want := "map[X-Late:[3] X-Sum:[42]]"
		if !supported {
			h.supported, want = bufferResponse, "map[]"
		}
		h.serve(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Trailer", "x-sum, X-Unset")
			w.Header().Set("X-Sum", "early")
			fmt.Fprint(w, "body")
			w.Header().Set("X-Sum", "42")
			w.Header().Set(http.TrailerPrefix+"X-Late", "3")
			w.Header().Set("X-Ignored", "1")
		})
		if got := fmt.Sprint(h.headers[ofResponseTrailer]); got != want {
			t.Errorf("trailers %s, want %s", got, want)
		}
		if got := h.headers[ofResponse]; len(got) != 1 || got.Get("Content-Type") == "" {
			t.Errorf("header %v", got)
		}
	}
}
