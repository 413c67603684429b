// Package logsink writes logs without ever making its process wait. Records go into a bounded queue, and one goroutine
// writes them; when the log's reader stalls, its disk is full or its pipe is closed, the process goes on and records
// that do not fit are dropped and counted. Both the arbiter and the workers put their logs and access logs through a
// Sink: a stalled `appserver | reader` must not freeze supervision.
//
// The package knows no formats: a record is what one call of Write brings, usually a line. Several processes may write to
// one file, pipe or terminal through sinks of their own: each write(2) carries whole records, and on anything but a
// regular file no more than the kernel keeps together (PIPE_BUF, pipe(7)).
//
// A process that logs to descriptor 1 or 2 must ignore SIGPIPE: the Go runtime otherwise kills it when the reader of a
// pipe there is gone (os/signal, "SIGPIPE"). The sink itself takes EPIPE as any other error.
package logsink

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// DefaultLimit is how many bytes wait in the queue of a sink whose Options do not say.
const DefaultLimit = 1 << 20

// Options are the settings of a sink.
type Options struct {
	// Limit is the size of the queue in bytes, the records just being written included; 0 means DefaultLimit. Larger
	// records are dropped.
	Limit int
	// OnDrop is told of n dropped records, if it is set. It runs in whatever goroutine dropped them and must neither block nor
	// write to the sink.
	OnDrop func(n int)
	// Notice makes the record that tells readers of n dropped ones, once records go through again. Without it there is no such
	// record. It runs in the sink's goroutine.
	Notice func(n int64) []byte
	// Retry is the pause after a failed write; it doubles with each further failure up to 50 times as much. 0 means 100 ms.
	Retry time.Duration
	// Chown gives log files that Open or Reopen creates to UID and GID, so that the workers can open them too. A file that is
	// there already keeps its owner: whoever may write to its directory could have put a link there.
	Chown    bool
	UID, GID int
}

// Stats counts what became of records.
type Stats struct {
	Written int64 // records that reached the file
	Dropped int64 // records that did not and never will
	Errors  int64 // failed writes, each of them retried
}

// Sink is an io.Writer for records. All its methods may be called concurrently.
type Sink struct {
	opts   Options
	path   string        // empty for a sink of New
	wake   chan struct{} // there are records; capacity 1
	urgent chan struct{} // there is a new file, or the sink closes; capacity 1
	done   chan struct{} // closed when the goroutine has ended

	longest atomic.Int64 // bytes of the longest record that the file keeps together

	mu       sync.Mutex
	queue    batch  // records not yet taken by the goroutine
	taken    int    // bytes that it has taken and not yet written
	accepted uint64 // records ever queued
	finished uint64 // records ever written or given up
	unsaid   int64  // records dropped since the last notice
	stats    Stats
	next     *os.File      // the file to change to
	changed  chan struct{} // closed when the goroutine has changed to next
	waiters  []waiter
	closed   bool  // takes no records any more
	quit     bool  // the goroutine ends as soon as it can
	lost     bool  // Close has given up what the goroutine is writing
	failure  error // the error it gave up with
}

// waiter is a Flush that waits for the first n records.
type waiter struct {
	n  uint64
	ch chan struct{}
}

// New returns a sink that writes to f, such as os.Stderr. The sink never closes f, and nothing else should write to it.
func New(f *os.File, opts Options) *Sink { return start(f, "", opts) }

// Open returns a sink that appends to the file at path, which is made with mode 0640 if it is not there. Symbolic links are
// followed, so that /dev/stdout works, but no file is made through one. The error is a *fault.Error.
func Open(path string, opts Options) (*Sink, error) {
	f, err := openFile(path, opts)
	if err != nil {
		return nil, err
	}
	return start(f, path, opts), nil
}

