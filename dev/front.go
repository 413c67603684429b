package dev

import (
	"bytes"
	"context"
	"crypto/rand"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"
)

const (
	// prefix is where the pages find what is dev's own.
	prefix = "/.appserver/dev/"
	// patience is how long somebody who looks at a page waits for a build before he is told that there is one.
	patience = time.Second
	// wordTime is how long the log may be behind the answer.
	wordTime = time.Second
	// errorPageMax is more than the server's own error pages have.
	errorPageMax = 512
	// pulse is how often an event stream is written to, so that the end of its reader is noticed.
	pulse = 15 * time.Second
)

// FrontOptions are what a Front works with.
type FrontOptions struct {
	Project *Project
	// Socket is the server's.
	Socket  string
	Hub     *Hub
	Journal *Journal
	// IDField is the header field that names a request to the server, and in its log.
	IDField string
	// Public says that the addresses may be reached from other machines, under whatever names.
	Public bool
	Log    *slog.Logger
	Tell   func(*Report)
}

// Front is what listens on the addresses of the settings: it passes requests on to the server, and shows reports
// instead of its error pages. While the guest is being built, requests wait.
type Front struct {
	o     FrontOptions
	proxy *httputil.ReverseProxy
}

//go:embed reload.js
var reloadScript []byte

// NewFront makes a Front.
func NewFront(o FrontOptions) *Front {
	f := &Front{o: o}
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", o.Socket)
	}
	f.proxy = &httputil.ReverseProxy{
		Rewrite: f.rewrite,
		// No connection is used again: it may lead to a worker that still finishes what it has with the old guest.
		Transport:      &http.Transport{DialContext: dial, DisableKeepAlives: true, DisableCompression: true},
		FlushInterval:  -1,
		ModifyResponse: f.improve,
		ErrorHandler:   f.unanswered,
		ErrorLog:       slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug),
	}
	return f
}

// idKey is the key of a request's name in its context.
type idKey struct{}

// ServeHTTP implements http.Handler.
func (f *Front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if what, ok := strings.CutPrefix(r.URL.Path, prefix); ok {
		f.own(w, r, what)
		return
	}
	began := time.Now()
	seen := &witness{ResponseWriter: w}
	id := f.nameOf(r)
	f.serve(seen, r.WithContext(context.WithValue(r.Context(), idKey{}, id)), id)
	f.o.Log.Info("Request", "method", r.Method, "target", r.RequestURI, "status", seen.status,
		"duration", time.Since(began).Round(100*time.Microsecond))
}

func (f *Front) serve(w http.ResponseWriter, r *http.Request, id string) {
	ctx, cancel := r.Context(), func() {}
	if wantsPage(r) {
		ctx, cancel = context.WithTimeout(ctx, patience)
	}
	state := f.o.Hub.Settled(ctx)
	cancel()
	switch {
	case r.Context().Err() != nil: // the client has gone
	case state.Phase == Serving:
		f.proxy.ServeHTTP(w, r)
	case state.Phase == Building:
		f.answer(w, r, &Report{Status: http.StatusServiceUnavailable, Title: "Building", Message: state.Step}, "building")
	default:
		report := *state.Report
		report.Request = requestOf(r, id)
		f.answer(w, r, &report, state.Version)
	}
}

// own serves what the pages need.
func (f *Front) own(w http.ResponseWriter, r *http.Request, what string) {
	switch what {
	case "reload.js":
		w.Header().Set("Content-Type", "text/javascript; charset=utf-8")
		w.Header().Set("Cache-Control", "no-cache")
		_, _ = w.Write(reloadScript) // nobody to tell
	case "events":
		f.events(w, r)
	default:
		http.NotFound(w, r)
	}
}

// events tells a page of the version that there is to show, now and whenever it changes.
func (f *Front) events(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	out := http.NewResponseController(w)
	beat := time.NewTicker(pulse)
	defer beat.Stop()
	told, text := "", "retry: 500\n\n"
	for {
		state, changed := f.o.Hub.State()
		if state.Phase != Building && state.Version != told {
			told = state.Version
			text += "data: " + told + "\n\n"
		}
		if _, err := io.WriteString(w, text); err != nil || out.Flush() != nil {
			return
		}
		select {
		case <-changed:
			text = ""
		case <-beat.C:
			text = ":\n\n"
		case <-r.Context().Done():
			return
		}
	}
}

// rewrite directs a request to the server. The server believes what is said of the client, since it comes over a unix
// socket; what the client says of others passes, as it would from a proxy on this machine.
func (f *Front) rewrite(r *httputil.ProxyRequest) {
	r.Out.URL.Scheme, r.Out.URL.Host = "http", "appserver"
	r.Out.Host = r.In.Host
	r.Out.URL.RawQuery = r.In.URL.RawQuery // as it came, also where it does not parse
	r.Out.Header["X-Forwarded-For"] = r.In.Header["X-Forwarded-For"]
	r.SetXForwarded()
	if proto := r.In.Header["X-Forwarded-Proto"]; proto != nil {
		r.Out.Header["X-Forwarded-Proto"] = proto
	}
	id, _ := r.In.Context().Value(idKey{}).(string)
	r.Out.Header.Set(f.o.IDField, id)
}

