//go:build !wasip1

package kit

import "net/http"

func transport() http.RoundTripper { return http.DefaultTransport }
