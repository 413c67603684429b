package otlp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

const (
	// postTime bounds one message, as the specification's default does.
	postTime = 10 * time.Second
	// maxAnswer is how much of the collector's answer is read.
	maxAnswer = 64 << 10
	// maxAfter bounds the pause that a collector asks for.
	maxAfter = 30 * time.Second
)

// newClient makes a client with one connection that follows no redirections: spans are for the collector that was named.
func newClient() *http.Client {
	dialer := &net.Dialer{Timeout: postTime / 2}
	return &http.Client{
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, DialContext: dialer.DialContext, ForceAttemptHTTP2: true,
			MaxIdleConns: 1, IdleConnTimeout: time.Minute, TLSHandshakeTimeout: postTime / 2,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// refusal is an answer of the collector that is no success.
type refusal struct {
	status int
	after  time.Duration // the pause it asks for
}

func (r *refusal) Error() string {
	return fmt.Sprintf("the collector answers %d %s", r.status, http.StatusText(r.status))
}

// retry reports whether spans are to be sent again after err, and how long the collector wants to be left alone before. By the
// specification that is so after some statuses, and where there was no answer at all.
func retry(err error) (again bool, after time.Duration) {
	var r *refusal
	if !errors.As(err, &r) {
		return true, 0
	}
	switch r.status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true, r.after
	}
	return false, 0
}

// post sends a message. rejected is how many of its spans the collector did not want.
func (e *Exporter) post(ctx context.Context, body []byte) (rejected uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, postTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.url, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", e.agent)
	resp, err := e.client.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) { // it has the URL, perhaps with a password
			err = u.Err
		}
		return 0, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	switch {
	case resp.StatusCode != http.StatusOK:
		return 0, &refusal{status: resp.StatusCode, after: retryAfter(resp.Header.Get("Retry-After"))}
	case err != nil:
		return 0, nil // it was taken; sending it again would make two of each
	}
	return rejectedSpans(answer), nil
}

// rejectedSpans reads a collector's answer. One that makes no sense rejects nothing.
func rejectedSpans(answer []byte) uint64 {
	var a struct {
		PartialSuccess struct {
			RejectedSpans json.RawMessage `json:"rejectedSpans"` // a number, or a string that is one
		} `json:"partialSuccess"`
	}
	if json.Unmarshal(answer, &a) != nil {
		return 0
	}
	n, err := strconv.ParseUint(string(bytes.Trim(a.PartialSuccess.RejectedSpans, `"`)), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// retryAfter reads the field of that name: seconds, or a date, which is as good as the least pause.
func retryAfter(value string) time.Duration {
	n, err := strconv.ParseUint(value, 10, 32)
	if err != nil {
		return 0
	}
	return min(time.Duration(n)*time.Second, maxAfter)
}
