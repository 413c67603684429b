package http2

//lint:file-ignore SA1019 what is to take the place of these, net/http with its own HTTP/2, is what is not wanted; see RATIONALE.md

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/internal/link"
)

// patience is how long tests wait for what must happen.
const patience = 20 * time.Second

// testServer is a Server on a port of its own, without TLS, that remembers the requests its handler saw.
type testServer struct {
	*Server
	addr string

	mu   sync.Mutex
	seen []exchange.Request
}

// start serves with a handler that may return an error, which aborts the response.
func start(t *testing.T, o Options, handle func(*Call) error) *testServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ts := &testServer{addr: l.Addr().String()}
	o.Handler = func(c *Call) {
		r := c.Request
		r.Fields = append(exchange.Fields(nil), r.Fields...)
		ts.mu.Lock()
		ts.seen = append(ts.seen, r)
		ts.mu.Unlock()
		err := handle(c)
		if err == nil {
			err = c.Response.Finish()
		}
		if err != nil {
			c.Response.Abort()
		}
	}
	o.Log = slog.New(slog.DiscardHandler)
	if o.StallTimeout == 0 {
		o.StallTimeout = patience
	}
	if o.Keepalive == 0 {
		o.Keepalive = patience
	}
	if o.MaxStreams == 0 {
		o.MaxStreams, o.Parallel = 100, 100
	}
	if o.Limits == (Limits{}) {
		o.Limits = Limits{RequestLine: 8190, Fields: 100, FieldSize: 8190}
	}
	ts.Server = New(o)
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { ts.ServeConn(link.Plain(nc)); nc.Close() })
		}
	})
	t.Cleanup(func() {
		l.Close()
		ts.Server.mu.Lock()
		for c := range ts.conns {
			c.link.Socket.Close()
		}
		ts.Server.mu.Unlock()
		serving.Wait()
	})
	return ts
}

// requests returns what the handler saw so far.
func (ts *testServer) requests() []exchange.Request {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	return append([]exchange.Request(nil), ts.seen...)
}

// client returns a client with connections of its own.
func (ts *testServer) client(t *testing.T) *http.Client {
	t.Helper()
	tr := &http2.Transport{
		AllowHTTP: true,
		DialTLS:   func(network, addr string, _ *tls.Config) (net.Conn, error) { return net.Dial(network, addr) },
	}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: patience}
}

func (ts *testServer) url(path string) string { return "http://" + ts.addr + path }

// fetch sends a GET and returns status and body.
func fetch(c *http.Client, url string) (int, string, error) {
	r, err := c.Get(url)
	if err != nil {
		return 0, "", err
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	return r.StatusCode, string(body), err
}

// hello answers with the target.
func hello(c *Call) error {
	_, err := io.WriteString(&c.Response, c.Request.Method+" "+c.Request.Target)
	return err
}

// echo answers with the request's body.
func echo(c *Call) error {
	_, err := io.Copy(&c.Response, c.Request.Body)
	return err
}

// wire is a client that sends the frames that it is told to.
type wire struct {
	*http2.Framer
	t   *testing.T
	nc  net.Conn
	enc *hpack.Encoder
	buf bytes.Buffer
}

// dial begins a connection with the given settings.
func (ts *testServer) dial(t *testing.T, settings ...http2.Setting) *wire {
	t.Helper()
	nc, err := net.Dial("tcp", ts.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	if err := nc.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	w := &wire{Framer: http2.NewFramer(nc, nc), t: t, nc: nc}
	w.enc = hpack.NewEncoder(&w.buf)
	w.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	if _, err := io.WriteString(nc, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	w.check(w.WriteSettings(settings...))
	return w
}

func (w *wire) check(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// block encodes fields given as "name: value".
func (w *wire) block(fields ...string) []byte {
	w.buf.Reset()
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ": ")
		w.check(w.enc.WriteField(hpack.HeaderField{Name: name, Value: value}))
	}
	return w.buf.Bytes()
}

// request begins a request; more are fields beyond the usual ones.
func (w *wire) request(stream uint32, end bool, path string, more ...string) {
	w.t.Helper()
	method := "GET"
	if !end {
		method = "POST"
	}
	fields := append([]string{":method: " + method, ":scheme: http", ":authority: a", ":path: " + path}, more...)
	w.check(w.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: w.block(fields...), EndHeaders: true, EndStream: end}))
}

// head sends a head without a body.
func (w *wire) head(stream uint32, block []byte) error {
	return w.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block, EndHeaders: true, EndStream: true})
}

// await reads frames until one that match accepts. It answers settings.
func (w *wire) await(what string, match func(http2.Frame) bool) http2.Frame {
	w.t.Helper()
	for {
		f, err := w.ReadFrame()
		if err != nil {
			w.t.Fatalf("waiting for %s: %v", what, err)
		}
		if s, ok := f.(*http2.SettingsFrame); ok && !s.IsAck() {
			w.check(w.WriteSettingsAck())
		}
		if match(f) {
			return f
		}
	}
}

// goAway waits for a GOAWAY and returns the last stream that it names.
func (w *wire) goAway() uint32 {
	w.t.Helper()
	f := w.await("GOAWAY", func(f http2.Frame) bool { _, ok := f.(*http2.GoAwayFrame); return ok })
	return f.(*http2.GoAwayFrame).LastStreamID
}

// goAwayAndStatus waits for a GOAWAY, whose last stream it returns, and the head of a response, in any order.
func (w *wire) goAwayAndStatus(stream uint32) (last uint32) {
	w.t.Helper()
	answered := false
	w.await("a response and a GOAWAY", func(f http2.Frame) bool {
		switch f := f.(type) {
		case *http2.GoAwayFrame:
			last = f.LastStreamID
		case *http2.MetaHeadersFrame:
			answered = answered || f.StreamID == stream
		}
		return last > 0 && answered
	})
	return last
}

// status waits for the head of a response.
func (w *wire) status(stream uint32) string {
	w.t.Helper()
	f := w.await(fmt.Sprintf("the response on stream %d", stream), func(f http2.Frame) bool {
		_, ok := f.(*http2.MetaHeadersFrame)
		return ok && f.Header().StreamID == stream
	})
	return f.(*http2.MetaHeadersFrame).PseudoValue("status")
}

// reset waits until a stream is reset.
func (w *wire) reset(stream uint32) http2.ErrCode {
	w.t.Helper()
	f := w.await(fmt.Sprintf("the reset of stream %d", stream), func(f http2.Frame) bool {
		_, ok := f.(*http2.RSTStreamFrame)
		return ok && f.Header().StreamID == stream
	})
	return f.(*http2.RSTStreamFrame).ErrCode
}

func waitFor(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited too long for %s", what)
		}
	}
}
