package http2

import (
	"errors"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
	"time"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/internal/httprules"
)

// sink puts a response on the wire through an http.ResponseWriter.
type sink struct {
	w       http.ResponseWriter
	call    *Call
	armed   time.Time // the deadline of writing
	aborted bool
}

// WriteHead implements exchange.Sink. Values are cloned, here and below: they live as long as the call, and the library's
// encoder keeps them in a table that is the connection's.
func (s *sink) WriteHead(status int, fields exchange.Fields, length int64) error {
	h := s.w.Header()
	for _, f := range fields {
		name := textproto.CanonicalMIMEHeaderKey(strings.Clone(f.Name))
		if name != "Date" && name != "Server" {
			h[name] = append(h[name], strings.Clone(f.Value))
		}
	}
	h["Server"] = []string{httprules.ServerName}
	if _, typed := h["Content-Type"]; !typed {
		h["Content-Type"] = nil // stops the library from guessing one
	}
	if length >= 0 {
		h["Content-Length"] = []string{strconv.FormatInt(length, 10)}
	}
	if s.call.conn.mustEnd() {
		h["Connection"] = []string{"close"} // which is not sent, but makes the library send GOAWAY
	}
	s.arm()
	s.w.WriteHeader(status)
	return nil
}

// Inform implements exchange.Informer.
func (s *sink) Inform(status int, fields exchange.Fields) error {
	h := s.w.Header()
	for _, f := range fields {
		h.Add(strings.Clone(f.Name), strings.Clone(f.Value))
	}
	s.arm()
	s.w.WriteHeader(status)
	clear(h) // what it has is not the response's
	return nil
}

// arm gives the client the time of a stall to take what is written next, and what is written when the handler has
// returned. Setting a deadline costs a message to the connection's goroutine, so one that has half of its time left stays.
func (s *sink) arm() {
	until := s.call.until()
	if until.IsZero() || until.Sub(s.armed) < s.call.conn.s.o.StallTimeout/2 && !until.Before(s.armed) {
		return
	}
	s.armed = until
	_ = s.call.w.SetWriteDeadline(until) // fails on a stream that has ended
}

// Write implements exchange.Sink.
func (s *sink) Write(p []byte) (int, error) {
	s.arm()
	n, err := s.w.Write(p)
	return n, clientGone(err)
}

// Flush implements exchange.Sink.
func (s *sink) Flush() error {
	s.arm()
	return clientGone(s.call.w.Flush())
}

// Close implements exchange.Sink. The library itself ends the response when the handler returns.
func (s *sink) Close(trailers exchange.Fields) error {
	h := s.w.Header()
	for _, f := range trailers {
		name := http.TrailerPrefix + textproto.CanonicalMIMEHeaderKey(strings.Clone(f.Name))
		h[name] = append(h[name], strings.Clone(f.Value))
	}
	return nil
}

// Abort implements exchange.Sink. The stream is reset when the handler has returned.
func (s *sink) Abort() { s.aborted = true }

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
