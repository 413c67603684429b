package dev

import (
	"context"
	"log/slog"
	"slices"
	"sync"
)

const (
	journalMax = 256 // requests that are remembered
	linesMax   = 100 // lines that a guest prints that are remembered, for each request and in all
)

// The messages of the server's records that the journal knows.
const (
	guestMessage  = "Guest"          // a line that a guest has printed
	failedMessage = "Request failed" // why the client got an error page
)

// Journal remembers what the server's log says of the latest requests, and what the guest printed. Its methods may be
// called from any goroutine.
type Journal struct {
	mu       sync.Mutex
	requests map[string]*entry
	order    []string // of requests, oldest first
	tail     []string
	changed  chan struct{} // closed by the next record
}

// entry is what is known of a request.
type entry struct {
	lines                []string // that the guest printed
	failed               bool
	reason, error, stack string
}

// NewJournal makes an empty Journal.
func NewJournal() *Journal {
	return &Journal{requests: map[string]*entry{}, changed: make(chan struct{})}
}

// Add takes a record of the server's log.
func (j *Journal) Add(r *Record) {
	id := r.text("request_id")
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case r.Message == guestMessage:
		line := unescape(r.text("line"))
		j.tail = last(append(j.tail, line))
		if id != "" {
			e := j.entry(id)
			e.lines = last(append(e.lines, line))
		}
	case id == "":
		return
	case r.Message == failedMessage:
		e := j.entry(id)
		e.failed, e.reason, e.error, e.stack = true, r.text("reason"), r.text("error"), unescape(r.text("stack"))
	case r.Level >= slog.LevelError: // the arbiter's, about a worker that it kills
		e := j.entry(id)
		if !e.failed {
			e.failed, e.reason, e.error = true, "killed", r.Message
		}
	}
	close(j.changed)
	j.changed = make(chan struct{})
}

// last drops the oldest of too many lines.
func last(lines []string) []string {
	if n := len(lines) - linesMax; n > 0 {
		lines = slices.Delete(lines, 0, n)
	}
	return lines
}

// entry returns the entry of a request. The caller holds the lock.
func (j *Journal) entry(id string) *entry {
	e := j.requests[id]
	if e == nil {
		e = &entry{}
		j.requests[id] = e
		j.order = append(j.order, id)
		if len(j.order) > journalMax {
			delete(j.requests, j.order[0])
			j.order = j.order[1:]
		}
	}
	return e
}

// failure returns why a request failed, and waits for that until ctx is done: the log may be slower than the answer.
func (j *Journal) failure(ctx context.Context, id string) (entry, bool) {
	for {
		j.mu.Lock()
		var e entry
		if known := j.requests[id]; known != nil {
			e = *known
			e.lines = slices.Clone(known.lines)
		}
		changed := j.changed
		j.mu.Unlock()
		if e.failed {
			return e, true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return e, false
		}
	}
}

// Forget drops what the guest has printed so far outside of requests.
func (j *Journal) Forget() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.tail = nil
}

// printed returns the last lines that the guest printed.
func (j *Journal) printed() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.tail)
}
