package nethttp

import (
	"errors"
	"net/http"
	"net/textproto"
	"strconv"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/internal/httprules"
)

// sink puts a response on the wire through an http.ResponseWriter.
type sink struct {
	w       http.ResponseWriter
	call    *Call
	close   bool // the connection ends with this response
	aborted bool
	toEOF   bool // only the connection's end marks the end of the body
}

// WriteHead implements exchange.Sink.
func (s *sink) WriteHead(status int, fields exchange.Fields, length int64) error {
	h := s.w.Header()
	for _, f := range fields {
		name := textproto.CanonicalMIMEHeaderKey(f.Name)
		if name != "Date" && name != "Server" {
			h[name] = append(h[name], f.Value)
		}
	}
	h["Server"] = []string{httprules.ServerName}
	if _, typed := h["Content-Type"]; !typed {
		h["Content-Type"] = nil // stops net/http from guessing one
	}
	if length >= 0 {
		h["Content-Length"] = []string{strconv.FormatInt(length, 10)}
	}
	r := &s.call.Request
	s.toEOF = length < 0 && r.Proto == "HTTP/1.0" && r.Method != http.MethodHead
	// A body that is not read to its end by now may never be, and the next request is behind it.
	if s.close || s.call.conn.s.closing.Load() || !s.call.body.whole() {
		h["Connection"] = []string{"close"}
	}
	s.w.WriteHeader(status)
	return nil
}

// Write implements exchange.Sink.
func (s *sink) Write(p []byte) (int, error) {
	n, err := s.w.Write(p)
	return n, clientGone(err)
}

// Flush implements exchange.Sink.
func (s *sink) Flush() error {
	return clientGone(http.NewResponseController(s.w).Flush())
}

// Close implements exchange.Sink. net/http itself ends the response when the handler returns.
func (s *sink) Close(trailers exchange.Fields) error {
	h := s.w.Header()
	for _, f := range trailers {
		name := http.TrailerPrefix + textproto.CanonicalMIMEHeaderKey(f.Name)
		h[name] = append(h[name], f.Value)
	}
	return nil
}

// Abort implements exchange.Sink. The connection is closed when the handler has returned: a chunked body then lacks its
// end, one with a Content-Length its rest. Where the end of the connection is the end of the body, a reset tells.
func (s *sink) Abort() {
	s.aborted = true
	if s.toEOF {
		s.call.conn.reset.Store(true)
	}
}

// clientGone classifies errors of writing. They come from the connection, so they are the client's doing.
func clientGone(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, http.ErrBodyNotAllowed) || errors.Is(err, http.ErrContentLength) {
		return exchange.Fail(http.StatusBadGateway, exchange.BadResponse, "write response: %w", err)
	}
	return exchange.Fail(httprules.StatusClientGone, exchange.Canceled, "write response: %w", err)
}
