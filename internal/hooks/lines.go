package hooks

import (
	"bytes"
	"encoding/json"
	"sync"
)

const (
	// maxLine is where a line of a command's output is cut, in bytes.
	maxLine = 4 << 10
	// maxLines is how many lines of a command are reported.
	maxLines = 200
)

// lines reports what is written to it line by line. A Write never fails: a command must not end because its output does
// not interest anybody any more.
type lines struct {
	mu      sync.Mutex
	report  *json.Encoder
	partial []byte
	cutting bool // the rest of the line is dropped
	count   int
	dropped int
	ended   bool
}

// Write takes a piece of the output.
func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for rest := p; len(rest) > 0; {
		line, after, whole := bytes.Cut(rest, []byte{'\n'})
		rest = after
		if room := maxLine - len(l.partial); len(line) > room {
			line, l.cutting = line[:room], true
		}
		l.partial = append(l.partial, line...)
		if whole {
			l.flush()
		}
	}
	return len(p), nil
}

// flush reports the line so far.
func (l *lines) flush() {
	text := string(bytes.TrimSuffix(l.partial, []byte{'\r'}))
	if l.cutting {
		text += "…"
	}
	l.partial, l.cutting = l.partial[:0], false
	if l.count++; l.count > maxLines || l.ended {
		l.dropped++
		return
	}
	// An error means that the arbiter is gone; the command is finished all the same.
	_ = l.report.Encode(report{Line: &text})
}

// end reports the last line, if it has no end of its own, and the end of the command.
func (l *lines) end(e *end) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.partial) > 0 {
		l.flush()
	}
	e.Dropped, l.ended = l.dropped, true
	_ = l.report.Encode(report{End: e})
}
