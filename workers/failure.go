package workers

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strconv"
	"time"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/internal/httprules"
	"github.com/appserver-go/appserver/scoreboard"
)

const (
	failureRate  = 10 // records a second about failed requests in the long run
	failureBurst = 20
	stackMax     = 4 << 10 // bytes of a guest's stack in a record
)

// classify finds out what the failure of a call means to its client.
func classify(c call, err error) *exchange.Failure {
	var f *exchange.Failure
	body := c.BodyErr()
	switch {
	case errors.As(err, &f):
	case errors.Is(err, context.DeadlineExceeded):
		f = &exchange.Failure{Reason: exchange.TimedOut, Status: 504, Err: err}
	case errors.Is(err, context.Canceled):
		f = &exchange.Failure{Reason: exchange.Canceled, Status: 503, Err: err}
	case body != nil || errors.Is(err, io.ErrUnexpectedEOF):
		// A guest that passes on, in its own words, that the client did not send what it announced.
		f = &exchange.Failure{Reason: exchange.BadRequest, Status: 400, Err: err}
		if body != nil {
			f = exchange.AsFailure(body)
		}
	default:
		f = exchange.AsFailure(err)
	}
	if f.Status < 400 || f.Status > 599 {
		copied := *f
		copied.Status = 500
		f = &copied
	}
	return f
}

// sendFailure answers with a page of the server's own that tells nothing of the cause. Where a part of the guest's
// response is out already, or the client is gone, the connection is broken off.
func sendFailure(resp *exchange.Response, id string, f *exchange.Failure) {
	page := strconv.Itoa(f.Status) + " " + httprules.StatusText(f.Status) + "\nrequest id: " + id + "\n"
	if f.Status == httprules.StatusClientGone || !resp.Replace(f.Status, "text/plain; charset=utf-8", page) {
		resp.Abort()
		return
	}
	if f.Reason == exchange.Overloaded {
		resp.Fields.Add("Retry-After", "1")
	}
	if err := resp.Finish(); err != nil {
		resp.Abort()
	}
}

// failureCounters are the counters of the reasons for which exchanges fail.
var failureCounters = map[exchange.Reason]scoreboard.Counter{
	exchange.Trapped: scoreboard.Traps, exchange.Exited: scoreboard.Exits, exchange.TimedOut: scoreboard.Timeouts,
	exchange.Canceled: scoreboard.Cancels, exchange.BadResponse: scoreboard.BadResponses, exchange.BadRequest: scoreboard.BadBodies,
	exchange.Overloaded: scoreboard.Refused, exchange.NotFound: scoreboard.NotFounds, exchange.Upstream: scoreboard.Upstreams,
	exchange.Internal: scoreboard.Internals,
}

// countFailure counts why a request failed.
func (s *Service) countFailure(f *exchange.Failure) {
	if c, ok := failureCounters[f.Reason]; ok {
		s.o.Board.Add(c, 1)
	}
}

// failureLevel returns how loud a failure is: clients' and expected ones are not the operator's business.
func failureLevel(f *exchange.Failure) slog.Level {
	if f.Status == httprules.StatusClientGone {
		return slog.LevelInfo
	}
	switch f.Reason {
	case exchange.BadRequest, exchange.Canceled, exchange.NotFound:
		return slog.LevelDebug
	case exchange.Overloaded:
		return slog.LevelWarn
	}
	return slog.LevelError
}

// logFailure writes one record about a failed request, unless there were too many lately.
func (s *Service) logFailure(r *exchange.Request, f *exchange.Failure, start time.Time) {
	ctx := context.Background()
	level := failureLevel(f)
	if !s.o.Log.Enabled(ctx, level) {
		return
	}
	now := time.Now()
	ok, dropped := s.failures.allow(now)
	if dropped > 0 {
		s.o.Log.Warn("Records of failed requests were dropped", "dropped", dropped)
	}
	if !ok {
		return
	}
	attrs := []slog.Attr{
		slog.String("request_id", r.ID), slog.String("method", r.Method), slog.String("path", r.Path()),
		slog.String("reason", string(f.Reason)), slog.Int("status", f.Status), slog.String("error", f.Error()),
		slog.Duration("duration", now.Sub(start)),
	}
	if stack := f.Stack; stack != "" {
		if len(stack) > stackMax {
			stack = stack[:stackMax] + "…"
		}
		attrs = append(attrs, slog.String("stack", stack))
	}
	s.o.Log.LogAttrs(ctx, level, "Request failed", attrs...)
}