// sane matches the names of requests that the server takes (setting request_id_header).
var sane = regexp.MustCompile("^[-A-Za-z0-9._~+/=:@]{1,64}$")

// nameOf returns the client's name for its request, or a new one.
func (f *Front) nameOf(r *http.Request) string {
	if id := r.Header.Get(f.o.IDField); sane.MatchString(id) {
		return id
	}
	return "dev-" + strings.ToLower(rand.Text()[:12])
}

// wantsPage reports whether somebody is going to look at the response in a browser: a document, and not what a script
// has asked for.
func wantsPage(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Dest") {
	case "document", "iframe", "frame":
		return true
	case "":
		return strings.Contains(r.Header.Get("Accept"), "text/html")
	}
	return false
}

// improve puts a report in the place of the server's own error pages, and has pages of the guest's reload themselves.
func (f *Front) improve(resp *http.Response) error {
	r := resp.Request
	id, _ := r.Context().Value(idKey{}).(string)
	if resp.StatusCode >= 500 && ownPage(resp, id) {
		ctx, cancel := context.WithTimeout(r.Context(), wordTime)
		defer cancel()
		if e, ok := f.o.Journal.failure(ctx, id); ok {
			report := requestFailed(f.o.Project, resp.StatusCode, &e, requestOf(f.original(r), id))
			f.o.Tell(report)
			f.replace(resp, report)
			return nil
		}
	}
	if r.Method == http.MethodGet && wantsPage(r) && isPage(resp) {
		f.addScript(resp)
	}
	return nil
}

// ownPage reports whether a response is an error page of the server's own, and not one of the guest's. The body can be
// read again.
func ownPage(resp *http.Response, id string) bool {
	if resp.ContentLength < 0 || resp.ContentLength > errorPageMax {
		return false
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return err == nil && bytes.HasSuffix(body, []byte("\nrequest id: "+id+"\n"))
}

// isPage reports whether a response is a whole page in plain HTML.
func isPage(resp *http.Response) bool {
	kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	return err == nil && kind == "text/html" && resp.Header.Get("Content-Encoding") == "" &&
		(resp.StatusCode == http.StatusOK || resp.StatusCode >= 400)
}

// addScript appends the script to a page. It comes last, so that the page needs not be held back to find a better place.
func (f *Front) addScript(resp *http.Response) {
	state, _ := f.o.Hub.State()
	tag := fmt.Sprintf("\n<script src=\"%sreload.js\" data-version=%q async></script>\n", prefix, state.Version)
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(resp.Body, strings.NewReader(tag)), resp.Body}
	if resp.ContentLength >= 0 {
		resp.ContentLength += int64(len(tag))
		resp.Header.Set("Content-Length", strconv.FormatInt(resp.ContentLength, 10))
	}
}

// replace makes a response of the server's one that shows the report.
func (f *Front) replace(resp *http.Response, report *Report) {
	state, _ := f.o.Hub.State()
	header, body := f.render(f.original(resp.Request), report, state.Version)
	for name, values := range header {
		resp.Header[name] = values
	}
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
}

// original is the request as the client has sent it, but for what only concerns the connection.
func (f *Front) original(out *http.Request) *http.Request {
	r := out.Clone(out.Context())
	for _, name := range []string{"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", f.o.IDField} {
		r.Header.Del(name)
	}
	r.RequestURI = r.URL.RequestURI()
	return r
}

// unanswered shows why there is no response of the server's.
func (f *Front) unanswered(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, context.Canceled) && r.Context().Err() != nil {
		return
	}
	id, _ := r.Context().Value(idKey{}).(string)
	ctx, cancel := context.WithTimeout(r.Context(), wordTime)
	defer cancel()
	e, known := f.o.Journal.failure(ctx, id)
	report := workerLost(err, &e, f.o.Project, requestOf(r, id))
	if known {
		report = requestFailed(f.o.Project, http.StatusBadGateway, &e, requestOf(r, id))
	}
	f.o.Tell(report)
	state, _ := f.o.Hub.State()
	f.answer(w, r, report, state.Version)
}

// answer sends a report.
func (f *Front) answer(w http.ResponseWriter, r *http.Request, report *Report, version string) {
	header, body := f.render(r, report, version)
	for name, values := range header {
		w.Header()[name] = values
	}
	w.WriteHeader(report.Status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // nobody to tell
	}
}

// local reports whether a request was sent to this machine by a name that nobody else can have given it. Others may be
// a trick: a page of a stranger's whose name now leads here, to read what the reports quote.
func (f *Front) local(r *http.Request) bool {
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.ToLower(strings.Trim(host, "[]"))
	_, err := netip.ParseAddr(host)
	return f.o.Public || err == nil || host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// witness remembers the status of a response.
type witness struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements http.ResponseWriter.
func (w *witness) WriteHeader(status int) {
	if w.status == 0 && (status >= 200 || status == http.StatusSwitchingProtocols) {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements io.Writer.
func (w *witness) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap is for http.ResponseController.
func (w *witness) Unwrap() http.ResponseWriter { return w.ResponseWriter }
