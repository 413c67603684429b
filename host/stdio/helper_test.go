package stdio

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/host/engine"
	"github.com/appserver-go/appserver/internal/texttest"
)

// wasm is the compiled testdata/server.
var wasm []byte

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "stdio")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	cmd := exec.Command("go", "build", "-buildvcs=false", "-o", filepath.Join(dir, "server.wasm"), "./testdata/server")
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOFLAGS=")
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		panic(err)
	}
	if wasm, err = os.ReadFile(filepath.Join(dir, "server.wasm")); err != nil {
		panic(err)
	}
	return m.Run()
}

// compile compiles the guest once for all tests.
var compile = sync.OnceValues(func() (*engine.Module, error) {
	e, err := engine.New(context.Background(), engine.Options{Interrupt: engine.InterruptFuel, MemoryLimit: 64 << 20})
	if err != nil {
		return nil, err
	}
	return e.Compile(context.Background(), wasm)
})

// load makes a guest. It ends with the test, and whatever was logged is returned by the record.
func load(t testing.TB, o Options) (*Guest, *texttest.Buffer) {
	t.Helper()
	g, log, err := tryLoad(t, o)
	if err != nil {
		t.Fatal(err)
	}
	return g, log
}

func tryLoad(t testing.TB, o Options) (*Guest, *texttest.Buffer, error) {
	t.Helper()
	module, err := compile()
	if err != nil {
		t.Fatal(err)
	}
	log := &texttest.Buffer{}
	o.Name = "server"
	o.Log = slog.New(slog.NewTextHandler(log, nil))
	o.Stderr = func(_ context.Context, line string) { _, _ = log.Write([]byte(line + "\n")) }
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	g, err := New(ctx, module, o)
	if err == nil {
		t.Cleanup(func() { _ = g.Close() })
	}
	return g, log, err
}

// wire is a front end that writes down what it is told to send.
type wire struct {
	status   int
	fields   exchange.Fields
	trailers exchange.Fields
	length   int64
	body     bytes.Buffer
	flushed  chan string // takes the body at each flush, if not nil
	closed   bool
	err      error // for every write
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

func (w *wire) Flush() error {
	if w.flushed != nil {
		w.flushed <- w.body.String()
	}
	return w.err
}

func (w *wire) Close(trailers exchange.Fields) error {
	w.closed, w.trailers = true, slices.Clone(trailers)
	return nil
}

func (w *wire) Abort() {}

// request makes a request for the guest; change, if not nil, changes it.
func request(w *wire, method, target, body string, change func(*exchange.Request)) *exchange.Exchange {
	x := &exchange.Exchange{Request: exchange.Request{
		Method: method, Target: target, Proto: "HTTP/1.1", Scheme: "http", Host: "example.com:8080",
		RemoteAddr: "192.0.2.7:4711", LocalAddr: "192.0.2.1:8080", Body: strings.NewReader(body),
		ContentLength: int64(len(body)), ID: "test",
	}}
	if change != nil {
		change(&x.Request)
	}
	x.Response.Reset(w, method)
	return x
}

// serve runs an exchange as a worker does.
func serve(ctx context.Context, g *Guest, x *exchange.Exchange) *exchange.Failure {
	err := g.Serve(ctx, x)
	if err == nil {
		err = x.Response.Finish()
	}
	if err == nil {
		return nil
	}
	if x.Response.Committed() {
		x.Response.Abort()
	}
	return exchange.AsFailure(err)
}

// get returns the body of a GET that must go well.
func get(t testing.TB, g *Guest, target string) string {
	t.Helper()
	var w wire
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if f := serve(ctx, g, request(&w, "GET", target, "", nil)); f != nil || w.status != 200 {
		t.Fatalf("GET %s: status %d, failure %v", target, w.status, f)
	}
	return w.body.String()
}
