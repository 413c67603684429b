package http2

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/internal/httprules"
)

func TestRequestAndResponse(t *testing.T) {
	ts := start(t, Options{}, func(c *Call) error {
		c.Response.Status = 201
		c.Response.Fields.Add("X-A", "1")
		c.Response.Fields.Add("x-a", "2")
		c.Response.Fields.Add("Set-Cookie", "a=b")
		c.Response.Trailers.Add("X-Sum", "42")
		return echo(c)
	})
	body := strings.Repeat("0123456789", 30_000) // more than what is prefetched
	for _, size := range []int{0, 1, 1000, len(body)} {
		req, err := http.NewRequest("POST", ts.url("/a/b?c=d"), io.LimitReader(strings.NewReader(body), int64(size)))
		if err != nil {
			t.Fatal(err)
		}
		if size%2 == 0 {
			req.ContentLength = int64(size)
		}
		req.Header = http.Header{"B": {"1", "2"}, "A": {"3"}, "Proxy": {"x"}, "A_b": {"x"}, "Te": {"trailers"}}
		req.Trailer = http.Header{"X-End": {"done"}}
		r, err := ts.client(t).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r.Body)
		r.Body.Close()
		if err != nil || string(got) != body[:size] || r.StatusCode != 201 || r.Trailer.Get("X-Sum") != "42" {
			t.Errorf("%d bytes: %d bytes, status %d, trailer %v, %v", size, len(got), r.StatusCode, r.Trailer, err)
		}
		if v := r.Header.Values("X-A"); len(v) != 2 || r.Header.Get("Server") != httprules.ServerName || r.Header.Get("Date") == "" {
			t.Errorf("%v", r.Header)
		}
	}
	for _, r := range ts.requests() {
		if r.Method != "POST" || r.Target != "/a/b?c=d" || r.Host != ts.addr || r.Proto != "HTTP/2.0" || r.Scheme != "http" || r.RemoteAddr == "" {
			t.Errorf("%+v", r)
		}
		text := fmt.Sprint(r.Fields)
		if !strings.HasPrefix(text, "[{A 3}") || !strings.Contains(text, "{B 1} {B 2}") || strings.Contains(text, "Proxy") || strings.Contains(text, "A_b") || strings.Contains(text, "Te ") {
			t.Errorf("fields %s", text)
		}
	}
}

func TestBodilessResponses(t *testing.T) {
	ts := start(t, Options{}, func(c *Call) error {
		fmt.Sscanf(c.Request.Target, "/%d", &c.Response.Status)
		_, err := io.WriteString(&c.Response, "body")
		return err
	})
	for status, want := range map[int]string{200: "body", 204: "", 304: "", 404: "body"} {
		if got, body, err := fetch(ts.client(t), ts.url(fmt.Sprint("/", status))); got != status || body != want || err != nil {
			t.Errorf("%d: %d %q %v", status, got, body, err)
		}
	}
	r, err := ts.client(t).Head(ts.url("/200"))
	if err != nil || r.ContentLength != 4 {
		t.Errorf("HEAD: %+v %v", r, err)
	}
}

func TestRefusals(t *testing.T) {
	var mu sync.Mutex
	var told []int
	ts := start(t, Options{
		Limits: Limits{RequestLine: 100, Fields: 10, FieldSize: 200, Body: 1000},
		Refused: func(_ *exchange.Exchange, status int, _ string) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, status)
		},
	}, hello)
	many := make([]string, 20)
	for i := range many {
		many[i] = fmt.Sprintf("f%d: x", i)
	}
	tests := map[string]struct {
		status string
		fields []string
	}{
		"TRACE":       {"501", []string{":method: TRACE", ":path: /"}},
		"lower case":  {"400", []string{":method: get", ":path: /"}},
		"asterisk":    {"400", []string{":method: GET", ":path: *"}},
		"fragment":    {"400", []string{":method: GET", ":path: /#x"}},
		"line":        {"414", []string{":method: GET", ":path: /" + strings.Repeat("a", 200)}},
		"fields":      {"431", append([]string{":method: GET", ":path: /"}, many...)},
		"field":       {"431", []string{":method: GET", ":path: /", "a: " + strings.Repeat("b", 300)}},
		"types":       {"400", []string{":method: GET", ":path: /", "content-type: a/b", "content-type: a/c"}},
		"expectation": {"417", []string{":method: GET", ":path: /", "expect: tea"}},
		"body":        {"413", []string{":method: POST", ":path: /", "content-length: 2000"}},
	}
	w := ts.dial(t)
	stream := uint32(1)
	for name, tt := range tests {
		fields := append([]string{tt.fields[0], ":scheme: http", ":authority: a"}, tt.fields[1:]...)
		w.check(w.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: w.block(fields...), EndHeaders: true, EndStream: name != "body"}))
		if got := w.status(stream); got != tt.status {
			t.Errorf("%s: status %s, want %s", name, got, tt.status)
		}
		stream += 2
	}
	w.request(stream, true, "/fine")
	if got := w.status(stream); got != "200" {
		t.Errorf("a good request afterwards: %s", got)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(told) != len(tests) || len(ts.requests()) != 1 {
		t.Errorf("Refused was told of %v, the handler saw %d", told, len(ts.requests()))
	}
}

