package dev

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// stage is a Front before a server that is a function.
type stage struct {
	t       *testing.T
	hub     *Hub
	journal *Journal
	front   *Front
	url     string
	told    chan *Report
}

func newStage(t *testing.T, server http.HandlerFunc) *stage {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	back := &http.Server{Handler: server}
	go back.Serve(l)
	s := &stage{t: t, hub: NewHub(), journal: NewJournal(), told: make(chan *Report, 100)}
	s.front = NewFront(FrontOptions{
		Project: Module(filepath.Join(t.TempDir(), "app.wasm")), Socket: socket, IDField: "X-Request-Id", Hub: s.hub, Journal: s.journal,
		Log: slog.New(slog.DiscardHandler), Tell: func(r *Report) { s.told <- r },
	})
	web := httptest.NewServer(s.front)
	s.url = web.URL
	t.Cleanup(func() { web.CloseClientConnections(); web.Close(); back.Close() })
	return s
}

// browserFields are those of a browser that loads a document.
var browserFields = map[string]string{"Accept": "text/html,*/*", "Sec-Fetch-Dest": "document"}

// do makes a request and returns the response with its body.
func (s *stage) do(method, path string, fields map[string]string) (*http.Response, string) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	for name, value := range fields {
		if name == "Host" {
			req.Host = value
			continue
		}
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp, string(body)
}

// A page gets the script at its end; whatever is no page, or nobody looks at, stays as the guest has made it.
func TestScriptIsAddedToPagesOnly(t *testing.T) {
	s := newStage(t, func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		for _, name := range []string{"Content-Type", "Content-Encoding"} {
			if v := q.Get(name); v != "" {
				w.Header().Set(name, v)
			}
		}
		if n, err := strconv.Atoi(q.Get("status")); err == nil {
			w.WriteHeader(n)
		}
		io.WriteString(w, "<p>page</p>")
		if q.Has("flush") {
			w.(http.Flusher).Flush()
			io.WriteString(w, "<p>more</p>")
		}
	})
	s.hub.Serve()
	html := "?Content-Type=text/html"
	for _, c := range []struct {
		method, query string
		fields        map[string]string
		added         bool
	}{
		{"GET", html, browserFields, true},
		{"GET", html + "%3Bcharset%3Dutf-8", browserFields, true},
		{"GET", html + "&flush", browserFields, true},
		{"GET", html + "&status=404", browserFields, true},
		{"GET", html, map[string]string{"Accept": "text/html"}, true},
		{"GET", html, map[string]string{"Sec-Fetch-Dest": "iframe"}, true},
		{"GET", html, map[string]string{"Sec-Fetch-Dest": "empty", "Accept": "text/html"}, false}, // fetch
		{"GET", html, nil, false},
		{"POST", html, browserFields, false},
		{"HEAD", html, browserFields, false},
		{"GET", html + "&status=206", browserFields, false},
		{"GET", html + "&Content-Encoding=br", browserFields, false},
		{"GET", "?Content-Type=text/plain", browserFields, false},
		{"GET", "?Content-Type=%3B%3B", browserFields, false},
	} {
		resp, body := s.do(c.method, "/"+c.query, c.fields)
		if added := strings.Contains(body, "reload.js"); added != c.added {
			t.Errorf("%s %s %v: added is %v", c.method, c.query, c.fields, added)
		}
		if c.method != "HEAD" && !strings.HasPrefix(body, "<p>page</p>") || resp.ContentLength >= 0 && c.method != "HEAD" && int(resp.ContentLength) != len(body) {
			t.Errorf("%s %s: %d bytes announced, body %q", c.method, c.query, resp.ContentLength, body)
		}
	}
}

// The guest gets the request as from a proxy on its machine: nothing of it is lost.
func TestRequestsAreForwarded(t *testing.T) {
	s := newStage(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s %s for %q proto %q id %q cookie %q", r.Method, r.RequestURI, r.Host, r.Header.Get("X-Forwarded-For"),
			r.Header.Get("X-Forwarded-Proto"), r.Header.Get("X-Request-Id"), r.Header.Get("Cookie"))
	})
	s.hub.Serve()
	_, body := s.do("PUT", "/a%2Fb?c;d&e=%zz", map[string]string{"Host": "localhost:1", "X-Request-Id": "a+b/c=:@~", "Cookie": "a=b"})
	if want := `PUT /a%2Fb?c;d&e=%zz localhost:1 for "127.0.0.1" proto "http" id "a+b/c=:@~" cookie "a=b"`; body != want {
		t.Errorf("got  %s\nwant %s", body, want)
	}
	_, body = s.do("GET", "/", map[string]string{"X-Request-Id": "not sane", "X-Forwarded-For": "192.0.2.1", "X-Forwarded-Proto": "https"})
	if !regexp.MustCompile(`for "192.0.2.1, 127.0.0.1" proto "https" id "dev-[a-z0-9]{12}"`).MatchString(body) {
		t.Error(body)
	}
}

