package guests_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/host/boundary"
	"github.com/appserver-go/appserver/host/outbound"
	"github.com/appserver-go/appserver/internal/allowlist"
)

// forms are the kinds of guests that the kit makes.
var forms = []struct {
	name  string
	flags []string
	reset bool
	stdio bool
}{
	{"httpwasm", []string{"-buildmode=c-shared"}, true, false},
	{"cgi", []string{"-tags", "cgi"}, true, false},
	{"stdio", []string{"-tags", "stdio"}, false, true},
}

// outside is a server that guests may call, and what it has seen.
type outside struct {
	*httptest.Server
	*http.ServeMux
	waits chan struct{} // gets an item when a request waits, and another when it has been given up
}

func newOutside(t *testing.T) *outside {
	t.Helper()
	o := &outside{ServeMux: http.NewServeMux(), waits: make(chan struct{}, 10)}
	o.HandleFunc("/ok/", func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		w.Header().Set("Trailer", "X-Sum")
		w.Header().Add("X-From", "a")
		w.Header().Add("X-From", "b")
		fmt.Fprintf(w, "%s %s %d %d %q", r.Method, r.RequestURI, n, r.ContentLength, r.Header)
		w.Header().Set("X-Sum", "42")
	})
	o.HandleFunc("/redirect", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.FormValue("to"), http.StatusFound) })
	o.HandleFunc("/slow", func(_ http.ResponseWriter, r *http.Request) {
		o.waits <- struct{}{}
		<-r.Context().Done()
		o.waits <- struct{}{}
	})
	o.HandleFunc("/huge", func(w http.ResponseWriter, _ *http.Request) {
		for piece := make([]byte, 1<<20); ; {
			if _, err := w.Write(piece); err != nil {
				return
			}
		}
	})
	o.HandleFunc("/endless", func(w http.ResponseWriter, _ *http.Request) { // a head without an end
		c, buf, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer c.Close()
		_, _ = buf.WriteString("HTTP/1.1 200 OK\r\n")
		for {
			if _, err := buf.WriteString("X-More: " + strings.Repeat("y", 1000) + "\r\n"); err != nil {
				return
			}
		}
	})
	o.HandleFunc("/cut", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = w.Write([]byte("part"))
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	o.HandleFunc("/early", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "close")
		w.WriteHeader(http.StatusRequestEntityTooLarge)
	})
	o.Server = httptest.NewServer(o.ServeMux)
	t.Cleanup(func() {
		o.CloseClientConnections()
		o.Close()
	})
	return o
}

// boundaryOf makes a boundary and returns its log.
func boundaryOf(t *testing.T, o boundary.Options, allow ...string) (*boundary.Boundary, *lines) {
	t.Helper()
	var err error
	if o.Allow, err = allowlist.Parse(allow); err != nil {
		t.Fatal(err)
	}
	client := outbound.New()
	t.Cleanup(client.Close)
	log := &lines{}
	o.Client, o.Log = client, slog.New(slog.NewTextHandler(lineWriter{log}, nil))
	return boundary.New(o), log
}

type lineWriter struct{ *lines }

func (w lineWriter) Write(p []byte) (int, error) { w.add(string(p)); return len(p), nil }

// fetch has the guest call a URL.
func fetch(ctx context.Context, h exchange.Handler, target string, more ...string) *answer {
	q := url.Values{"url": {target}}
	for i := 0; i < len(more); i += 2 {
		q.Set(more[i], more[i+1])
	}
	return serve(ctx, h, request("GET", "/fetch?"+q.Encode(), ""))
}

