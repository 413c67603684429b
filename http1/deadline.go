package http1

import (
	"errors"
	"math"
	"os"
	"time"
)

// deadline is one direction's deadline of a connection. Arming the one in the runtime costs more than the rest of
// reading a request's line, and every request would do so several times. So the runtime's is left alone when it is
// earlier than what is wanted: it then fires too early, once in a timeout's length, and is armed anew for the
// rest. Times are on the server's clock; 0 means never.
type deadline struct {
	want  time.Duration
	armed time.Duration
	exact bool                  // a deadline that fires too early does harm
	set   func(time.Time) error // SetReadDeadline or SetWriteDeadline
}

// at makes the deadline t.
func (d *deadline) at(t time.Duration, epoch time.Time) {
	d.want = t
	if t != 0 && (d.armed == 0 || t < d.armed) || d.exact && t != d.armed {
		d.arm(epoch)
	}
}

// arm sets the runtime's deadline to what is wanted. It fails on closed connections only, on which reading fails, too.
func (d *deadline) arm(epoch time.Time) {
	d.armed = d.want
	var t time.Time
	if d.want != 0 {
		t = epoch.Add(d.want)
	}
	_ = d.set(t)
}

// early reports whether err is a deadline's that fired before it was wanted to, and arms it anew then.
func (d *deadline) early(err error, s *Server) bool {
	if !errors.Is(err, os.ErrDeadlineExceeded) || d.want != 0 && s.now() >= d.want {
		return false
	}
	d.arm(s.epoch)
	return true
}

// forever is a time that does not come.
const forever = time.Duration(math.MaxInt64)

// sooner returns the earlier of two times of which 0 means never.
func sooner(a, b time.Duration) time.Duration {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// after returns the time d after now, or never if d is 0.
func after(now, d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return now + d
}