// The server's own error pages are replaced, and no others.
func TestFailedRequestsAreReported(t *testing.T) {
	respond := make(chan func(http.ResponseWriter, *http.Request), 1)
	s := newStage(t, func(w http.ResponseWriter, r *http.Request) { (<-respond)(w, r) })
	s.hub.Serve()
	own := func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get("X-Request-Id")
		go s.journal.Add(record(slog.LevelError, "Request failed", "request_id", id, "reason", "trap",
			"error", `<script>alert("x")</script>`, "stack", `.main.f()\n.$1(i32)`))
		w.WriteHeader(500)
		fmt.Fprintf(w, "500 Internal Server Error\nrequest id: %s\n", id)
	}
	respond <- own
	resp, body := s.do("GET", "/x?<s>", map[string]string{
		"Accept": "text/html", "Cookie": "secret", "X-Evil": "</style><script>", "X-Request-Id": "a1",
	})
	if resp.StatusCode != 500 || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") {
		t.Errorf("%d %v", resp.StatusCode, resp.Header)
	}
	for _, bad := range []string{"<script>alert", "secret", "</style><script>", "<s>"} {
		if strings.Contains(body, bad) {
			t.Errorf("the page has %q", bad)
		}
	}
	for _, want := range []string{"&lt;script&gt;alert", "Guest trapped", ".main.f()", "X-Evil", "request id a1", "(not shown)"} {
		if !strings.Contains(body, want) {
			t.Errorf("the page has no %q", want)
		}
	}
	if r := <-s.told; r.Title != "Guest trapped" || r.Request.ID != "a1" {
		t.Errorf("%+v", r)
	}
	respond <- func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "the guest's own", 500) }
	if resp, body := s.do("GET", "/", browserFields); resp.StatusCode != 500 || body != "the guest's own\n" {
		t.Errorf("%d %q", resp.StatusCode, body)
	}
	respond <- func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	if resp, body := s.do("GET", "/", nil); resp.StatusCode != 502 || !strings.Contains(body, "No answer: ") {
		t.Errorf("%d %q", resp.StatusCode, body)
	}
}

// Pages of dev's own allow nothing that is not dev's own either.
func TestPolicyOfPages(t *testing.T) {
	s := newStage(t, nil)
	s.hub.Fail(&Report{Status: 500, Title: "Build failed", Message: "m", Hint: "h", Command: "c"})
	nonce := regexp.MustCompile(`style-src 'nonce-([A-Z0-9]+)'`)
	seen := map[string]bool{}
	for range 2 {
		resp, body := s.do("GET", "/", browserFields)
		policy := resp.Header.Get("Content-Security-Policy")
		m := nonce.FindStringSubmatch(policy)
		if m == nil || !strings.HasPrefix(policy, "default-src 'none'; ") || !strings.Contains(body, `<style nonce="`+m[1]+`">`) || seen[m[1]] {
			t.Errorf("policy %s", policy)
		}
		if m != nil {
			seen[m[1]] = true
		}
		if regexp.MustCompile(`(src|href)="(https?:)?//|url\(|@import| on[a-z]+=| style=`).MatchString(body) {
			t.Errorf("the page needs something else:\n%s", body)
		}
		if resp.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%v", resp.Header)
		}
	}
	_, body := s.do("GET", "/", browserFields)
	if !strings.Contains(body, `data-manual="false"`) {
		t.Error("a page that was got does not reload itself")
	}
	if _, body := s.do("POST", "/", browserFields); !strings.Contains(body, `data-manual="true"`) {
		t.Error("a page that was posted for reloads itself")
	}
	if resp, body := s.do("HEAD", "/", browserFields); resp.StatusCode != 500 || body != "" {
		t.Errorf("%d %q", resp.StatusCode, body)
	}
	if resp, _ := s.do("GET", "/.appserver/dev/other", nil); resp.StatusCode != 404 {
		t.Errorf("%d", resp.StatusCode)
	}
}

// Reports quote sources. A page of a stranger's, whose name was made to lead here, must not get at them.
func TestDetailsAreForThisMachine(t *testing.T) {
	s := newStage(t, nil)
	s.hub.Fail(&Report{Status: 500, Title: "Build failed", Message: "a secret"})
	for host, shown := range map[string]bool{
		"localhost:8080": true, "app.localhost": true, "127.0.0.1": true, "[::1]:80": true, "192.0.2.1:80": true,
		"evil.example": false, "localhost.evil.example": false, "": true,
	} {
		fields := map[string]string{"Host": host}
		if host == "" {
			fields = nil
		}
		if _, body := s.do("GET", "/", fields); strings.Contains(body, "a secret") != shown {
			t.Errorf("%s: %q", host, body)
		}
	}
	s.front.o.Public = true
	if _, body := s.do("GET", "/", map[string]string{"Host": "box.lan"}); !strings.Contains(body, "a secret") {
		t.Errorf("%q", body)
	}
}

// Requests wait for a build; who looks at a page is told of it after a while.
func TestRequestsWaitForBuilds(t *testing.T) {
	s := newStage(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "served") })
	s.hub.Build("building: make")
	resp, body := s.do("GET", "/", browserFields)
	if resp.StatusCode != 503 || !strings.Contains(body, "building: make") || !strings.Contains(body, `data-version="building"`) {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	go func() {
		time.Sleep(10 * time.Millisecond) // while the request waits; nothing depends on how long
		s.hub.Serve()
	}()
	if resp, body := s.do("GET", "/", nil); resp.StatusCode != 200 || body != "served" {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
}

// An event stream tells of each version that there is to show, and of nothing in between.
func TestEvents(t *testing.T) {
	s := newStage(t, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", s.url+prefix+"events", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	next := func() string {
		for lines.Scan() {
			if version, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				return version
			}
		}
		t.Fatal(lines.Err())
		return ""
	}
	for n := range 3 {
		s.hub.Build("x")
		if n%2 == 0 {
			s.hub.Serve()
		} else {
			s.hub.Fail(&Report{})
		}
		state, _ := s.hub.State()
		if got := next(); got != state.Version {
			t.Errorf("got %s, want %s", got, state.Version)
		}
	}
}
