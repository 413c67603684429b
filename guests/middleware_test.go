package guests_test

import (
	"context"
	"testing"

	"github.com/appserver-go/appserver/exchange"
)

// TestKitMiddleware serves a middleware made with the kit in front of handlers that answer in different ways.
func TestKitMiddleware(t *testing.T) {
	t.Parallel()
	log := &lines{}
	h := mustLoad(t, build(t, "testdata/middleware", "-buildmode=c-shared"), options{
		log: log, config: "k=v w",
		next: exchange.HandlerFunc(func(_ context.Context, x *exchange.Exchange) error {
			if x.Request.Path() == "/fail" {
				return exchange.Fail(502, exchange.Upstream, "no one there")
			}
			x.Response.Status = 201
			x.Response.Fields.Add("Content-Type", "text/plain")
			_, err := x.Response.Write([]byte("next saw " + x.Request.Target + " from " + x.Request.Fields.Get("X-User")))
			return err
		}),
	})
	for range 2 { // the second round finds the instance as the first left it
		for _, c := range []struct {
			target string
			status int
			body   string
			seen   string // X-Seen
			reason exchange.Reason
		}{
			{"/plain", 201, "next saw /plain from kit", "", ""},
			{"/header", 201, "next saw /header from kit", "1", ""},
			{"/upper", 201, "NEXT SAW /UPPER FROM KIT", "", ""},
			{"/rewrite?q=1", 201, "next saw /rewritten?q=1 from kit", "", ""},
			{"/trailer", 200, "body", "", ""},
			{"/forbidden", 403, "forbidden\n", "", ""},
			{"/fail", 502, "error page", "", exchange.Upstream},
		} {
			a := serve(t.Context(), h, request("GET", c.target, ""))
			if a.status != c.status || string(a.body) != c.body || a.fields.Get("X-Seen") != c.seen || a.reason != c.reason {
				t.Errorf("%s: status %d, body %q, X-Seen %q, error %v", c.target, a.status, a.body, a.fields.Get("X-Seen"), a.err)
			}
		}
	}
	if a := serve(t.Context(), h, request("GET", "/trailer", "")); len(a.trailers) != 1 || a.trailers.Get("X-Sum") != "42" {
		t.Errorf("trailers %v", a.trailers)
	}
	if got, want := log.String(), `msg=started config="k=v w"`; got != want {
		t.Errorf("log %q, want %q", got, want)
	}
}
