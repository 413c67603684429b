package goplugin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/appserver-go/appserver/exchange"
)

// wire is a front end that keeps what it gets.
type wire struct {
	bytes.Buffer
	status   int
	fields   exchange.Fields
	length   int64
	trailers exchange.Fields
	flushes  int
	aborted  bool
}

func (s *wire) WriteHead(status int, fields exchange.Fields, length int64) error {
	s.status, s.fields, s.length = status, slices.Clone(fields), length
	return nil
}
func (s *wire) Flush() error                  { s.flushes++; return nil }
func (s *wire) Close(t exchange.Fields) error { s.trailers = slices.Clone(t); return nil }
func (s *wire) Abort()                        { s.aborted = true }
func handlerFor(f http.HandlerFunc) *Handler  { return &Handler{bound: &bound{handler: f}} }
func post(body string) (*exchange.Exchange, *wire) {
	x, s := &exchange.Exchange{Request: exchange.Request{
		Method: "POST", Target: "/a%2Fb?c=d", Proto: "HTTP/1.1", Scheme: "http", Host: "example.com", ID: "id",
		Fields:     exchange.Fields{{Name: "x-a", Value: "1"}, {Name: "X-A", Value: "2"}},
		RemoteAddr: "192.0.2.7:1", LocalAddr: "192.0.2.8:80", Body: strings.NewReader(body), ContentLength: int64(len(body)),
	}}, &wire{}
	x.Response.Reset(s, "POST")
	return x, s
}

func TestRequest(t *testing.T) {
	x, _ := post("the body")
	x.Request.ContentLength = -1
	x.Request.Trailers = exchange.Fields{{Name: "x-sum", Value: "9"}}
	err := handlerFor(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		have := fmt.Sprint(r.Method, r.URL.EscapedPath(), r.URL.RawQuery, r.RequestURI, r.Host, r.RemoteAddr, r.Proto, r.ProtoAtLeast(1, 1),
			r.Header, string(body), err, r.Trailer, r.TransferEncoding, r.Context().Value(http.LocalAddrContextKey))
		want := "POST/a%2Fbc=d/a%2Fb?c=dexample.com192.0.2.7:1HTTP/1.1true map[X-A:[1 2]]the body<nil> map[X-Sum:[9]] [chunked]192.0.2.8:80"
		if have != want {
			t.Errorf("have %s\nwant %s", have, want)
		}
	}).Serve(t.Context(), x)
	if err != nil {
		t.Error(err)
	}
}

func TestResponse(t *testing.T) {
	for _, test := range []struct {
		name    string
		handler http.HandlerFunc
		want    string // status, fields, body, trailers
	}{
		{"nothing", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X-A", "1") }, "200 [{X-A 1}]  []"},
		{"sniffed", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>") }, "200 [{Content-Type text/html; charset=utf-8}] <html> []"},
		{"not sniffed", func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = nil
			io.WriteString(w, "<html>")
		}, "200 [] <html> []"},
		{"head settled once", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(103)
			w.WriteHeader(404)
			w.WriteHeader(200)
			w.Header().Set("X-Late", "1")
		}, "404 []  []"},
		{"no content", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(204)
			if _, err := io.WriteString(w, "x"); err != http.ErrBodyNotAllowed {
				t.Errorf("a body after 204: %v", err)
			}
		}, "204 []  []"},
		{"trailers", func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = nil
			w.Header().Set("Trailer", "X-Sum")
			io.WriteString(w, "a")
			w.(http.Flusher).Flush()
			w.Header().Set("X-Sum", "9")
		}, "200 [] a [{X-Sum 9}]"},
	} {
		t.Run(test.name, func(t *testing.T) {
			x, s := post("")
			if err := handlerFor(test.handler).Serve(t.Context(), x); err != nil {
				t.Fatal(err)
			}
			if err := x.Response.Finish(); err != nil {
				t.Fatal(err)
			}
			if have := fmt.Sprintf("%d %v %s %v", s.status, s.fields, s.String(), s.trailers); have != test.want {
				t.Errorf("have %s\nwant %s", have, test.want)
			}
		})
	}
}

