package httpwasm

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/host/engine"
)

// Where testdata/driver.wat keeps things in its memory.
const (
	memReqCtx = 0x0fe0
	memCalls  = 0x0fe8
	memCount  = 0x0ff0
	memLog    = 0x1000
	memConfig = 0x10000
	memFree   = 0x20000
	memEnd    = 0x80000
)

// opNames are the driver's opcodes, in order.
func opNames() (names []string) {
	for _, f := range hostFuncs() {
		names = append(names, f.name)
	}
	return append(names, "trap", "exit", "spin", "echo", "print", "repeat")
}

// op is an operation of the driver. A string among the arguments stands for its address and length.
type op struct {
	name string
	args []any
}

func call(name string, args ...any) op { return op{name, args} }

// script is what the driver does.
type script struct {
	start, request, response []op
	next                     uint64 // what handle_request returns
}

// encode writes the script as the driver's configuration. The high halves of the arguments are garbage.
func (s script) encode() []byte {
	ops := slices.Concat(s.start, s.request, s.response)
	var head, data []byte
	le := binary.LittleEndian
	head = le.AppendUint32(head, uint32(len(s.start)))
	head = le.AppendUint32(head, uint32(len(s.request)))
	head = le.AppendUint32(head, uint32(len(s.response)))
	head = le.AppendUint32(head, 0)
	head = le.AppendUint64(head, s.next)
	names, dataAt := opNames(), memConfig+24+48*len(ops)
	for _, o := range ops {
		code := slices.Index(names, o.name)
		if code < 0 {
			panic("no such operation: " + o.name)
		}
		head = le.AppendUint64(head, uint64(code))
		var args []uint64
		for _, a := range o.args {
			switch a := a.(type) {
			case string:
				args = append(args, uint64(dataAt+len(data)), uint64(len(a)))
				data = append(data, a...)
			case int:
				args = append(args, uint64(uint32(a)))
			}
		}
		for i := range 5 {
			v := uint64(0xdeadbeef) << 32
			if i < len(args) {
				v |= args[i]
			}
			head = le.AppendUint64(head, v)
		}
	}
	return append(head, data...)
}

// lab is an engine with compiled guests.
type lab struct {
	t       *testing.T
	engine  *engine.Engine
	modules map[string]*engine.Module
}

func newLab(t *testing.T, o engine.Options) *lab {
	t.Helper()
	eng, err := engine.New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = eng.Close(context.Background()) })
	return &lab{t, eng, map[string]*engine.Module{}}
}

// module compiles testdata/name.wasm of this package or of the repository.
func (l *lab) module(name string) *engine.Module {
	l.t.Helper()
	if m := l.modules[name]; m != nil {
		return m
	}
	path := filepath.Join("testdata", name+".wasm")
	if _, err := os.Stat(path); err != nil {
		path = filepath.Join("..", "..", "testdata", "wasm", name+".wasm")
	}
	wasm, err := os.ReadFile(path)
	if err != nil {
		l.t.Fatal(err)
	}
	m, err := l.engine.Compile(l.t.Context(), wasm)
	if err != nil {
		l.t.Fatal(err)
	}
	l.modules[name] = m
	return m
}

func (l *lab) load(t *testing.T, name string, o Options) *Guest {
	t.Helper()
	g, err := New(t.Context(), l.engine, l.module(name), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Close() })
	return g
}

// drive loads the driver with a script.
func (l *lab) drive(t *testing.T, s script, o Options) *Guest {
	t.Helper()
	o.Config = s.encode()
	return l.load(t, "driver", o)
}

// peek calls f with the memory of the guest's idle instance.
func peek(t *testing.T, g *Guest, f func(in *instance)) {
	t.Helper()
	in, err := g.pool.Get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	f(in)
	g.pool.Put(in)
}

// results returns what the driver's operations returned so far.
func results(t *testing.T, g *Guest) (log []uint64) {
	t.Helper()
	peek(t, g, func(in *instance) {
		n, _ := in.memory.ReadUint32Le(memCount)
		for i := range n {
			v, _ := in.memory.ReadUint64Le(memLog + 8*i)
			log = append(log, v)
		}
	})
	return log
}

// text returns n bytes of the guest's memory.
func text(t *testing.T, g *Guest, offset, n int) (s string) {
	t.Helper()
	peek(t, g, func(in *instance) {
		b, _ := in.memory.Read(uint32(offset), uint32(n))
		s = string(b)
	})
	return s
}

// sink is the front end of a test: it keeps what the client would get.
type sink struct {
	status   int
	length   int64
	fields   exchange.Fields
	body     bytes.Buffer
	trailers exchange.Fields
	closed   bool
	aborted  bool
	err      error
}

func (s *sink) WriteHead(status int, fields exchange.Fields, length int64) error {
	s.status, s.fields, s.length = status, slices.Clone(fields), length
	return s.err
}

func (s *sink) Write(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	return s.body.Write(p)
}

func (s *sink) Flush() error { return s.err }

func (s *sink) Close(trailers exchange.Fields) error {
	s.closed, s.trailers = true, slices.Clone(trailers)
	return s.err
}

func (s *sink) Abort() { s.aborted = true }

// newExchange makes a request with the body.
func newExchange(method, target, body string) (*exchange.Exchange, *sink) {
	x := &exchange.Exchange{Request: exchange.Request{
		Method: method, Target: target, Proto: "HTTP/1.1", Scheme: "http", Host: "example.com",
		Body: strings.NewReader(body), ContentLength: int64(len(body)), RemoteAddr: "192.0.2.7:1234", ID: "r1",
	}}
	if body != "" {
		x.Request.Fields.Add("Content-Length", fmt.Sprint(len(body)))
	}
	s := &sink{}
	x.Response.Reset(s, method)
	return x, s
}

// serve serves x as a front end does and returns Serve's error.
func serve(ctx context.Context, h exchange.Handler, x *exchange.Exchange) error {
	err := h.Serve(ctx, x)
	if err == nil {
		err = x.Response.Finish()
	}
	if err != nil && !x.Response.Replace(exchange.AsFailure(err).Status, "text/plain", "error") {
		x.Response.Abort()
		return err
	}
	if finishErr := x.Response.Finish(); err == nil {
		err = finishErr
	}
	return err
}

// mustServe is serve for exchanges that must not fail.
func mustServe(t *testing.T, h exchange.Handler, x *exchange.Exchange) {
	t.Helper()
	if err := serve(t.Context(), h, x); err != nil {
		t.Fatal(err)
	}
}

// readAll is a next handler's reading of a body.
func readAll(r io.Reader) string {
	b, err := io.ReadAll(r)
	if err != nil {
		return "error: " + err.Error()
	}
	return string(b)
}
