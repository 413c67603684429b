package logsink

import (
	"bufio"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// Two processes write long records to a pipe whose reader is slow: none may be torn.
func TestLongRecordsStayWholeOnPipes(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	const records = 200
	for _, name := range []string{"a", "b"} {
		s := New(w, Options{Limit: 64 << 20})
		go func() {
			for range records {
				s.Write([]byte(name + strings.Repeat("\u00e4", 5000) + "\n"))
			}
			s.Close(10 * time.Second)
		}()
	}
	lines := bufio.NewReaderSize(r, 512)
	for range 2 * records {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		body := strings.Trim(line[1:], "\u00e4")
		if len(line) > pipeWrite || body != cutMark || !utf8.ValidString(line) {
			t.Fatalf("a record of %d bytes, with %q in it", len(line), body)
		}
	}
	w.Close()
}

func TestLongRecordsStayLongInFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	s, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	s.Write([]byte(strings.Repeat("x", 100_000) + "\n"))
	if err := s.Close(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Size() != 100_001 {
		t.Errorf("%v, %v", info.Size(), err)
	}
}