func TestBodyOverLimit(t *testing.T) {
	ts := start(t, Options{Limits: Limits{RequestLine: 100, Body: 100_000}}, func(c *Call) error {
		if _, err := io.Copy(io.Discard, c.Request.Body); err != nil {
			c.Response.Replace(exchange.AsFailure(err).Status, "text/plain", "")
		}
		return nil
	})
	r, err := ts.client(t).Post(ts.url("/"), "a/b", io.MultiReader(bytes.NewReader(make([]byte, 200_000)))) // of unknown length
	if err != nil || r.StatusCode != 413 {
		t.Errorf("%+v %v", r, err)
	}
}

// A client that stops sending gets 408, and one that stops reading has its stream reset; neither holds anything for longer.
func TestStalls(t *testing.T) {
	big := make([]byte, 1<<20)
	failed := make(chan error, 1)
	ts := start(t, Options{StallTimeout: 100 * time.Millisecond, PrefetchTimeout: 100 * time.Millisecond}, func(c *Call) error {
		switch c.Request.Target {
		case "/read":
			_, err := c.Response.Write(big)
			failed <- err
			return err
		case "/small":
			return hello(c)
		}
		_, err := io.Copy(io.Discard, c.Request.Body)
		if err != nil {
			c.Response.Replace(exchange.AsFailure(err).Status, "text/plain", "")
		}
		return nil
	})
	w := ts.dial(t, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1000})
	w.request(1, false, "/prefetched", "content-length: 5")
	w.check(w.WriteData(1, false, []byte("ab")))
	if got := w.status(1); got != "408" {
		t.Errorf("small body: %s", got)
	}
	w.request(3, false, "/streamed")
	w.check(w.WriteData(3, false, []byte("ab")))
	if got := w.status(3); got != "408" {
		t.Errorf("body of unknown length: %s", got)
	}
	w.request(5, true, "/read")
	w.reset(5)
	if err := <-failed; exchange.AsFailure(err).Status != httprules.StatusClientGone {
		t.Errorf("the handler got %v", err)
	}
	// What fits the buffers is written when the handler has returned already.
	w = ts.dial(t, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
	w.request(1, true, "/small")
	w.reset(1)
}

func TestAbortResetsTheStream(t *testing.T) {
	ts := start(t, Options{}, func(c *Call) error {
		if _, err := c.Response.Write([]byte("part")); err != nil {
			return err
		}
		return errors.Join(c.Response.Flush(), errors.New("no more"))
	})
	w := ts.dial(t)
	w.request(1, true, "/")
	if code := w.reset(1); code == http2.ErrCodeNo {
		t.Errorf("reset with %v", code)
	}
}

func TestResetMakesTheCallGone(t *testing.T) {
	running, over := make(chan *Call), make(chan struct{})
	ts := start(t, Options{}, func(c *Call) error {
		running <- c
		waitFor(t, "the client to be gone", c.Gone)
		over <- struct{}{}
		return nil
	})
	w := ts.dial(t)
	w.request(1, true, "/")
	if (<-running).Gone() {
		t.Error("gone from the beginning")
	}
	w.check(w.WriteRSTStream(1, http2.ErrCodeCancel))
	<-over
	w.request(3, true, "/")
	<-running
	w.nc.Close()
	<-over
}

// A connection has no more than its share of requests in the handler; the others wait their turn, and not for ever.
func TestParallel(t *testing.T) {
	release := make(chan struct{})
	var most, now atomic.Int32
	var slow atomic.Bool
	ts := start(t, Options{MaxStreams: 20, Parallel: 3, PrefetchTimeout: 500 * time.Millisecond}, func(c *Call) error {
		n := now.Add(1)
		defer now.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		if slow.Load() {
			<-release
		}
		return hello(c)
	})
	w := ts.dial(t)
	for i := range uint32(15) {
		w.request(1+2*i, true, "/")
	}
	for answered := 0; answered < 15; {
		f := w.await("responses", func(f http2.Frame) bool { _, ok := f.(*http2.MetaHeadersFrame); return ok })
		if got := f.(*http2.MetaHeadersFrame).PseudoValue("status"); got != "200" {
			t.Errorf("status %s", got)
		}
		answered++
	}
	if m := most.Load(); m > 3 {
		t.Errorf("%d at once", m)
	}
	slow.Store(true)
	for i := range uint32(4) {
		w.request(101+2*i, true, "/")
	}
	f := w.await("a response", func(f http2.Frame) bool { _, ok := f.(*http2.MetaHeadersFrame); return ok })
	if got := f.(*http2.MetaHeadersFrame).PseudoValue("status"); got != "503" {
		t.Errorf("the one that has waited too long gets %s", got)
	}
	close(release)
}

