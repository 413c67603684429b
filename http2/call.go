package http2

import (
	"fmt"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/internal/httprules"
)

// Call is one request on its way through the server. It is valid until the handler returns.
type Call struct {
	exchange.Exchange

	scratch  [64]byte
	conn     *conn
	r        *http.Request
	w        *http.ResponseController
	deadline time.Time // of the running request; zero means none
	body     body
	sink     sink
	keys     []string // scratch of fill
}

// X returns the exchange.
func (c *Call) X() *exchange.Exchange { return &c.Exchange }

// Room is where the handler can put strings that it makes for the request, such as its ID. They live as long as the call.
func (c *Call) Room() []byte { return c.scratch[:] }

// NetConn returns the connection as it was accepted. Others may be using it.
func (c *Call) NetConn() net.Conn { return c.conn.link.Socket }

// SetDeadline bounds all reads of the body and writes of the response by t; the zero time takes the bound away.
// Stalls are bounded as well, whatever t is.
func (c *Call) SetDeadline(t time.Time) { c.deadline = t }

// CloseConnection asks the client to bring no more requests on the connection.
func (c *Call) CloseConnection() { c.conn.goAwaySoon() }

// BodyErr returns the error that reading the request's body ended with, nil while it has not ended or ended well.
func (c *Call) BodyErr() error { return c.body.failed() }

// BodyRead returns how many bytes of the request's body have been read.
func (c *Call) BodyRead() int64 { return c.body.n }

// Gone reports whether the client has given the request or the connection up, so that nobody will read the response. It
// may be called from any goroutine while the handler runs.
func (c *Call) Gone() bool { return c.r.Context().Err() != nil }

// until returns the earlier of the time a stall ends and the running request's deadline; the zero time means neither.
func (c *Call) until() time.Time {
	var t time.Time
	if stall := c.conn.s.o.StallTimeout; stall > 0 {
		t = time.Now().Add(stall)
	}
	if !c.deadline.IsZero() && (t.IsZero() || c.deadline.Before(t)) {
		t = c.deadline
	}
	return t
}

// serveHTTP is the library's handler.
func (s *Server) serveHTTP(w http.ResponseWriter, r *http.Request) {
	nc := connOf(r)
	if !nc.enter() {
		return
	}
	defer nc.leave()
	c, _ := s.calls.Get().(*Call)
	defer s.calls.Put(c)
	c.fill(nc, w, r)
	bad := screen(r, s.o.Limits)
	if bad == nil {
		c.Request.Target, c.Request.Host, bad = httprules.Target(r.Method, nc.link.Scheme, r.RequestURI, r.Host)
	}
	if bad == nil {
		bad = c.body.prefetch(s.o.PrefetchTimeout)
	}
	if bad == nil {
		bad = c.takeTurn(s.o.PrefetchTimeout)
	}
	if bad != nil {
		c.refuse(r, bad)
	} else {
		defer func() { <-nc.turn }()
		s.o.Handler(c)
	}
	c.finish()
}

// fill prepares c for a request.
func (c *Call) fill(nc *conn, w http.ResponseWriter, r *http.Request) {
	c.conn, c.r, c.w, c.deadline = nc, r, http.NewResponseController(w), time.Time{}
	c.sink = sink{w: w, call: c}
	c.body.reset(c, r, nc.s.o.Limits.Body)
	nc.frames.served.Add(1)
	o := &nc.s.o
	if n := nc.count(); o.Keepalive <= 0 || o.KeepaliveRequests > 0 && n >= o.KeepaliveRequests {
		nc.goAwaySoon()
	}
	c.Request = exchange.Request{
		Method: r.Method, Proto: r.Proto, Scheme: nc.link.Scheme,
		Fields: c.Request.Fields[:0], Trailers: c.Request.Trailers[:0],
		Body: &c.body, ContentLength: r.ContentLength,
		RemoteAddr: nc.link.Remote, LocalAddr: nc.link.Local,
	}
	c.keys = c.keys[:0]
	for name := range r.Header {
		if !httprules.Hidden(name) {
			c.keys = append(c.keys, name)
		}
	}
	slices.Sort(c.keys)
	for _, name := range c.keys {
		for _, v := range r.Header[name] {
			c.Request.Fields.Add(name, v)
		}
	}
	c.Response.Reset(&c.sink, r.Method)
}

// takeTurn waits until the connection has fewer than its share of requests in the handler.
func (c *Call) takeTurn(timeout time.Duration) *httprules.Refusal {
	select {
	case c.conn.turn <- struct{}{}:
		return nil
	default:
	}
	var late <-chan time.Time
	if timeout > 0 {
		t := time.NewTimer(timeout)
		defer t.Stop()
		late = t.C
	}
	select {
	case c.conn.turn <- struct{}{}:
		return nil
	case <-late:
		return tooMany
	case <-c.r.Context().Done():
		return gone
	}
}

var (
	tooMany = &httprules.Refusal{Status: http.StatusServiceUnavailable, Cause: "waited too long for other requests of the connection"}
	gone    = &httprules.Refusal{Status: httprules.StatusClientGone, Cause: "the client has gone"}
)

// refuse answers with a page of the server's own.
func (c *Call) refuse(r *http.Request, bad *httprules.Refusal) {
	if c.Request.Target == "" {
		c.Request.Target, c.Request.Host = r.RequestURI, r.Host // for the log; nobody acts on them
	}
	page := fmt.Sprintf("%d %s\n", bad.Status, httprules.StatusText(bad.Status))
	if bad.Status == httprules.StatusClientGone {
		c.Response.Abort()
	} else {
		c.Response.Replace(bad.Status, "text/plain; charset=utf-8", page)
		if err := c.Response.Finish(); err != nil {
			c.Response.Abort()
		}
	}
	if refused := c.conn.s.o.Refused; refused != nil {
		refused(&c.Exchange, bad.Status, bad.Cause)
	}
}

// finish ends the call.
func (c *Call) finish() {
	c.Response.Abort() // does nothing unless the handler forgot both ends
	aborted := c.sink.aborted
	c.sink = sink{}
	c.body.release()
	c.conn, c.r, c.w = nil, nil, nil
	if aborted {
		panic(http.ErrAbortHandler) // the library's way to reset a stream
	}
}