func TestOutbound(t *testing.T) {
	refused := httptest.NewServer(nil)
	refused.Close()
	other := newOutside(t)
	for _, form := range forms {
		t.Run(form.name, func(t *testing.T) {
			t.Parallel()
			o := newOutside(t)
			b, log := boundaryOf(t, boundary.Options{MaxBody: 4 << 20, Calls: 20, Timeout: time.Minute},
				o.URL, refused.URL, other.URL+"/only/")
			h := mustLoad(t, build(t, filepath.Join("testdata", "outbound"), form.flags...), options{
				reset: form.reset, stdio: form.stdio, boundary: b, env: []string{"CALL_AT_START=" + o.URL + "/ok/start"},
			})
			for _, c := range []struct {
				name, url string
				more      []string
				want      string // a part of what the guest tells
			}{
				{"allowed", o.URL + "/ok/a?b=c", nil, `200 OK, `},
				{"target and fields", o.URL + "/ok/a%20b?b=c", []string{"field", "X-Mine"}, `GET /ok/a%20b?b=c 0 0 map["X-Mine":["1"]]`},
				{"trailer", o.URL + "/ok/", nil, `length -1, sum "42", from ["a" "b"]`},
				{"head", o.URL + "/ok/", []string{"method", "HEAD"}, `200 OK, 0 bytes`},
				{"body", o.URL + "/ok/", []string{"method", "POST", "size", "3000000"}, `POST /ok/ 3000000 3000000`},
				{"chunked body", o.URL + "/ok/", []string{"method", "PUT", "size", "300000", "chunked", ""}, `PUT /ok/ 300000 -1`},
				{"empty body", o.URL + "/ok/", []string{"method", "POST", "size", "0"}, `POST /ok/ 0 0`},
				{"body too large", o.URL + "/ok/", []string{"method", "POST", "size", "5000000"}, `error: code -5,`},
				{"chunked body too large", o.URL + "/ok/", []string{"method", "POST", "size", "5000000", "chunked", ""}, `error: code -5,`},
				{"body nobody wants", o.URL + "/early", []string{"method", "POST", "size", "4000000"}, `413 Request Entity Too Large`},
				{"redirect on the list", o.URL + "/redirect?to=/ok/there", nil, `GET /ok/there`},
				{"redirect off the list", o.URL + "/redirect?to=" + url.QueryEscape(other.URL+"/ok/"), nil, `error: code -2,`},
				{"path off the list", other.URL + "/ok/", nil, `error: code -2, Get "` + other.URL + `/ok/": appserver: ` + other.URL + `/ok/ is not in guest.outbound`},
				{"host off the list", "https://example.com/", nil, `error: code -2,`},
				{"another Host", o.URL + "/ok/", []string{"host", "internal"}, `error: code -1,`},
				{"field of the connection", o.URL + "/ok/", []string{"field", "Upgrade"}, `error: code -1,`},
				{"method", o.URL + "/ok/", []string{"method", "CONNECT"}, `error: code -1,`},
				{"path that leads upwards", other.URL + "/only/../ok/", nil, `error: code -1,`},
				{"refused", refused.URL, nil, `error: code -7,`},
				{"cut", o.URL + "/cut", nil, `error: code -8,`},
				{"huge", o.URL + "/huge", nil, `error: code -5,`},
				{"endless head", o.URL + "/endless", nil, `error: code -8,`},
				{"timeout", o.URL + "/slow", []string{"timeout", "50ms"}, `error: code -6,`},
			} {
				a := fetch(t.Context(), h, c.url, c.more...)
				if a.err != nil || !strings.Contains(string(a.body), c.want) {
					t.Errorf("%s: %q, %v, want %q", c.name, a.body, a.err, c.want)
				}
			}
			if a := serve(t.Context(), h, request("GET", "/start", "")); !strings.Contains(string(a.body), "code -3") {
				t.Errorf("a call at the start: %q, %v", a.body, a.err)
			}
			for _, target := range []string{other.URL, "https://example.com"} {
				if n := strings.Count(log.String(), "target="+target); n != 1 {
					t.Errorf("%s is in the log %d times:\n%s", target, n, log)
				}
			}
			t.Run("many", func(t *testing.T) { outboundMany(t, h, o) })
			t.Run("leave", func(t *testing.T) { outboundLeave(t, h, o) })
			t.Run("over", func(t *testing.T) { outboundOver(t, h, o) })
		})
	}
}