func start(f *os.File, path string, opts Options) *Sink {
	if opts.Limit == 0 {
		opts.Limit = DefaultLimit
	}
	if opts.Retry == 0 {
		opts.Retry = 100 * time.Millisecond
	}
	s := &Sink{
		opts: opts, path: path,
		wake: make(chan struct{}, 1), urgent: make(chan struct{}, 1), done: make(chan struct{}),
	}
	s.setLongest(f)
	go s.run(f) // Close waits for it
	return s
}

// Write queues a record; it copies it. One over PIPE_BUF (4 KiB) that goes to anything but a regular file is
// cut. Write always takes all of it, also when it has to cut or drop it, save that after
// Close it fails with os.ErrClosed.
func (s *Sink) Write(record []byte) (int, error) {
	p := s.cut(record)
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return 0, fmt.Errorf("write log record: %w", os.ErrClosed)
	}
	fits := len(s.queue.data)+s.taken+len(p) <= s.opts.Limit
	if fits {
		s.queue.add(p)
		s.accepted++
	} else {
		s.unsaid++
		s.stats.Dropped++
	}
	s.mu.Unlock()
	if fits {
		poke(s.wake)
	} else if s.opts.OnDrop != nil {
		s.opts.OnDrop(1)
	}
	return len(record), nil
}

// Stats returns the counters.
func (s *Sink) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats
}

// reopenWait is how long Reopen waits for the write that is under way. Only a file on a device that hangs takes longer.
const reopenWait = 5 * time.Second

// Reopen opens the sink's path anew, for log rotation: when it returns nil, nothing is written to the old file any more, and
// no record was lost. On an error, which is a *fault.Error, the old file stays in use. A sink of New has no path;
// for it Reopen does nothing.
func (s *Sink) Reopen() error {
	if s.path == "" {
		return nil
	}
	f, err := openFile(s.path, s.opts)
	if err != nil {
		return err
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		_ = f.Close()
		return fmt.Errorf("reopen log %s: %w", s.path, os.ErrClosed)
	}
	if s.next != nil { // another Reopen's, which the goroutine has not come to
		_ = s.next.Close()
	} else {
		s.changed = make(chan struct{})
	}
	s.next = f
	changed := s.changed
	s.mu.Unlock()
	poke(s.urgent)
	select {
	case <-changed:
		return nil
	case <-s.done:
		return nil
	case <-time.After(reopenWait):
		return fmt.Errorf("reopen log %s: a write to the old file hangs", s.path)
	}
}

// Flush waits until the records queued so far are written, but no longer than timeout; then it fails with
// os.ErrDeadlineExceeded.
func (s *Sink) Flush(timeout time.Duration) error {
	s.mu.Lock()
	if s.finished >= s.accepted {
		s.mu.Unlock()
		return nil
	}
	w := waiter{n: s.accepted, ch: make(chan struct{})}
	s.waiters = append(s.waiters, w)
	left := s.accepted - s.finished
	s.mu.Unlock()
	select {
	case <-w.ch:
		return nil
	case <-s.done:
		return nil
	case <-time.After(timeout):
		return fmt.Errorf("flush log: %d records wait for their reader: %w", left, os.ErrDeadlineExceeded)
	}
}

// Close writes what is queued, but takes no longer than timeout for it, and ends the sink. What cannot be written, because
// of an error or in time, is dropped and counted, and Close returns the error. A write that hangs longer keeps the
// sink's goroutine until it returns or the process ends. Further calls do nothing.
func (s *Sink) Close(timeout time.Duration) error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mu.Unlock()
	deadline := time.Now().Add(timeout)
	poke(s.urgent)
	flushed := s.Flush(timeout)
	s.mu.Lock()
	s.quit = true
	s.mu.Unlock()
	poke(s.urgent)
	select {
	case <-s.done:
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.failure
	case <-time.After(max(time.Until(deadline), closeWait)):
		s.abandon()
		return flushed
	}
}

// closeWait is what the goroutine gets to end in when there is nothing to write any more.
const closeWait = 50 * time.Millisecond

func poke(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}
