package workers

import (
	"sync"
	"time"
)

// limiter is a token bucket for log records: what goes wrong with one request can go wrong with ten thousand a second.
type limiter struct {
	rate  float64 // records a second
	burst float64

	mu      sync.Mutex
	tokens  float64
	last    time.Time
	dropped int
}

func newLimiter(rate, burst float64) *limiter {
	return &limiter{rate: rate, burst: burst, tokens: burst}
}

// allow reports whether a record may be written, and how many were dropped since the last one that was.
func (l *limiter) allow(now time.Time) (ok bool, dropped int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.last.IsZero() {
		l.tokens = min(l.burst, l.tokens+l.rate*max(now.Sub(l.last).Seconds(), 0))
	}
	l.last = now
	if l.tokens < 1 {
		l.dropped++
		return false, 0
	}
	l.tokens--
	dropped, l.dropped = l.dropped, 0
	return true, dropped
}
