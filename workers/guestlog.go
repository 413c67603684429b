package workers

import (
	"context"
	"log/slog"
	"time"
)

const (
	guestLineRate  = 200 // lines a second that a worker's guests may log in the long run
	guestLineBurst = 2000
	guestLineMax   = 8 << 10 // bytes of a line
)

// GuestLog puts what guests print into the worker's log, one record a line. Guests are not trusted: their text goes into
// an attribute only, long lines are cut, and beyond a rate lines are dropped and counted. It may be used from any
// goroutine.
type GuestLog struct {
	log   *slog.Logger
	limit *limiter
}

// NewGuestLog makes a GuestLog that writes to log, which carries the worker's attributes already.
func NewGuestLog(log *slog.Logger) *GuestLog {
	return &GuestLog{log: log, limit: newLimiter(guestLineRate, guestLineBurst)}
}

// Line logs one line that a guest printed to a stream, "stderr" or "stdout" or the guest's own log, while it served the
// request with that ID; requestID may be empty.
func (g *GuestLog) Line(level slog.Level, stream, requestID, line string) {
	if !g.log.Enabled(context.Background(), level) {
		return
	}
	ok, dropped := g.limit.allow(time.Now())
	if dropped > 0 {
		g.log.Warn("Lines of the guest were dropped", "dropped", dropped)
	}
	if !ok {
		return
	}
	if len(line) > guestLineMax {
		line = line[:guestLineMax] + "…"
	}
	attrs := []slog.Attr{slog.String("line", line), slog.String("stream", stream)}
	if requestID != "" {
		attrs = append(attrs, slog.String("request_id", requestID))
	}
	g.log.LogAttrs(context.Background(), level, "Guest", attrs...)
}
