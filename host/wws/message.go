package wws

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/appserver-go/appserver/exchange"
)

// request is what a guest reads (wasm-workers-server, crates/worker/src/io.rs).
type request struct {
	URL     string            `json:"url"`
	Method  string            `json:"method"`
	Headers map[string]string `json:"headers"`
	Body    string            `json:"body"`
	KV      map[string]string `json:"kv"`
	Params  map[string]string `json:"params"`
}

// response is what a guest prints.
type response struct {
	Data    *string           `json:"data"`
	Headers map[string]string `json:"headers"`
	Status  int               `json:"status"`
	KV      map[string]string `json:"kv"`
	Base64  bool              `json:"base64"`
}

// encode returns the guest's input. Errors are a *exchange.Failure.
func (g *Guest) encode(ctx context.Context, req *exchange.Request) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(req.Body, g.opts.BodyLimit+1))
	switch {
	case err != nil:
		return nil, bodyFailure(ctx, err)
	case int64(len(body)) > g.opts.BodyLimit:
		return nil, exchange.Fail(413, exchange.BadRequest, "the request body is longer than %d bytes", g.opts.BodyLimit)
	case !utf8.Valid(body):
		return nil, exchange.Fail(415, exchange.BadRequest, "the request body is no text in UTF-8, and the protocol wws has texts only")
	}
	return json.Marshal(&request{
		URL: req.Scheme + "://" + req.Host + req.ScriptName + req.Target, Method: req.Method, Headers: headers(req), Body: string(body), KV: g.snapshot(),
		Params: map[string]string{},
	})
}

// bodyFailure says why the client's body could not be read.
func bodyFailure(ctx context.Context, err error) error {
	var f *exchange.Failure
	switch {
	case errors.As(err, &f):
		return f
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return exchange.Fail(504, exchange.TimedOut, "read the request body: %w", err)
	case ctx.Err() != nil:
		return exchange.Fail(503, exchange.Canceled, "read the request body: %w", err)
	}
	return exchange.Fail(400, exchange.BadRequest, "read the request body: %w", err)
}

// headers returns the fields by their names in small letters. Those of one name become one (RFC 9110 §5.3).
func headers(req *exchange.Request) map[string]string {
	m := map[string]string{}
	if req.Host != "" {
		m["host"] = req.Host
	}
	for _, f := range req.Fields {
		name := strings.ToLower(f.Name)
		before, twice := m[name]
		switch {
		case !twice:
			m[name] = f.Value
		case name == "cookie": // RFC 9113 §8.2.3
			m[name] = before + "; " + f.Value
		default:
			m[name] = before + ", " + f.Value
		}
	}
	return m
}

// snapshot returns the keys and values for a request, never nil.
func (g *Guest) snapshot() map[string]string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return maps.Clone(g.kept)
}

// keep replaces the keys and values.
func (g *Guest) keep(kv map[string]string) error {
	if !g.opts.Keep || kv == nil {
		return nil
	}
	size := 0
	for k, v := range kv {
		size += len(k) + len(v)
	}
	if size > keptLimit {
		return exchange.Fail(502, exchange.BadResponse, "the guest's kv is %d bytes, more than %d", size, keptLimit)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.kept = kv
	return nil
}

// answer makes the response of what the guest has printed.
func (g *Guest) answer(x *exchange.Exchange, printed []byte) error {
	var r response
	if err := json.Unmarshal(printed, &r); err != nil {
		return exchange.Fail(502, exchange.BadResponse, "the guest printed no response in JSON: %w", err)
	}
	if r.Data == nil || r.Status == 0 {
		return exchange.Fail(502, exchange.BadResponse, "the guest's response lacks data or status")
	}
	data := []byte(*r.Data)
	if r.Base64 {
		var err error
		if data, err = base64.StdEncoding.DecodeString(*r.Data); err != nil {
			return exchange.Fail(502, exchange.BadResponse, "the guest's data is not base64: %w", err)
		}
	}
	if err := g.keep(r.KV); err != nil {
		return err
	}
	x.Response.Status = r.Status
	for _, name := range slices.Sorted(maps.Keys(r.Headers)) {
		if strings.EqualFold(name, "Content-Length") {
			continue // that of the data is known here
		}
		x.Response.Fields.Add(name, r.Headers[name])
	}
	_, err := x.Response.Write(data)
	return exchange.SendFailure(err)
}
