package upstream

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/internal/fault"
)

// sink is the front end of a test. Its pieces are what was on the wire after each flush.
type sink struct {
	status   int
	length   int64
	fields   exchange.Fields
	trailers exchange.Fields
	body     bytes.Buffer
	pieces   chan string
	closed   bool
	aborted  bool
	err      error
}

func (s *sink) WriteHead(status int, fields exchange.Fields, length int64) error {
	s.status, s.length, s.fields = status, length, slices.Clone(fields)
	return nil
}

func (s *sink) Write(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	return s.body.Write(p)
}

func (s *sink) Flush() error {
	if s.pieces != nil {
		s.pieces <- s.body.String()
	}
	return nil
}

func (s *sink) Close(trailers exchange.Fields) error {
	s.closed, s.trailers = true, slices.Clone(trailers)
	return nil
}

func (s *sink) Abort() { s.aborted = true }

func newExchange(method, target, body string) (*exchange.Exchange, *sink) {
	x := &exchange.Exchange{Request: exchange.Request{
		Method: method, Target: target, Proto: "HTTP/1.1", Scheme: "https", Host: "example.com",
		Body: strings.NewReader(body), ContentLength: int64(len(body)), RemoteAddr: "192.0.2.7:1234", ID: "r1",
	}}
	s := &sink{}
	x.Response.Reset(s, method)
	return x, s
}

func newHandler(t *testing.T, url string) *Handler {
	t.Helper()
	h, err := New(url, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	return h
}

// serve serves x as a front end does.
func serve(ctx context.Context, h exchange.Handler, x *exchange.Exchange) error {
	err := h.Serve(ctx, x)
	if err == nil {
		return x.Response.Finish()
	}
	x.Response.Abort()
	return err
}

func listen(t *testing.T, f http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(f)
	t.Cleanup(s.Close)
	return s
}

func TestRequest(t *testing.T) {
	var got *http.Request
	var body string
	up := listen(t, func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got, body = r, string(b)
	})
	tests := []struct {
		name, prefix string
		do           func(r *exchange.Request)
		check        func(t *testing.T)
	}{
		{"as it is", "", func(*exchange.Request) {}, func(t *testing.T) {
			if got.Method != "POST" || got.RequestURI != "/a%2Fb?c=d%26&e" || got.Host != "example.com" || body != "the body" || got.ContentLength != 8 {
				t.Errorf("%s %s, host %s, body %q of %d", got.Method, got.RequestURI, got.Host, body, got.ContentLength)
			}
			want := map[string]string{"X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "example.com", "Accept-Encoding": "", "User-Agent": ""}
			for name, value := range want {
				if have := strings.Join(got.Header[name], "|"); have != value {
					t.Errorf("%s is %q, want %q", name, have, value)
				}
			}
		}},
		{"prefix", "/app/", func(*exchange.Request) {}, func(t *testing.T) {
			if got.RequestURI != "/app/a%2Fb?c=d%26&e" {
				t.Errorf("URI %s", got.RequestURI)
			}
		}},
		{"fields", "", func(r *exchange.Request) {
			r.Fields = exchange.Fields{
				{Name: "x-multi", Value: "1"},
				{Name: "X-Multi", Value: "2"},
				{Name: "User-Agent", Value: "ua"},
				{Name: "Expect", Value: "100-continue"},
				{Name: "X-Forwarded-For", Value: "198.51.100.1"},
				{Name: "Content-Length", Value: "8"},
				{Name: "Accept-Encoding", Value: "br"},
			}
		}, func(t *testing.T) {
			want := map[string]string{"X-Multi": "1|2", "User-Agent": "ua", "Expect": "", "X-Forwarded-For": "198.51.100.1, 192.0.2.7", "Accept-Encoding": "br"}
			for name, value := range want {
				if have := strings.Join(got.Header[name], "|"); have != value {
					t.Errorf("%s is %q, want %q", name, have, value)
				}
			}
		}},
		{"unix client", "", func(r *exchange.Request) { r.RemoteAddr = "" }, func(t *testing.T) {
			if got.Header.Get("X-Forwarded-For") != "" {
				t.Errorf("X-Forwarded-For is %q", got.Header.Get("X-Forwarded-For"))
			}
		}},
		{"no body", "", func(r *exchange.Request) { r.Body, r.ContentLength = strings.NewReader(""), 0 }, func(t *testing.T) {
			if got.ContentLength != 0 || len(got.TransferEncoding) != 0 {
				t.Errorf("length %d, coding %v", got.ContentLength, got.TransferEncoding)
			}
		}},
		{"chunked with trailers", "", func(r *exchange.Request) {
			r.Body = &trailing{strings.NewReader("the body"), r}
			r.ContentLength = -1
		}, func(t *testing.T) {
			if body != "the body" || got.Trailer.Get("X-Sum") != "9" || got.Trailer.Get("Authorization") != "" {
				t.Errorf("body %q, trailers %v", body, got.Trailer)
			}
		}},
		{"of the server", "", func(r *exchange.Request) { r.Method, r.Target = "OPTIONS", "*" }, func(*testing.T) {}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			x, s := newExchange("POST", "/a%2Fb?c=d%26&e", "the body")
			tt.do(&x.Request)
			got = nil
			if err := serve(t.Context(), newHandler(t, up.URL+tt.prefix), x); err != nil {
				t.Fatal(err)
			}
			if got != nil {
				tt.check(t)
			} else if x.Request.Target != "*" { // which net/http answers itself
				t.Error("nothing arrived")
			}
			if s.status != 200 {
				t.Errorf("status %d", s.status)
			}
		})
	}
}