func TestFlushStreams(t *testing.T) {
	x, s := post("")
	err := handlerFor(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "one")
		if err := http.NewResponseController(w).Flush(); err != nil || s.String() != "one" || s.flushes != 1 || s.length != -1 {
			t.Errorf("after a flush: %v, %q, %d flushes, length %d", err, s.String(), s.flushes, s.length)
		}
		if _, _, err := http.NewResponseController(w).Hijack(); err == nil {
			t.Error("a response that was begun was hijacked")
		}
	}).Serve(t.Context(), x)
	if err != nil {
		t.Error(err)
	}
}

func TestHandlerFailures(t *testing.T) {
	for _, test := range []struct {
		name    string
		handler http.HandlerFunc
		reason  exchange.Reason
		text    string
		abort   bool
	}{
		{"panic", func(http.ResponseWriter, *http.Request) { panic("boo") }, exchange.Trapped, "the plugin panicked: boo", false},
		{"abort", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, exchange.Canceled, "broke the response off", true},
		{"goexit", func(http.ResponseWriter, *http.Request) { runtime.Goexit() }, exchange.Trapped, "Goexit", false},
		{"status", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(99) }, exchange.Trapped, "invalid WriteHeader code 99", false},
		{"too much", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1")
			io.WriteString(w, "two")
			w.(http.Flusher).Flush()
		}, exchange.BadResponse, "Content-Length of 1", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			x, s := post("")
			err := handlerFor(test.handler).Serve(t.Context(), x)
			var f *exchange.Failure
			if !errors.As(err, &f) || f.Reason != test.reason || !strings.Contains(f.Error(), test.text) || f.Running != nil {
				t.Errorf("have %+v", err)
			}
			if s.aborted != test.abort {
				t.Errorf("broken off: %v", s.aborted)
			}
			if test.name == "panic" && !strings.Contains(f.Stack, "serve_test.go") {
				t.Errorf("stack %s", f.Stack)
			}
		})
	}
}

// A handler past its deadline fails its request, whatever it writes then; one that does not return is told apart.
func TestDeadline(t *testing.T) {
	for _, test := range []struct {
		name   string
		takes  time.Duration // after the context ended
		cancel bool
		status int
		reason exchange.Reason
		runs   bool
	}{
		{"obeys", 0, false, 504, exchange.TimedOut, false},
		{"slow to obey", obeyTime / 2, false, 504, exchange.TimedOut, false},
		{"stuck", time.Hour, false, 504, exchange.TimedOut, true},
		{"cut off", 0, true, 503, exchange.Canceled, false},
		{"panics", -1, false, 504, exchange.TimedOut, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				if test.cancel {
					time.AfterFunc(time.Millisecond, cancel)
				}
				x, s := post("body")
				h := handlerFor(func(w http.ResponseWriter, r *http.Request) {
					io.WriteString(w, "early")
					<-r.Context().Done()
					if test.takes > 0 {
						time.Sleep(test.takes)
					}
					if test.takes < 0 {
						panic("boo")
					}
					if _, err := io.WriteString(w, "late"); err != http.ErrHandlerTimeout {
						t.Errorf("a late write: %v", err)
					}
					if _, err := r.Body.Read(make([]byte, 1)); err == nil && test.takes > 0 {
						t.Error("the body can be read after the request")
					}
				})
				f := exchange.AsFailure(h.Serve(ctx, x))
				if f.Status != test.status || f.Reason != test.reason || (f.Running != nil) != test.runs {
					t.Errorf("have %+v", f)
				}
				if has := strings.Contains(f.Error(), "boo") && f.Stack != ""; has != (test.takes < 0) {
					t.Errorf("the failure is %v", f)
				}
				if !x.Response.Replace(504, "text/plain", "page") || x.Response.Finish() != nil || s.String() != "page" {
					t.Errorf("sent %q", s.String())
				}
				if test.runs {
					if !strings.Contains(f.Stack, "TestDeadline") {
						t.Errorf("the stack is not the handler's: %s", f.Stack)
					}
					if err := h.shutDown(); err == nil {
						t.Error("the plugin was closed under a request")
					}
					<-f.Running
				}
			})
		})
	}
}
