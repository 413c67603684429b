package arbiter

import "time"

// The waiting times of a slot whose workers keep failing.
const (
	firstBackoff = 100 * time.Millisecond
	lastBackoff  = 5 * time.Second
	// healthyAfter is how long a worker must have been ready for its death to count as the first again.
	healthyAfter = 10 * time.Second
	// remindEvery is how often a slot at its longest wait still logs its failures as errors.
	remindEvery = time.Minute
)

// slot is the place of one worker after the other.
type slot struct {
	number  int
	current *worker // who serves, or is about to; nil while the slot waits
	next    *worker // who boots to take over from a current that wants to retire

	failures  int           // deaths in a row without health in between
	backoff   time.Duration // the last waiting time; 0 if there was none
	notBefore time.Time     // no worker is spawned before
	loggedAt  time.Time     // when a failure was last logged as an error
}

// wanting reports whether the slot needs a process.
func (s *slot) wanting() bool {
	return s.current == nil || s.current.retiring != "" && s.next == nil
}

// earliest returns when a process may be started, which is not zero even if it is at once.
func (s *slot) earliest() time.Time {
	if s.notBefore.IsZero() {
		return time.Unix(1, 0)
	}
	return s.notBefore
}

// leave takes w out of the slot. It reports whether w had a place in it.
func (s *slot) leave(w *worker) bool {
	switch w {
	case s.current:
		s.current, s.next = s.next, nil
	case s.next:
		s.next = nil
	default:
		return false
	}
	return true
}

// failed decides when the slot may try again after a worker died that had been ready at readyAt, or never. It reports
// whether that is worth an error in the log: waits that grow are, the same wait over and over is once a minute.
func (s *slot) failed(now, readyAt time.Time, healthy time.Duration) (loud bool) {
	wasReady := !readyAt.IsZero()
	if wasReady && now.Sub(readyAt) >= healthy {
		s.failures, s.backoff = 0, 0
	}
	s.failures++
	if s.failures == 1 && wasReady {
		s.notBefore, s.loggedAt = now, now
		return true
	}
	last := s.backoff
	s.backoff = min(max(2*last, firstBackoff), lastBackoff)
	s.notBefore = now.Add(s.backoff)
	if s.backoff == last && now.Sub(s.loggedAt) < remindEvery {
		return false
	}
	s.loggedAt = now
	return true
}
