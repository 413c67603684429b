package stdio

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/appserver-go/appserver/exchange"
)

// inform passes an informational response on. Clients that cannot be told do without.
func inform(x *exchange.Exchange, res *http.Response) error {
	err := x.Response.Inform(res.StatusCode, fieldsOf(res.Header))
	if errors.Is(err, exchange.ErrNotSupported) {
		return nil
	}
	return exchange.SendFailure(err)
}

// fieldsOf returns the fields of a head, in the order of their names.
func fieldsOf(h http.Header) exchange.Fields {
	var fields exchange.Fields
	for _, name := range slices.Sorted(maps.Keys(h)) {
		for _, value := range h[name] {
			fields.Add(name, value)
		}
	}
	return fields
}

// upgrade is for a guest that has answered with status 101: it takes the client's connection over and writes the head.
func upgrade(x *exchange.Exchange, res *http.Response) (net.Conn, error) {
	protocol := res.Header.Get("Upgrade")
	if !offered(x.Request.Upgrade, protocol) {
		return nil, exchange.Fail(502, exchange.BadResponse, "the guest switched protocols to %q, the client offers %q", protocol, x.Request.Upgrade)
	}
	fields := slices.DeleteFunc(fieldsOf(res.Header), func(f exchange.Field) bool {
		return exchange.HopByHop(f.Name) || strings.EqualFold(f.Name, "Content-Length")
	})
	if err := exchange.CheckHead(http.StatusOK, fields); err != nil {
		return nil, err
	}
	conn, err := x.Response.Hijack()
	if errors.Is(err, exchange.ErrNotSupported) {
		return nil, exchange.Fail(502, exchange.BadResponse, "the guest switched protocols, which the client's connection cannot")
	}
	if err != nil {
		return nil, exchange.SendFailure(err)
	}
	head := bytes.NewBufferString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: " + protocol + "\r\n")
	for _, f := range fields {
		head.WriteString(f.Name + ": " + f.Value + "\r\n")
	}
	head.WriteString("\r\n")
	_, _ = conn.Write(head.Bytes()) // reading fails, too, once the client has gone
	return conn, nil
}

// offered reports whether a protocol is in the list that the client sent (RFC 9110 7.8).
func offered(list, protocol string) bool {
	for item := range strings.SplitSeq(list, ",") {
		if item = strings.TrimSpace(item); item != "" && strings.EqualFold(item, protocol) {
			return true
		}
	}
	return false
}

// handOver leaves the client's connection to the instance, for which the pool may make another. Both end together.
func (g *Guest) handOver(i *instance, conn net.Conn) {
	g.pool.Forget()
	g.ending.Go(func() {
		g.taken.add(conn)
		defer g.taken.remove(conn)
		i.tunnel(conn)
	})
}

// tunnel passes bytes in both directions until one side ends. A client that has ended its side gets what the guest says
// within endGrace.
func (i *instance) tunnel(conn net.Conn) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer conn.Close()
		_, _ = io.Copy(conn, i.response) // its end is all that matters
	}()
	_, _ = io.Copy(i.in, conn)
	i.end()
	<-done
}

// connections are those that guests have taken over.
type connections struct {
	mu     sync.Mutex
	open   map[net.Conn]struct{}
	closed bool
}

func (c *connections) add(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		_ = conn.Close()
		return
	}
	if c.open == nil {
		c.open = map[net.Conn]struct{}{}
	}
	c.open[conn] = struct{}{}
}

func (c *connections) remove(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.open, conn)
}

// close closes them all, and those that are added later.
func (c *connections) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for conn := range c.open {
		_ = conn.Close()
	}
}
