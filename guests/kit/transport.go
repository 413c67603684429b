package kit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// Transport returns an http.RoundTripper that has the server make requests, for
//
//	client := &http.Client{Transport: kit.Transport()}
//
// in guests of every kind. The server decides what may be called (guest.outbound), and refuses all else: errors are of type
// *HostError then. Requests can only be made while a request is served, not in init functions. The deadline of a
// request's context bounds it; a context that is cancelled is noticed between two pieces of a body, for a guest has one
// thread. Compressed responses are not unpacked. In native programs it is http.DefaultTransport.
func Transport() http.RoundTripper { return transport() }

// HostError says why the server did not do what a guest asked for.
type HostError struct {
	// Code is one of the codes of docs/boundary.md, -2 for what the settings do not allow.
	Code int
	// Text is one line for people.
	Text string
}

// Codes of a HostError.
const (
	CodeInvalid     = -1 // an argument is malformed
	CodeDenied      = -2 // the server's settings do not allow it
	CodeNoRequest   = -3 // no request is being served
	CodeBadHandle   = -4 // a mistake of the kit's
	CodeLimit       = -5 // a limit on number or size
	CodeTimeout     = -6 // the time was up
	CodeUnreachable = -7 // no connection
	CodeBroken      = -8 // the connection was cut
	CodeUnwanted    = -9 // the other side takes no more of the body
)

func (e *HostError) Error() string { return fmt.Sprintf("appserver: %s (code %d)", e.Text, e.Code) }

// Timeout reports whether the time was up, as net.Error has it.
func (e *HostError) Timeout() bool { return e.Code == CodeTimeout }

// caller is the server's part of a request to elsewhere: the functions of the module appserver that begin with http.
// Results below 0 are errors.
type caller interface {
	open(head string, body bool, timeout uint32) int32
	write(handle int32, p []byte) int32
	finish(handle int32) int32
	fields(handle int32, trailers bool) (string, int32)
	read(handle int32, p []byte) int32
	close(handle int32)
	errorText() string
}

// roundTripper makes requests with a caller.
type roundTripper struct{ caller }

// check makes an error of a result.
func (t roundTripper) check(result int32) error {
	if result >= 0 {
		return nil
	}
	return &HostError{int(result), t.errorText()}
}

// RoundTrip implements http.RoundTripper.
func (t roundTripper) RoundTrip(r *http.Request) (*http.Response, error) {
	hasBody := r.Body != nil && r.Body != http.NoBody
	if r.Body != nil {
		defer r.Body.Close()
	}
	timeout, err := timeLeft(r.Context())
	if err != nil {
		return nil, err
	}
	handle := t.open(requestHead(r, hasBody), hasBody, timeout)
	if err := t.check(handle); err != nil {
		return nil, err
	}
	res, err := t.exchange(handle, r, hasBody)
	if err != nil {
		t.close(handle)
	}
	return res, err
}

// timeLeft returns how long a context lasts, in milliseconds; 0 is for ever.
func timeLeft(ctx context.Context) (uint32, error) {
	if err := ctx.Err(); err != nil {
		return 0, context.Cause(ctx)
	}
	deadline, ok := ctx.Deadline()
	if !ok {
		return 0, nil
	}
	left := time.Until(deadline).Milliseconds() + 1
	if left <= 0 {
		return 0, context.DeadlineExceeded
	}
	return uint32(min(left, 1<<31)), nil
}

// requestHead writes a head as the server wants it. What net/http's own transport would not send is left out.
func requestHead(r *http.Request, hasBody bool) string {
	var b strings.Builder
	method := r.Method
	if method == "" {
		method = http.MethodGet
	}
	u := *r.URL
	u.Fragment, u.RawFragment = "", ""
	fmt.Fprintf(&b, "%s %s\n", method, &u)
	if r.Host != "" && r.Host != u.Host {
		fmt.Fprintf(&b, "Host: %s\n", r.Host) // for the server to refuse
	}
	if hasBody && r.ContentLength > 0 {
		fmt.Fprintf(&b, "Content-Length: %d\n", r.ContentLength)
	}
	for name, values := range r.Header {
		switch name {
		case "Host", "Content-Length", "Transfer-Encoding", "Trailer", "Connection", "Keep-Alive", "Proxy-Connection", "Te":
			continue
		}
		for _, v := range values {
			if name != "User-Agent" || v != "" {
				fmt.Fprintf(&b, "%s: %s\n", name, v)
			}
		}
	}
	return b.String()
}

// exchange sends the body and takes the response's head.
func (t roundTripper) exchange(handle int32, r *http.Request, hasBody bool) (*http.Response, error) {
	if hasBody {
		if err := t.send(handle, r); err != nil {
			return nil, err
		}
	}
	runtime.Gosched() // other goroutines may open their requests before this one waits for all of them
	status := t.finish(handle)
	if err := t.check(status); err != nil {
		return nil, err
	}
	text, n := t.fields(handle, false)
	if err := t.check(n); err != nil {
		return nil, err
	}
	res := &http.Response{
		StatusCode: int(status), Status: strings.TrimSpace(fmt.Sprintf("%d %s", status, http.StatusText(int(status)))),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: parseFields(text), ContentLength: -1, Request: r, Trailer: http.Header{},
	}
	if n, err := strconv.ParseInt(res.Header.Get("Content-Length"), 10, 64); err == nil && n >= 0 {
		res.ContentLength = n
	}
	res.Body = &responseBody{t: t, handle: handle, res: res, ctx: r.Context()}
	return res, nil
}

// send writes the request's body until it ends, or the other side has enough.
func (t roundTripper) send(handle int32, r *http.Request) error {
	buf := make([]byte, 32<<10)
	for {
		if err := r.Context().Err(); err != nil {
			return context.Cause(r.Context())
		}
		n, err := r.Body.Read(buf)
		if n > 0 {
			switch sent := t.check(t.write(handle, buf[:n])); {
			case isCode(sent, CodeUnwanted):
				return nil
			case sent != nil:
				return sent
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func isCode(err error, code int) bool {
	var h *HostError
	return errors.As(err, &h) && h.Code == code
}

// parseFields reads fields as the server writes them.
func parseFields(text string) http.Header {
	h := http.Header{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), ": "); ok {
			name = textproto.CanonicalMIMEHeaderKey(name)
			h[name] = append(h[name], value)
		}
	}
	return h
}

// responseBody reads a response's body from the server as the program asks for it.
type responseBody struct {
	t      roundTripper
	handle int32
	res    *http.Response
	ctx    context.Context
	err    error // what every further Read returns
}

// Read implements io.Reader.
func (b *responseBody) Read(p []byte) (int, error) {
	if b.err == nil && b.ctx.Err() != nil {
		b.end(context.Cause(b.ctx))
	}
	if b.err != nil || len(p) == 0 {
		return 0, b.err
	}
	n := b.t.read(b.handle, p)
	if err := b.t.check(n); err != nil {
		b.end(err)
		return 0, err
	}
	if n == 0 {
		if text, n := b.t.fields(b.handle, true); n > 0 {
			b.res.Trailer = parseFields(text)
		}
		b.end(io.EOF)
	}
	return int(n), b.err
}

// end closes the request; what comes after is err.
func (b *responseBody) end(err error) {
	b.err = err
	b.t.close(b.handle)
}

// Close implements io.Closer.
func (b *responseBody) Close() error {
	if b.err == nil {
		b.end(http.ErrBodyReadAfterClose)
	}
	return nil
}