// trailing is a body whose end brings trailers, as front ends' do.
type trailing struct {
	io.Reader
	r *exchange.Request
}

func (b *trailing) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err == io.EOF {
		b.r.Trailers = exchange.Fields{{Name: "x-sum", Value: "9"}, {Name: "Authorization", Value: "no"}}
	}
	return n, err
}

func TestResponse(t *testing.T) {
	large := strings.Repeat("x", 3*exchange.BufferSize)
	tests := []struct {
		name, method string
		answer       http.HandlerFunc
		status       int
		length       int64
		body         string
		fields       map[string]string
		trailers     exchange.Fields
	}{
		{"plain", "GET", func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Set-Cookie"] = []string{"a=1", "b=2"}
			w.Header().Set("Content-Type", "text/x")
			w.Header().Set("Keep-Alive", "x")
			w.WriteHeader(404)
			_, _ = io.WriteString(w, "no")
		}, 404, 2, "no", map[string]string{"Set-Cookie": "a=1|b=2", "Content-Type": "text/x", "Keep-Alive": "", "X-Early": "1", "Vary": "Origin"}, nil},
		{"large", "GET", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(len(large)))
			w.Header().Add("Vary", "Cookie")
			_, _ = io.WriteString(w, large)
		}, 200, int64(len(large)), large, map[string]string{"Vary": "Origin|Cookie"}, nil},
		{"chunked", "GET", func(w http.ResponseWriter, _ *http.Request) {
			w.(http.Flusher).Flush()
			_, _ = io.WriteString(w, "abc")
		}, 200, -1, "abc", nil, nil},
		{"trailers", "GET", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Trailer", "X-Sum, x-none, Content-Type")
			_, _ = io.WriteString(w, "abc")
			w.(http.Flusher).Flush()
			w.Header().Set("X-Sum", "9")
			w.Header().Set(http.TrailerPrefix+"X-Late", "8")
		}, 200, -1, "abc", map[string]string{"X-Sum": "", "Trailer": ""}, exchange.Fields{{Name: "X-Late", Value: "8"}, {Name: "X-Sum", Value: "9"}}},
		{"head", "HEAD", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "77") }, 200, 77, "", nil, nil},
		{"not modified", "GET", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("ETag", `"1"`)
			w.WriteHeader(304)
		}, 304, -1, "", map[string]string{"Etag": `"1"`}, nil},
		{"no content", "GET", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }, 204, -1, "", nil, nil},
		{"early hints", "GET", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Link", "</a>")
			w.WriteHeader(103)
			_, _ = io.WriteString(w, "abc")
		}, 200, 3, "abc", map[string]string{"Link": "</a>"}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			up := listen(t, tt.answer)
			x, s := newExchange(tt.method, "/", "")
			x.Response.Fields = exchange.Fields{{Name: "X-Early", Value: "1"}, {Name: "content-type", Value: "text/early"}, {Name: "Vary", Value: "Origin"}}
			if err := serve(t.Context(), newHandler(t, up.URL), x); err != nil {
				t.Fatal(err)
			}
			if s.status != tt.status || s.length != tt.length || s.body.String() != tt.body || !s.closed {
				t.Errorf("status %d, length %d, body %.30q", s.status, s.length, s.body.String())
			}
			for name, value := range tt.fields {
				if have := strings.Join(s.fields.Values(name), "|"); have != value {
					t.Errorf("%s is %q, want %q", name, have, value)
				}
			}
			if !slices.Equal(s.trailers, tt.trailers) {
				t.Errorf("trailers %v", s.trailers)
			}
		})
	}
}