// A client that is asked to go away is told so before anything is dropped: what it has sent by then is served.
func TestGoAwayInTwoSteps(t *testing.T) {
	ts := start(t, Options{}, hello)
	w := ts.dial(t)
	w.request(1, true, "/")
	w.status(1)
	ts.CloseConnections()
	if last := w.goAway(); last != 1<<31-1 {
		t.Errorf("the first GOAWAY names stream %d", last)
	}
	w.request(3, true, "/crosses")
	if got := w.status(3); got != "200" {
		t.Errorf("%s", got)
	}
	if last := w.goAway(); last != 3 {
		t.Errorf("the second GOAWAY names stream %d", last)
	}
	// A connection that comes now is asked at once.
	w = ts.dial(t)
	if last := w.goAway(); last != 1<<31-1 {
		t.Errorf("a new connection's GOAWAY names stream %d", last)
	}
	w.request(1, true, "/")
	if got := w.status(1); got != "200" {
		t.Errorf("%s", got)
	}
}

func TestKeepaliveRequests(t *testing.T) {
	ts := start(t, Options{KeepaliveRequests: 2}, hello)
	w := ts.dial(t)
	w.request(1, true, "/")
	w.status(1)
	w.request(3, true, "/")
	if last := w.goAwayAndStatus(3); last != 1<<31-1 {
		t.Errorf("the first GOAWAY names stream %d", last)
	}
	time.Sleep(goAwayTime) // what is tested is that this time counts
	w.request(5, true, "/late")
	if last := w.goAwayAndStatus(5); last != 5 {
		t.Errorf("the second GOAWAY names stream %d", last)
	}
}

func TestIdleConnectionEnds(t *testing.T) {
	ts := start(t, Options{Keepalive: 50 * time.Millisecond}, hello)
	w := ts.dial(t)
	w.request(1, true, "/")
	w.status(1)
	w.goAway()
	for {
		if _, err := w.ReadFrame(); err != nil {
			return
		}
	}
}

func TestCloseIdle(t *testing.T) {
	release := make(chan struct{})
	ts := start(t, Options{}, func(c *Call) error {
		if c.Request.Target == "/wait" {
			<-release
		}
		return hello(c)
	})
	idle, busy := ts.dial(t), ts.dial(t)
	idle.request(1, true, "/")
	idle.status(1)
	busy.request(1, true, "/wait")
	waitFor(t, "both requests", func() bool { return len(ts.requests()) == 2 })
	waitFor(t, "the first to be over", func() bool {
		ts.Server.mu.Lock()
		defer ts.Server.mu.Unlock()
		for c := range ts.conns {
			if c.idle() {
				return true
			}
		}
		return false
	})
	ts.CloseIdle()
	for {
		if _, err := idle.ReadFrame(); err != nil {
			break
		}
	}
	close(release)
	if got := busy.status(1); got != "200" {
		t.Errorf("%s", got)
	}
}

// ServeConn returns when the last request is over, and not with the connection.
func TestServeConnWaitsForRequests(t *testing.T) {
	running, release := make(chan struct{}), make(chan struct{})
	ts := start(t, Options{}, func(*Call) error {
		close(running)
		<-release
		return nil
	})
	w := ts.dial(t)
	w.request(1, true, "/")
	<-running
	ts.Server.mu.Lock()
	var c *conn
	for c = range ts.conns {
	}
	ts.Server.mu.Unlock()
	w.nc.Close()
	ended := make(chan struct{})
	go func() { c.wait(); close(ended) }()
	waitFor(t, "the end of the connection", func() bool { c.mu.Lock(); defer c.mu.Unlock(); return c.ended })
	select {
	case <-ended:
		t.Error("ended while a request runs")
	default:
	}
	close(release)
	<-ended
}

