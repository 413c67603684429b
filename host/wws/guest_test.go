package wws

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/host/engine"
)

// sink keeps the body of a response.
type sink struct{ bytes.Buffer }

func (*sink) WriteHead(int, exchange.Fields, int64) error { return nil }
func (*sink) Flush() error                                { return nil }
func (*sink) Close(exchange.Fields) error                 { return nil }
func (*sink) Abort()                                      {}

// load makes a guest that answers every request with the reply. What requests it gets goes to seen.
func load(t *testing.T, module, reply string, keep bool, seen *[]string) *Guest {
	t.Helper()
	wasm, err := os.ReadFile(filepath.Join("..", "..", "testdata", "wasm", module+".wasm"))
	if err != nil {
		t.Fatal(err)
	}
	eng, err := engine.New(t.Context(), engine.Options{Interrupt: engine.InterruptFuel})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = eng.Close(context.Background()) })
	m, err := eng.Compile(t.Context(), wasm)
	if err != nil {
		t.Fatal(err)
	}
	g, err := New(t.Context(), m, Options{
		Name: "app.wasm", Args: []string{reply}, BodyLimit: 100, Keep: keep,
		Stderr: func(_ context.Context, line string) { *seen = append(*seen, line) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func serve(t *testing.T, g *Guest, req exchange.Request, body string) (x *exchange.Exchange, data string, err error) {
	t.Helper()
	req.Body = strings.NewReader(body)
	x = &exchange.Exchange{Request: req}
	var s sink
	x.Response.Reset(&s, req.Method)
	if err = g.Serve(t.Context(), x); err == nil {
		err = x.Response.Finish()
	}
	return x, s.String(), err
}

func TestRequestAndResponse(t *testing.T) {
	var seen []string
	g := load(t, "wws", `{"data":"Zm9v/w==","base64":true,"status":201,"headers":{"x-a":"b","Content-Length":"9"},"kv":{"n":"1"},"more":1}`, true, &seen)
	req := exchange.Request{
		Method: "POST", Scheme: "https", Host: "h.example", ScriptName: "/base", Target: "/p%20q?x=1", ContentLength: 5,
		Fields: exchange.Fields{{Name: "Accept", Value: "a"}, {Name: "ACCEPT", Value: "b"}, {Name: "Cookie", Value: "c=1"}, {Name: "Cookie", Value: "d=2"}},
	}
	for n := range 2 {
		x, data, err := serve(t, g, req, "bödy\"")
		if err != nil || data != "foo\xff" || x.Response.Status != 201 || len(x.Response.Fields) != 1 || x.Response.Fields.Get("x-a") != "b" {
			t.Fatalf("error %v, status %d, fields %v, data %q", err, x.Response.Status, x.Response.Fields, data)
		}
		var got request
		if err := json.Unmarshal([]byte(seen[n]), &got); err != nil {
			t.Fatal(err)
		}
		want := request{
			URL: "https://h.example/base/p%20q?x=1", Method: "POST", Body: "bödy\"", KV: map[string]string{}, Params: map[string]string{},
			Headers: map[string]string{"host": "h.example", "accept": "a, b", "cookie": "c=1; d=2"},
		}
		if n > 0 {
			want.KV["n"] = "1"
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("the guest read\n%+v, want\n%+v", got, want)
		}
	}
}

func TestNothingIsKeptUnlessWanted(t *testing.T) {
	var seen []string
	g := load(t, "wws", `{"data":"","status":200,"kv":{"n":"1"}}`, false, &seen)
	for range 2 {
		if _, _, err := serve(t, g, exchange.Request{Method: "GET", Target: "/"}, ""); err != nil {
			t.Fatal(err)
		}
	}
	if !strings.Contains(seen[1], `"kv":{}`) {
		t.Errorf("the second request is %s", seen[1])
	}
}

func TestFailures(t *testing.T) {
	for _, c := range []struct {
		module, reply, body string
		status              int
	}{
		{"wws", "no JSON", "", 502},
		{"wws", "", "", 502},
		{"wws", `{"data":"x"}`, "", 502},
		{"wws", `{"status":200}`, "", 502},
		{"wws", `{"data":"x","status":"200"}`, "", 502},
		{"wws", `{"data":"?","status":200,"base64":true}`, "", 502},
		{"wws", `{"data":"x","status":99}`, "", 502},
		{"wws", `{"data":"x","status":200,"headers":{"a\nb":"c"}}`, "", 502},
		{"wws", `{"data":"x","status":200}`, strings.Repeat("x", 101), 413},
		{"wws", `{"data":"x","status":200}`, "\xff", 415},
		{"cgitrap", "", "", 500},
		{"cgiexit", "", "", 500},
	} {
		var seen []string
		_, _, err := serve(t, load(t, c.module, c.reply, false, &seen), exchange.Request{Method: "GET", Target: "/"}, c.body)
		if err == nil || exchange.AsFailure(err).Status != c.status {
			t.Errorf("%s %q: %v, want status %d", c.module, c.reply, err, c.status)
		}
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add(`{"data":"x","status":200,"headers":{"a":"b"},"kv":{},"base64":true}`)
	f.Fuzz(func(t *testing.T, printed string) {
		g := &Guest{opts: Options{Keep: true}}
		x := &exchange.Exchange{}
		x.Response.Reset(&sink{}, "GET")
		if err := g.answer(x, []byte(printed)); err == nil && x.Response.Status == 0 {
			t.Error("an answer without a status")
		}
	})
}
