package logsink

import (
	"errors"
	"os"
	"syscall"
	"time"
	"unicode/utf8"
)

// Sizes of writes. A pipe keeps PIPE_BUF bytes together; a regular file opened for appending keeps any number together.
const (
	pipeWrite = 4096
	fileWrite = 64 << 10
	// keepBuffer is the size of the largest buffer kept after a burst.
	keepBuffer = 256 << 10
)

// batch is a sequence of records.
type batch struct {
	data []byte
	ends []int // where each record ends in data
}

func (b *batch) add(p []byte) {
	b.data = append(b.data, p...)
	b.ends = append(b.ends, len(b.data))
}

// start returns where record i begins.
func (b *batch) start(i int) int {
	if i == 0 {
		return 0
	}
	return b.ends[i-1]
}

// upTo returns the number of the record after the last that fits size bytes from record i; record i itself always does.
func (b *batch) upTo(i, size int) int {
	end := i + 1
	for end < len(b.ends) && b.ends[end]-b.start(i) <= size {
		end++
	}
	return end
}

// emptied returns b's buffers for new records.
func (b *batch) emptied() batch {
	if cap(b.data) > keepBuffer {
		return batch{}
	}
	return batch{data: b.data[:0], ends: b.ends[:0]}
}

// writer is the state of a sink's goroutine.
type writer struct {
	sink  *Sink
	file  *os.File
	owned bool  // the sink opened file and closes it
	size  int   // of writes to file
	batch batch // being written
	said  bool  // the batch's last record is a notice and not counted
}

// run writes records until the sink is closed.
func (s *Sink) run(f *os.File) {
	defer close(s.done)
	w := &writer{sink: s}
	w.use(f, s.path != "")
	for w.take() {
		w.write()
	}
	if w.change(); w.owned {
		_ = w.file.Close() // nothing is buffered: every write has reported its error
	}
}

// use makes f the file to write to.
func (w *writer) use(f *os.File, owned bool) {
	w.file, w.owned, w.size = f, owned, pipeWrite
	if isRegular(f) {
		w.size = fileWrite
	}
}

func isRegular(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode().IsRegular()
}

// setLongest notes how long a record may be for f: what several processes write to a pipe is kept apart by the kernel
// only up to PIPE_BUF.
func (s *Sink) setLongest(f *os.File) {
	if isRegular(f) {
		s.longest.Store(int64(s.opts.Limit))
		return
	}
	s.longest.Store(pipeWrite)
}

// cutMark ends a record that was cut.
const cutMark = "…\n"

// cut shortens a record that is too long for the file. Parts of it that came apart could pass for lines of their own.
func (s *Sink) cut(p []byte) []byte {
	longest := int(s.longest.Load())
	if len(p) <= longest || longest <= len(cutMark) {
		return p
	}
	end := longest - len(cutMark)
	for end > 0 && !utf8.RuneStart(p[end]) {
		end--
	}
	return append(p[:end:end], cutMark...)
}

// take waits for records and takes all there are. It reports false when the sink is closed and nothing is left.
func (w *writer) take() bool {
	s := w.sink
	for {
		w.change()
		s.mu.Lock()
		unsaid, quit := s.unsaid, s.quit
		if s.opts.Notice == nil {
			unsaid = 0
		}
		if len(s.queue.ends) > 0 || unsaid > 0 {
			w.batch, s.queue = s.queue, w.batch.emptied()
			s.taken, s.unsaid = len(w.batch.data), 0
			s.mu.Unlock()
			// What was dropped did not fit behind these records, so the notice belongs after them.
			if w.said = unsaid > 0; w.said {
				w.batch.add(s.opts.Notice(unsaid))
			}
			return true
		}
		s.mu.Unlock()
		if quit {
			return false
		}
		select {
		case <-s.wake:
		case <-s.urgent:
		}
	}
}