// TestStreaming has a conversation: each side sends when it has got what the other sent before.
func TestStreaming(t *testing.T) {
	up := listen(t, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		in := bufio.NewReader(r.Body)
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				return
			}
			_, _ = io.WriteString(w, "re: "+line)
			w.(http.Flusher).Flush()
		}
	})
	x, s := newExchange("POST", "/", "")
	in, out := io.Pipe()
	x.Request.Body, x.Request.ContentLength = in, -1
	s.pieces = make(chan string, 1)
	done := make(chan error, 1)
	h := newHandler(t, up.URL)
	go func() { done <- serve(t.Context(), h, x) }()
	want := ""
	for _, line := range []string{"one\n", "two\n"} {
		if _, err := io.WriteString(out, line); err != nil {
			t.Fatal(err)
		}
		want += "re: " + line
		for have := ""; have != want; {
			select {
			case have = <-s.pieces:
			case err := <-done:
				t.Fatalf("ended early: %v", err)
			}
		}
	}
	_ = out.Close()
	for {
		select {
		case <-s.pieces:
			continue
		case err := <-done:
			if err != nil || s.body.String() != want {
				t.Errorf("%v, body %q", err, s.body.String())
			}
		}
		return
	}
}

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	up := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Host+r.RequestURI)
	})}
	var wg sync.WaitGroup
	wg.Go(func() { _ = up.Serve(l) })
	defer wg.Wait()
	defer func() { _ = up.Close() }()
	for _, url := range []string{"unix:" + path, "unix://" + path} {
		x, s := newExchange("GET", "/a?b", "")
		if err := serve(t.Context(), newHandler(t, url), x); err != nil {
			t.Fatal(err)
		}
		if s.body.String() != "example.com/a?b" {
			t.Errorf("body %q", s.body.String())
		}
	}
}

func TestTLSIsVerified(t *testing.T) {
	up := httptest.NewTLSServer(http.NotFoundHandler())
	defer up.Close()
	up.Config.ErrorLog = stdLog(slog.New(slog.DiscardHandler))
	x, _ := newExchange("GET", "/", "")
	if f := exchange.AsFailure(serve(t.Context(), newHandler(t, up.URL), x)); f.Status != 502 || !strings.Contains(f.Error(), "certificate") {
		t.Errorf("have %+v", f)
	}
}

func TestBadURLs(t *testing.T) {
	for _, raw := range []string{
		"", "localhost:8080", "localhost", "ftp://host", "http://", "http:///path", "//host", "http://a b", "unix:", "unix:rel",
		"http://host?q", "http://host/#f", "http://user:secret@host", "ftp://user:secret@host", "http://user:secret@ho st", "http://user:secret@host?q",
		"http://[::1", "http://host:port",
	} {
		_, err := New(raw, nil)
		var f *fault.Error
		if !errors.As(err, &f) || f.Hint == "" {
			t.Errorf("%q: %#v", raw, err)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: the error tells the password: %v", raw, err)
		}
	}
}

func TestRemarksAreAttributes(t *testing.T) {
	var out strings.Builder
	l := stdLog(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})))
	l.Print("evil\nline")
	if !strings.Contains(out.String(), `msg="Upstream proxy" text="evil\nline"`) {
		t.Errorf("logged %q", out.String())
	}
}
