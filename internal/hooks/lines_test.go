package hooks

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// Whatever a command writes, in whatever pieces, its reports are bounded, one JSON object a line, and end with the end.
func FuzzLines(f *testing.F) {
	f.Add([]byte("one\ntwo\r\nthree"), 3)
	f.Add([]byte("\n\n\x00\xff\x1b[2J"), 1)
	f.Add(bytes.Repeat([]byte("x\n"), 2*maxLines), 1000)
	f.Add(bytes.Repeat([]byte("\x01"), 3*maxLine), 4096)
	f.Fuzz(func(t *testing.T, output []byte, piece int) {
		piece = max(1, piece)
		var out bytes.Buffer
		l := &lines{report: json.NewEncoder(&out)}
		for rest := output; len(rest) > 0; {
			n, err := l.Write(rest[:min(piece, len(rest))])
			if err != nil || n != min(piece, len(rest)) {
				t.Fatalf("wrote %d, %v", n, err)
			}
			rest = rest[n:]
		}
		l.end(&end{})
		whole := strings.Split(strings.TrimSuffix(string(output), "\n"), "\n")
		if len(output) == 0 {
			whole = nil
		}
		reports := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
		for i, text := range reports {
			var r report
			if err := json.Unmarshal([]byte(text), &r); err != nil || len(text) > 8*maxLine {
				t.Fatalf("report %.100q of %d bytes: %v", text, len(text), err)
			}
			last := i == len(reports)-1
			if last != (r.End != nil) || last == (r.Line != nil) {
				t.Fatalf("report %d of %d: %.100q", i, len(reports), text)
			}
			if last && len(reports)-1+r.End.Dropped != len(whole) {
				t.Errorf("%d lines reported and %d dropped of %d", len(reports)-1, r.End.Dropped, len(whole))
			}
		}
	})
}