// change changes to the file that Reopen brought, if it did, and reports so.
func (w *writer) change() bool {
	s := w.sink
	s.mu.Lock()
	next, changed := s.next, s.changed
	s.next, s.changed = nil, nil
	s.mu.Unlock()
	if next == nil {
		return false
	}
	if w.owned {
		_ = w.file.Close()
	}
	w.use(next, true)
	s.setLongest(next)
	close(changed)
	return true
}

// write writes the batch. After an error it goes on where the write ended, as the reader of a log may have seen the
// beginning of a record, but begins the record anew in a new file.
func (w *writer) write() {
	s, b := w.sink, &w.batch
	delay := s.opts.Retry
	for i, offset := 0, 0; i < len(b.ends); {
		end := b.upTo(i, w.size)
		n, err := w.file.Write(b.data[b.start(i)+offset : b.ends[end-1]])
		at, from := b.start(i)+offset+n, i
		for i < end && b.ends[i] <= at {
			i++
		}
		offset = at - b.start(i)
		if !s.progress(w.counted(i)-w.counted(from), len(b.data)-at, err) {
			return
		}
		if err == nil {
			delay = s.opts.Retry
			continue
		}
		if !s.pause(delay, err) {
			s.giveUp(err, w.counted(len(b.ends))-w.counted(i))
			return
		}
		delay = min(2*delay, 50*s.opts.Retry)
		if w.change() {
			offset = 0
		}
	}
}

// counted returns how many of the first i records of the batch are the sink's users', not its own.
func (w *writer) counted(i int) int {
	if w.said && i == len(w.batch.ends) {
		return i - 1
	}
	return i
}

// progress notes that n records more are written and left bytes of the batch are not. It reports false when the rest has
// been given up.
func (s *Sink) progress(n, left int, err error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lost {
		return false
	}
	s.taken = left
	s.stats.Written += int64(n)
	if err != nil {
		s.stats.Errors++
	}
	s.finish(n)
	return true
}

// finish lets those go on who wait for the next n records. The caller holds mu.
func (s *Sink) finish(n int) {
	s.finished += uint64(n)
	kept := s.waiters[:0]
	for _, w := range s.waiters {
		if w.n <= s.finished {
			close(w.ch)
		} else {
			kept = append(kept, w)
		}
	}
	s.waiters = kept
}

// pause waits before a write is tried again: at once when there is a new file or the sink is being closed. It reports
// false when it is not to be tried again, because the sink was already closed and its reader is not merely slow.
func (s *Sink) pause(delay time.Duration, err error) bool {
	slow := errors.Is(err, syscall.EAGAIN)
	s.mu.Lock()
	wasClosed := s.closed
	s.mu.Unlock()
	if wasClosed && !slow {
		return false
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	for {
		s.mu.Lock()
		quit, again := s.quit, s.next != nil || s.closed && !wasClosed
		s.mu.Unlock()
		if quit || again {
			return again
		}
		select {
		case <-timer.C:
			return true
		case <-s.urgent:
		}
	}
}

// giveUp counts what will never be written as dropped: n records of the batch and all in the queue.
func (s *Sink) giveUp(err error, n int) {
	s.mu.Lock()
	n += len(s.queue.ends)
	if s.failure == nil {
		s.failure = err
	}
	s.drop(n)
	s.mu.Unlock()
	if n > 0 && s.opts.OnDrop != nil {
		s.opts.OnDrop(n)
	}
}

// abandon counts everything that is not written as dropped, although the goroutine may be writing some of it.
func (s *Sink) abandon() {
	s.mu.Lock()
	n := int(s.accepted - s.finished)
	s.lost = true
	s.drop(n)
	s.mu.Unlock()
	if n > 0 && s.opts.OnDrop != nil {
		s.opts.OnDrop(n)
	}
}

// drop empties the queue and counts n records as dropped. The caller holds mu.
func (s *Sink) drop(n int) {
	s.queue = batch{}
	s.taken, s.unsaid = 0, 0
	s.stats.Dropped += int64(n)
	s.finish(n)
}
