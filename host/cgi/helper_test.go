package cgi

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/host/engine"
)

// wire is a front end that writes down what it is told to send.
type wire struct {
	status  int
	fields  exchange.Fields
	length  int64
	body    bytes.Buffer
	flushes []string // the body at each flush
	closed  bool
	aborted bool
	err     error // for every write
}

func (w *wire) WriteHead(status int, fields exchange.Fields, length int64) error {
	w.status, w.fields, w.length = status, slices.Clone(fields), length
	return w.err
}

func (w *wire) Write(p []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	return w.body.Write(p)
}

func (w *wire) Flush() error                { w.flushes = append(w.flushes, w.body.String()); return w.err }
func (w *wire) Close(exchange.Fields) error { w.closed = true; return nil }
func (w *wire) Abort()                      { w.aborted = true }

// resetting has load make guests whose instances are reset and used again.
var resetting bool

// TestWithReset runs the tests of this package with instances that are used again: nothing may be different.
func TestWithReset(t *testing.T) {
	resetting = true
	defer func() { resetting = false }()
	for name, test := range map[string]func(*testing.T){
		"environment": TestEnvironment, "environments": TestEnvironmentOfOtherRequests, "args": TestArgs, "paths": TestBadPaths,
		"output": TestOutput, "head": TestHead, "streaming": TestStreaming, "gone": TestClientGone, "deadline": TestDeadline,
		"body": TestBody, "stderr": TestStderr, "shared guests": TestSharedGuests, "concurrent": TestConcurrent,
	} {
		t.Run(name, func(t *testing.T) {
			for range 2 { // guests are loaded anew, but not for each request
				test(t)
			}
		})
	}
}

// load compiles a module and makes a guest of it.
func load(t testing.TB, wasm []byte, o Options) *Guest {
	t.Helper()
	if resetting {
		o.Reset, o.Instances = true, 4
	}
	_, bench := t.(*testing.B)
	e, err := engine.New(t.Context(), engine.Options{
		Interrupt: engine.InterruptFuel, MemoryLimit: 16 << 20, Reset: o.Reset, VerifyReset: !bench,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close(context.Background()) })
	m, err := e.Compile(t.Context(), wasm)
	if err != nil {
		t.Fatal(err)
	}
	g, err := New(t.Context(), m, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	g.hold = time.Hour // on a busy machine any two writes may be far apart
	return g
}

// shared reads a module that all packages test with.
func shared(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "testdata", "wasm", name+".wasm"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// newExchange makes an exchange whose response goes to the wire.
func newExchange(w *wire, method, target string) *exchange.Exchange {
	x := &exchange.Exchange{Request: exchange.Request{
		Method: method, Target: target, Proto: "HTTP/1.1", Scheme: "http", Host: "example.com:8080",
		RemoteAddr: "192.0.2.7:4711", LocalAddr: "192.0.2.1:8080", Body: strings.NewReader(""), ID: "test",
	}}
	x.Response.Reset(w, method)
	return x
}

// serve runs an exchange as a worker does and returns the error page's status in place of the response's.
func serve(t testing.TB, g *Guest, x *exchange.Exchange) (status int, failure *exchange.Failure) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err := g.Serve(ctx, x)
	if err == nil {
		err = x.Response.Finish()
	}
	if err != nil {
		f := exchange.AsFailure(err)
		if x.Response.Committed() {
			x.Response.Abort()
		}
		return f.Status, f
	}
	return x.Response.Status, nil
}
