package engine

import (
	"bytes"
	"sync"
)

// maxLine is the longest line a LineWriter emits, in bytes. A guest that never prints a line end must not make the
// server gather its output without end.
const maxLine = 8 << 10

// LineWriter cuts what a guest prints into lines for a log. The lines are passed on as they are: control characters
// and invalid UTF-8 are for the logger to escape. It is safe for concurrent use.
type LineWriter struct {
	mu   sync.Mutex
	emit func(line string)
	buf  []byte
}

// NewLineWriter makes a LineWriter that calls emit for each line, without its line end, LF or CRLF. Lines longer than
// 8 KiB come in pieces.
func NewLineWriter(emit func(line string)) *LineWriter { return &LineWriter{emit: emit} }

// Write takes output of the guest. It never fails.
func (w *LineWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := len(p)
	for len(p) > 0 {
		line, rest, found := bytes.Cut(p, []byte{'\n'})
		if room := maxLine - len(w.buf); len(line) > room {
			line, rest, found = p[:room], p[room:], true
		}
		w.buf = append(w.buf, line...)
		p = rest
		if found {
			w.flush()
		}
	}
	return n, nil
}

// Flush emits what was printed after the last line end, if anything. Call it when the guest has ended.
func (w *LineWriter) Flush() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.buf) > 0 {
		w.flush()
	}
}

func (w *LineWriter) flush() {
	w.emit(string(bytes.TrimSuffix(w.buf, []byte{'\r'})))
	w.buf = w.buf[:0]
}
