package exchange

import (
	"context"
	"strings"
)

// WarmUp has h answer a GET request for target that nobody made, and throws the response away. Errors are those of h, or of
// a response that breaks a rule.
func WarmUp(ctx context.Context, h Handler, target string) error {
	x := &Exchange{Request: Request{
		Method: "GET", Target: target, Proto: "HTTP/1.1", Scheme: "http", Host: "localhost", Body: strings.NewReader(""),
		RemoteAddr: "127.0.0.1:0", ID: "warmup",
	}}
	x.Response.Reset(nowhere{}, "GET")
	if err := h.Serve(ctx, x); err != nil {
		return err
	}
	return x.Response.Finish()
}

// nowhere is the front end of warm-up requests.
type nowhere struct{}

func (nowhere) WriteHead(int, Fields, int64) error { return nil }
func (nowhere) Write(p []byte) (int, error)        { return len(p), nil }
func (nowhere) Flush() error                       { return nil }
func (nowhere) Close(Fields) error                 { return nil }
func (nowhere) Abort()                             {}
