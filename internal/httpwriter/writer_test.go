package httpwriter

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/appserver-go/appserver/exchange"
)

// wire counts what is sent.
type wire struct{ heads, bytes int }

func (s *wire) WriteHead(int, exchange.Fields, int64) error { s.heads++; return nil }
func (s *wire) Write(p []byte) (int, error)                 { s.bytes += len(p); return len(p), nil }
func (*wire) Flush() error                                  { return nil }
func (*wire) Close(exchange.Fields) error                   { return nil }
func (*wire) Abort()                                        {}

// host/upstream and host/goplugin test the writer in use; here is what both take for granted.
func TestWriter(t *testing.T) {
	var r exchange.Response
	s := &wire{}
	r.Reset(s, "GET")
	r.Fields = exchange.Fields{{Name: "Vary", Value: "Origin"}, {Name: "content-type", Value: "text/early"}}
	w := New(&r)
	w.Header().Set("Vary", "Cookie")
	w.Header().Set("Content-Type", "text/x")
	w.Header().Set("Trailer", "X-Sum, Content-Length")
	w.WriteHeader(103)
	if w.Wrote() {
		t.Error("an informational response settled the head")
	}
	w.WriteHeader(201)
	w.Header().Set("X-Late", "1")
	if _, err := w.Write([]byte("abc")); err != nil || s.heads != 0 {
		t.Errorf("%v, %d heads sent", err, s.heads)
	}
	if err := w.FlushError(); err != nil || s.heads != 1 || s.bytes != 3 {
		t.Errorf("%v, %d heads and %d bytes sent", err, s.heads, s.bytes)
	}
	w.Header().Set("X-Sum", "9")
	w.Header().Set("Content-Length", "3")
	w.Header().Set(http.TrailerPrefix+"X-More", "8")
	w.Finish()
	have := fmt.Sprint(r.Status, r.Fields, r.Trailers, w.Err())
	want := "201 [{Vary Origin} {Content-Type text/x} {Vary Cookie}] [{X-More 8} {X-Sum 9}] <nil>"
	if have != want {
		t.Errorf("have %s\nwant %s", have, want)
	}
	r.Abort()
	if _, err := w.Write([]byte("d")); err == nil || w.Err() == nil {
		t.Error("a write after the end went well")
	}
}
