package http1

import (
	"io"
	"net"
	"strconv"
	"time"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/internal/httprules"
)

// Call is one request on its way through the server. It is valid until the handler returns, and its strings are.
type Call struct {
	exchange.Exchange

	room     [64]byte
	conn     *conn
	deadline time.Duration // of the running request on the server's clock; 0 means none
	begun    bool          // the head is being read
	settled  bool          // the head was read to its end, or refused
	bad      *httprules.Refusal
	in       input
	head     head
	body     body
	sink     sink
}

func newCall() *Call {
	c := &Call{}
	c.in.buf = make([]byte, minInput)
	return c
}

// X returns the exchange.
func (c *Call) X() *exchange.Exchange { return &c.Exchange }

// Room is where the handler can put strings that it makes for the request, such as its ID. They live as long as the call.
func (c *Call) Room() []byte { return c.room[:] }

// NetConn returns the connection as the listener given to Serve returned it.
func (c *Call) NetConn() net.Conn { return c.conn.nc }

// SetDeadline bounds all reads of the body and writes of the response by t; the zero time takes the bound away.
// Stalls are bounded as well, whatever t is.
func (c *Call) SetDeadline(t time.Time) {
	c.deadline = 0
	if !t.IsZero() {
		c.deadline = max(t.Sub(c.conn.s.epoch), 1)
	}
}

// CloseConnection makes the response the last one of its connection. It has no effect once the head is sent.
func (c *Call) CloseConnection() { c.sink.close = true }

// BodyRead returns how many bytes of the request's body the handler has read.
func (c *Call) BodyRead() int64 { return c.body.n }

// BodyErr returns the error that reading the request's body ended with, nil while it has not ended or ended well.
func (c *Call) BodyErr() error { return c.body.failed() }

// begin prepares c for the head of a request.
func (c *Call) begin(nc *conn) {
	c.conn, c.begun, c.settled, c.bad = nc, true, false, nil
	c.head.reset(&nc.s.o.Limits, nc.scheme)
	c.Request.Fields = c.Request.Fields[:0]
}

// complete reports whether the request, its head being settled, can be answered without reading.
func (c *Call) complete() bool {
	h := &c.head
	return c.bad != nil || !h.chunked && h.length <= int64(len(c.in.unread())) && h.upgrades == 0
}

// fill makes the exchange of the head, as far as it was read.
func (c *Call) fill() {
	h := &c.head
	c.Request = exchange.Request{
		Method: h.method, Target: h.target, Proto: h.proto(), Scheme: c.conn.scheme, Host: h.host,
		Fields: c.Request.Fields, Trailers: c.Request.Trailers[:0],
		Body: &c.body, ContentLength: h.bodyLength(),
		Upgrade:    h.offer(),
		RemoteAddr: c.conn.remote, LocalAddr: c.conn.local,
	}
	o := &c.conn.s.o
	c.sink.begin(c, o.Keepalive <= 0 || !h.persists() || o.KeepaliveRequests > 0 && c.conn.requests >= o.KeepaliveRequests)
	c.body.begin(c)
	c.Response.Reset(&c.sink, h.method)
}

// refuse answers with a page of the server's own and closes.
func (c *Call) refuse(bad *httprules.Refusal) {
	c.CloseConnection()
	if c.body.err == nil || c.body.err == io.EOF {
		c.body.err = errRefused // what follows is not to be read
	}
	page := strconv.Itoa(bad.Status) + " " + httprules.StatusText(bad.Status) + "\n"
	c.Response.Replace(bad.Status, "text/plain; charset=utf-8", page)
	if err := c.Response.Finish(); err != nil {
		c.Response.Abort()
	}
	if refused := c.conn.s.o.Refused; refused != nil {
		refused(&c.Exchange, bad.Status, bad.Cause)
	}
}

var errRefused = exchange.Fail(400, exchange.BadRequest, "the request was refused")

// end ends the call and reports whether the connection can bring another.
func (c *Call) end() (again bool) {
	c.Response.Abort() // does nothing unless the handler forgot both ends
	c.deadline = 0
	again = !c.Response.Hijacked() && !c.sink.close && !c.sink.aborted && c.body.whole()
	if again {
		c.body.drop()
	}
	return again
}

// release drops what belongs to the connection and the request, so that a pooled Call keeps neither alive.
func (c *Call) release() {
	c.conn = nil
	c.body = body{}
	c.sink.release()
	c.Request.Body = nil
}