// outboundMany has several requests make several calls at a time, which wait for each other, and one make too many.
func outboundMany(t *testing.T, h exchange.Handler, o *outside) {
	var meeting sync.WaitGroup
	const calls = 5
	meeting.Add(calls)
	o.HandleFunc("/meet/", func(w http.ResponseWriter, r *http.Request) {
		meeting.Done()
		meeting.Wait()
		_, _ = io.WriteString(w, r.URL.Path)
	})
	call := func(n int, path string) *answer {
		return serve(t.Context(), h, request("GET", fmt.Sprintf("/many?n=%d&url=%s", n, url.QueryEscape(o.URL+path)), ""))
	}
	a := call(calls, "/meet/")
	if want := "/meet/0\n/meet/1\n/meet/2\n/meet/3\n/meet/4"; string(a.body) != want {
		t.Errorf("calls at a time: %q, %v", a.body, a.err)
	}
	a = call(18, "/ok/")
	if !strings.Contains(string(a.body), "16 calls are open") || !strings.Contains(string(a.body), "GET /ok/") {
		t.Errorf("18 calls at a time: %q, %v", a.body, a.err)
	}
	a = call(40, "/ok/")
	if !strings.Contains(string(a.body), "guest.outbound_calls") && !strings.Contains(string(a.body), "are open") {
		t.Errorf("40 calls: %q, %v", a.body, a.err)
	}
	var clients sync.WaitGroup
	for i := range 8 {
		clients.Go(func() {
			for range 3 {
				if a := fetch(t.Context(), h, fmt.Sprintf("%s/ok/%d", o.URL, i)); !strings.Contains(string(a.body), fmt.Sprintf("GET /ok/%d ", i)) {
					t.Errorf("%d: %q, %v", i, a.body, a.err)
				}
			}
		})
	}
	clients.Wait()
}

// outboundLeave checks that what a request leaves open ends with it, and is nothing to the next.
func outboundLeave(t *testing.T, h exchange.Handler, o *outside) {
	gone := make(chan struct{}, 1)
	o.HandleFunc("/left", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "a part")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		gone <- struct{}{}
	})
	leave := "/leave?url=" + url.QueryEscape(o.URL+"/left")
	if a := serve(t.Context(), h, request("GET", leave, "")); string(a.body) != "left: <nil>" {
		t.Fatalf("%q, %v", a.body, a.err)
	}
	<-gone
	a := serve(t.Context(), h, request("GET", leave, ""))
	if body := string(a.body); body != "left: <nil>" && !strings.Contains(body, "code -4") { // reset, or kept
		t.Errorf("%q, %v", a.body, a.err)
	} else if body == "left: <nil>" {
		<-gone
	}
}

// outboundOver checks that a call ends when the time of its request is up, and when its client has gone.
func outboundOver(t *testing.T, h exchange.Handler, o *outside) {
	for name, end := range map[string]func(ctx context.Context) (context.Context, func()){
		"deadline": func(ctx context.Context) (context.Context, func()) {
			ctx, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
			return ctx, func() { <-ctx.Done(); cancel() }
		},
		"cancel": func(ctx context.Context) (context.Context, func()) {
			ctx, cancel := context.WithCancel(ctx)
			return ctx, cancel
		},
	} {
		ctx, stop := end(t.Context())
		answered := make(chan *answer, 1)
		go func() { answered <- fetch(ctx, h, o.URL+"/slow") }()
		<-o.waits
		stop()
		a := <-answered
		var f *exchange.Failure
		if !errors.As(a.err, &f) || name == "deadline" && f.Status != 504 {
			t.Errorf("%s: status %d, %q, %v", name, a.status, a.body, a.err)
		}
		<-o.waits // the call was given up
		if a := fetch(t.Context(), h, o.URL+"/ok/"); !strings.Contains(string(a.body), "200 OK") {
			t.Errorf("after %s: %q, %v", name, a.body, a.err)
		}
	}
}

// A guest that was given no boundary is told so.
func TestOutboundOff(t *testing.T) {
	o := newOutside(t)
	guest := build(t, filepath.Join("testdata", "outbound"), "-buildmode=c-shared")
	if a := fetch(t.Context(), mustLoad(t, guest, options{}), o.URL+"/ok/"); !strings.Contains(string(a.body), "code -2") {
		t.Errorf("%q, %v", a.body, a.err)
	}
}
