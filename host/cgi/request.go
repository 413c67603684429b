package cgi

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"

	"github.com/appserver-go/appserver/exchange"
)

// request is what one run of the guest is about: the client's request, or what a local redirect made of it.
type request struct {
	method      string
	target      string
	path, query string // of target, still escaped
	contentType string
	length      int64
	body        io.Reader // nil without a body
}

// newRequest prepares the client's request. A guest learns its body's length before it runs, so a body of unknown
// length is gathered first. Errors are a *Failure.
func newRequest(ctx context.Context, req *exchange.Request, limit int64) (*request, error) {
	r := &request{
		method: req.Method, target: req.Target, path: req.Path(), query: req.Query(),
		contentType: req.Fields.Get("Content-Type"), length: req.ContentLength,
	}
	switch {
	case r.length > 0:
		r.body = req.Body
	case r.length < 0:
		b, err := io.ReadAll(io.LimitReader(req.Body, limit+1))
		if err != nil {
			return nil, bodyFailure(ctx, err)
		}
		if int64(len(b)) > limit {
			return nil, exchange.Fail(413, exchange.BadRequest,
				"the request body has no Content-Length and is longer than the %d bytes that are gathered", limit)
		}
		r.length, r.body = int64(len(b)), bytes.NewReader(b)
	}
	return r, nil
}

// redirected returns the request that a local redirect stands for (RFC 3875 6.2.2): a GET of the location, without
// the body.
func (r *request) redirected(location string) *request {
	location, _, _ = strings.Cut(location, "#")
	path, query, _ := strings.Cut(location, "?")
	return &request{method: "GET", target: location, path: path, query: query}
}

// queryArgs returns the query as arguments, the way WAGI has it: split at "&", still escaped.
func (r *request) queryArgs() []string {
	if r.query == "" {
		return nil
	}
	return strings.Split(r.query, "&")
}

// stdin is the request's body for the guest. It remembers why reading failed, for the guest gets only a number.
type stdin struct {
	r   io.Reader
	err error
}

// Read reads the body. The guest takes 0 bytes for the end, so it waits until there is at least one.
func (s *stdin) Read(p []byte) (int, error) {
	for {
		n, err := s.r.Read(p)
		if err != nil && err != io.EOF {
			s.err = err
		}
		if n > 0 || err != nil || len(p) == 0 {
			return n, err
		}
	}
}

// bodyFailure says why the client's body could not be read.
func bodyFailure(ctx context.Context, err error) error {
	var f *exchange.Failure
	switch {
	case errors.As(err, &f):
		return f
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return &exchange.Failure{Status: 504, Reason: exchange.TimedOut, Err: err}
	case ctx.Err() != nil:
		return &exchange.Failure{Status: 503, Reason: exchange.Canceled, Err: err}
	}
	return &exchange.Failure{Status: 400, Reason: exchange.BadRequest, Err: err}
}

// unescape decodes the %XX of a path. Errors are a *Failure with status 400. A NUL is one, for nothing behind it would
// be seen by a guest that reads its environment as C strings.
func unescape(s string) (string, error) {
	if !strings.Contains(s, "%") {
		return s, nil
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b = append(b, s[i])
			continue
		}
		if i+2 >= len(s) || unhex[s[i+1]] == 0 || unhex[s[i+2]] == 0 {
			return "", exchange.Fail(400, exchange.BadRequest, "the path has a malformed escape at byte %d", i)
		}
		c := (unhex[s[i+1]]-1)<<4 | (unhex[s[i+2]] - 1)
		if c == 0 {
			return "", exchange.Fail(400, exchange.BadRequest, "the path has an escaped NUL at byte %d", i)
		}
		b = append(b, c)
		i += 2
	}
	return string(b), nil
}

// unhex holds the value of each hexadecimal digit plus one.
var unhex = [256]byte{
	'0': 1, '1': 2, '2': 3, '3': 4, '4': 5, '5': 6, '6': 7, '7': 8, '8': 9, '9': 10,
	'a': 11, 'b': 12, 'c': 13, 'd': 14, 'e': 15, 'f': 16,
	'A': 11, 'B': 12, 'C': 13, 'D': 14, 'E': 15, 'F': 16,
}
