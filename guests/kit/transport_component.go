//go:build wasip1 && component && !cgi && !stdio

package kit

import "net/http"

func transport() http.RoundTripper { return noTransport{} }

// noTransport is that of components, whose way out is wasi:http/outgoing-handler, which the kit does not speak.
type noTransport struct{}

// RoundTrip implements http.RoundTripper.
func (noTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		_ = r.Body.Close() // as the interface demands; nothing was read
	}
	return nil, &HostError{CodeDenied, "the kit cannot make requests in a component: build the guest for another protocol"}
}