// However the library's writes cut frames, a GOAWAY stands between two of them, and after the settings.
func TestGoAwayStandsBetweenFrames(t *testing.T) {
	var raw bytes.Buffer
	fr := http2.NewFramer(&raw, nil)
	fr.WriteSettings(http2.Setting{ID: http2.SettingMaxFrameSize, Val: 16384})
	for i := range uint32(20) {
		fr.WriteData(1, false, bytes.Repeat([]byte{byte(i)}, int(i*i)))
	}
	for seed := range uint64(200) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		out := &sinkConn{}
		f := &frames{Conn: out}
		rest, at := raw.Bytes(), rnd.IntN(raw.Len())
		for len(rest) > 0 {
			if raw.Len()-len(rest) >= at && f.ask() {
				f.goAway()
			}
			n := 1 + rnd.IntN(min(len(rest), 40))
			if _, err := f.Write(rest[:n]); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		if f.ask() {
			f.goAway()
		}
		in := http2.NewFramer(nil, bytes.NewReader(out.b.Bytes()))
		goAways, data := 0, 0
		for i := 0; ; i++ {
			fr, err := in.ReadFrame()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			switch fr.(type) {
			case *http2.GoAwayFrame:
				goAways++
			case *http2.DataFrame:
				data++
			}
			if _, ok := fr.(*http2.SettingsFrame); ok != (i == 0) {
				t.Fatalf("seed %d: frame %d is %v", seed, i, fr)
			}
		}
		if goAways != 1 || data != 20 {
			t.Fatalf("seed %d: %d GOAWAY and %d DATA frames", seed, goAways, data)
		}
	}
}

// sinkConn keeps what is written.
type sinkConn struct {
	net.Conn
	b bytes.Buffer
}

func (c *sinkConn) Write(p []byte) (int, error)        { return c.b.Write(p) }
func (c *sinkConn) SetWriteDeadline(_ time.Time) error { return nil }

// A client that opens streams and resets them, sends heads without end, or heads that grow when they are decoded, loses its
// connection, and others are served meanwhile.
func TestFloods(t *testing.T) {
	ts := start(t, Options{Parallel: 4}, func(c *Call) error { time.Sleep(time.Millisecond); return hello(c) })
	big := strings.Repeat("x", 4000)
	get := []string{":method: GET", ":scheme: http", ":authority: a", ":path: /"}
	bomb := bytes.Repeat([]byte{0x80 | 62}, 16_000) // each byte is an entry of the table
	floods := map[string]func(w *wire, n uint32) error{
		"rapid reset": func(w *wire, n uint32) error {
			return errors.Join(w.head(1+2*n, w.block(get...)), w.WriteRSTStream(1+2*n, http2.ErrCodeCancel))
		},
		"continuation": func(w *wire, n uint32) error {
			if n == 0 {
				return w.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: w.block(get...)})
			}
			return w.WriteContinuation(1, false, w.block("a: "+big))
		},
		"bomb": func(w *wire, n uint32) error {
			block := w.block(append(get, "bomb: "+big)...)
			return w.head(1+2*n, append(block[:len(block):len(block)], bomb...))
		},
		"malformed bomb": func(w *wire, n uint32) error {
			if n == 0 {
				return w.head(1, w.block(append(get, "bomb: "+big)...))
			}
			return w.head(1+2*n, bomb)
		},
		"upper case": func(w *wire, n uint32) error { return w.head(1+2*n, w.block(append(get, "A: b")...)) },
	}
	for name, flood := range floods {
		t.Run(name, func(t *testing.T) {
			w := ts.dial(t)
			closed := make(chan int, 1)
			go func() { // what the server says is read, or it could end for that
				n := 0
				for {
					if _, err := w.ReadFrame(); err != nil && !errors.As(err, new(http2.StreamError)) {
						closed <- n
						return
					}
					n++
				}
			}()
			other := ts.client(t)
			sent := uint32(0)
			for ended := false; !ended; sent++ {
				select {
				case <-closed:
					ended = true
				default:
					if err := flood(w, sent); err != nil {
						ended = true
					}
				}
				if sent%500 == 0 {
					if status, _, err := fetch(other, ts.url("/")); err != nil || status != 200 {
						t.Fatalf("another client gets %d %v", status, err)
					}
				}
			}
			t.Logf("ended after %d", sent)
		})
	}
}

func TestInterimResponses(t *testing.T) {
	ts := start(t, Options{}, func(c *Call) error {
		if err := c.Response.Inform(103, exchange.Fields{{Name: "Link", Value: "</a.css>"}}); err != nil {
			return err
		}
		return hello(c)
	})
	w := ts.dial(t)
	w.request(1, true, "/")
	for _, want := range []struct{ status, link string }{{"103", "</a.css>"}, {"200", ""}} {
		f := w.await("a head", func(f http2.Frame) bool { _, ok := f.(*http2.MetaHeadersFrame); return ok }).(*http2.MetaHeadersFrame)
		link := ""
		for _, field := range f.RegularFields() {
			if field.Name == "link" {
				link = field.Value
			}
		}
		if got := f.PseudoValue("status"); got != want.status || link != want.link {
			t.Errorf("status %s with link %q, want %+v", got, link, want)
		}
	}
}
