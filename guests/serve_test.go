package guests_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/host"
	"github.com/appserver-go/appserver/host/boundary"
	"github.com/appserver-go/appserver/host/engine"
	"github.com/appserver-go/appserver/host/httpwasm"
)

// options are what a test may want to give a guest.
type options struct {
	config string
	env    []string
	next   exchange.Handler
	log    *lines
	boot   time.Duration // how long the guest may take to start; 0 means no bound
	// hostile guests get limits they meet soon, and are interrupted when their time is over.
	hostile bool
	// reset has the guest rewritten with fuel and reset to its image after each request.
	reset  bool
	warmup []string
	stdio  bool   // speak HTTP over stdin and stdout to it
	cache  string // of compiled code
	dirs   []string

	boundary *boundary.Boundary
}

// load starts the guest in a file. It ends with the test.
func load(t *testing.T, path string, o options) (*host.Guest, error) {
	t.Helper()
	wasm, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	if o.boot > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.boot)
		defer cancel()
	}
	if o.log == nil {
		o.log = &lines{}
	}
	ho := host.Options{
		Path: filepath.Base(path), Wasm: wasm, CacheDir: o.cache, Dirs: o.dirs, Env: o.env, Config: []byte(o.config), Next: o.next, Boundary: o.boundary,
		Log:      slog.New(slog.NewTextHandler(io.Discard, nil)), // its level is the guest's, too
		GuestLog: func(_ string, _ slog.Level, line string) { o.log.add(line) },
	}
	if o.hostile {
		ho.MemoryLimit, ho.TableLimit, ho.Interrupt = 16<<20, 1<<20, engine.InterruptFuel
	}
	if o.reset {
		ho.Interrupt, ho.Isolation, ho.Warmup = engine.InterruptFuel, httpwasm.IsolationReset, o.warmup
	}
	if o.stdio {
		ho.Protocol = host.ProtocolStdio
	}
	guest, err := host.Load(ctx, ho)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() {
		if err := guest.Close(); err != nil {
			t.Errorf("close guest: %v", err)
		}
	})
	return guest, nil
}

// mustLoad is load for guests that have to load.
func mustLoad(t *testing.T, path string, o options) *host.Guest {
	t.Helper()
	h, err := load(t, path, o)
	if err != nil {
		t.Fatalf("load %s: %v", filepath.Base(path), err)
	}
	return h
}

// lines collects what guests print and log.
type lines struct {
	mu   sync.Mutex
	text []string
}

func (l *lines) add(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, line)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.text, "\n")
}

// request makes a request; a body gives it a Content-Length, header are names and values by turns.
func request(method, target, body string, header ...string) exchange.Request {
	r := exchange.Request{
		Method: method, Target: target, Proto: "HTTP/1.1", Scheme: "http", Host: "example.com",
		Body: strings.NewReader(body), ContentLength: int64(len(body)),
		RemoteAddr: "192.0.2.1:1234", LocalAddr: "192.0.2.2:80", ID: "test",
	}
	for i := 0; i < len(header); i += 2 {
		r.Fields.Add(header[i], header[i+1])
	}
	return r
}

// answer is what a client would get.
type answer struct {
	status   int
	fields   exchange.Fields
	trailers exchange.Fields
	body     []byte // its first megabytes
	size     int64  // of the whole body
	aborted  bool
	reason   exchange.Reason // why the exchange failed, if it did
	err      error
}

// serve sends r to h and gives the answer as a worker would.
func serve(ctx context.Context, h exchange.Handler, r exchange.Request) *answer {
	a := &answer{}
	x := &exchange.Exchange{Request: r}
	x.Response.Reset(a, r.Method)
	err := h.Serve(ctx, x)
	if err == nil {
		err = x.Response.Finish()
	}
	if err == nil {
		return a
	}
	f := exchange.AsFailure(err)
	a.reason, a.err = f.Reason, err
	if x.Response.Replace(f.Status, "text/plain", "error page") {
		a.err = errors.Join(a.err, x.Response.Finish())
	} else {
		x.Response.Abort()
	}
	return a
}

func (a *answer) WriteHead(status int, fields exchange.Fields, _ int64) error {
	a.status, a.fields = status, slices.Clone(fields)
	return nil
}

func (a *answer) Write(p []byte) (int, error) {
	a.size += int64(len(p))
	if len(a.body) < 4<<20 {
		a.body = append(a.body, p...)
	}
	return len(p), nil
}

func (a *answer) Flush() error { return nil }

func (a *answer) Close(trailers exchange.Fields) error {
	a.trailers = slices.Clone(trailers)
	return nil
}

func (a *answer) Abort() { a.aborted = true }
