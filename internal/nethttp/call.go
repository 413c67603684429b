package nethttp

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

	conn *conn
	body body
	sink sink
	keys []string // scratch of fill
}

// NetConn returns the connection as the listener given to Serve returned it.
func (c *Call) NetConn() net.Conn { return c.conn.Conn }

// SetDeadline bounds all reads of the body and writes of the response by t; the zero time takes the bound away.
// Stalls are bounded as well, whatever t is.
func (c *Call) SetDeadline(t time.Time) {
	if t.IsZero() {
		c.conn.deadline.Store(0)
		return
	}
	c.conn.deadline.Store(t.UnixNano())
}

// CloseConnection makes the response the last one of its connection. It has no effect once the head is sent.
func (c *Call) CloseConnection() { c.sink.close = true }

// BodyErr returns the error that reading the request's body ended with, nil while it has not ended or ended well.
func (c *Call) BodyErr() error { return c.body.failed() }

// serveHTTP is net/http's handler.
func (s *Server) serveHTTP(w http.ResponseWriter, r *http.Request) {
	nc := connOf(r)
	nc.clean.Store(false)
	bad := screen(r, s.o.Limits)
	target, host, badTarget := httprules.Target(r.Method, r.RequestURI, r.Host)
	if bad == nil {
		bad = badTarget
	}
	c, _ := s.calls.Get().(*Call)
	defer s.calls.Put(c)
	c.fill(s, nc, w, r)
	c.Request.Target, c.Request.Host = target, host
	if bad == nil {
		bad = c.body.prefetch(s.o.PrefetchTimeout)
	}
	if bad != nil {
		c.refuse(s, r, bad)
	} else {
		s.o.Handler(c)
	}
	c.finish()
}

// fill prepares c for a request.
func (c *Call) fill(s *Server, nc *conn, w http.ResponseWriter, r *http.Request) {
	c.conn = nc
	c.sink = sink{w: w, call: c, close: closeAfter(s, r)}
	c.body.reset(nc, r, s.o.Limits.Body, &c.Request.Trailers)
	c.Request = exchange.Request{
		Method: r.Method, Proto: r.Proto, Scheme: "http",
		Fields: c.Request.Fields[:0], Trailers: c.Request.Trailers[:0],
		Body: &c.body, ContentLength: r.ContentLength,
		RemoteAddr: nc.remote, LocalAddr: nc.local,
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

// closeAfter reports whether the connection must be closed after this request, whatever becomes of it. After a
// chunked or an HTTP/1.0 request that is because net/http hides the fields that would tell whether sender and
// receiver agree on where the body ends.
func closeAfter(s *Server, r *http.Request) bool {
	return s.o.Keepalive <= 0 || !r.ProtoAtLeast(1, 1) || len(r.TransferEncoding) > 0
}

// refuse answers with a page of the server's own and closes.
func (c *Call) refuse(s *Server, r *http.Request, bad *httprules.Refusal) {
	c.CloseConnection()
	if c.Request.Target == "" {
		c.Request.Target, c.Request.Host = r.RequestURI, r.Host // for the log; nobody acts on them
	}
	page := fmt.Sprintf("%d %s\n", bad.Status, http.StatusText(bad.Status))
	c.Response.Replace(bad.Status, "text/plain; charset=utf-8", page)
	if err := c.Response.Finish(); err != nil {
		c.Response.Abort()
	}
	if s.o.Refused != nil {
		s.o.Refused(&c.Exchange, bad.Status, bad.Cause)
	}
}

// finish leaves the connection in the state that net/http's end of the request needs.
func (c *Call) finish() {
	c.Response.Abort() // does nothing unless the handler forgot both ends
	c.conn.deadline.Store(0)
	whole := c.body.whole()
	if !whole {
		// net/http reads on for up to 256 KiB to reuse a connection. This one is closed, so it need not wait.
		_ = c.conn.SetReadDeadline(time.Unix(1, 0))
	}
	c.conn.clean.Store(whole)
	aborted := c.sink.aborted
	c.sink = sink{}
	c.body.release()
	if aborted {
		panic(http.ErrAbortHandler) // net/http's way to close without ending the response
	}
}
