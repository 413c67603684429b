package upstream

import (
	"io"
	"net/http"
)

// noteError is the proxy's error handler: the request could not be sent or got no response.
func noteError(_ http.ResponseWriter, r *http.Request, err error) { callOf(r.Context()).err = err }

// watchBody notes why a response's body ends early, which the proxy itself only logs.
func watchBody(res *http.Response) error {
	if res.StatusCode != http.StatusSwitchingProtocols { // whose body must stay an io.Writer
		res.Body = &watchedBody{res.Body, callOf(res.Request.Context())}
	}
	return nil
}

type watchedBody struct {
	io.ReadCloser
	call *call
}

func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		b.call.err = err
	}
	return n, err
}
