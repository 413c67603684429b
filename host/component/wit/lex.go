package wit

import (
	"fmt"
	"strings"
)

// scanner cuts a text into words, names with their versions among them, and punctuation.
type scanner struct {
	text string
	off  int
	tok  string // "" at the end
}

const punctuation = "{}()<>,;:=*"

func (s *scanner) next() {
	for s.off < len(s.text) {
		rest := s.text[s.off:]
		switch {
		case strings.HasPrefix(rest, "//"):
			n := strings.IndexByte(rest, '\n')
			if n < 0 {
				n = len(rest)
			}
			s.off += n
		case strings.IndexByte(" \t\r\n", rest[0]) >= 0:
			s.off++
		case strings.HasPrefix(rest, "->"):
			s.take(2)
			return
		case strings.IndexByte(punctuation, rest[0]) >= 0:
			s.take(1)
			return
		default:
			n := strings.IndexAny(rest, punctuation+" \t\r\n")
			if n < 0 {
				n = len(rest)
			}
			s.take(n)
			return
		}
	}
	s.tok = ""
}

func (s *scanner) take(n int) {
	s.tok = s.text[s.off : s.off+n]
	s.off += n
}

// fail ends the parsing.
func (s *scanner) fail(format string, args ...any) {
	line := 1 + strings.Count(s.text[:s.off], "\n")
	panic(fmt.Errorf("line %d: %s", line, fmt.Sprintf(format, args...)))
}

// expect passes over a token that must be there.
func (s *scanner) expect(tok string) {
	if s.tok != tok {
		s.fail("have %q, want %q", s.tok, tok)
	}
	s.next()
}

// accept passes over a token if it is there.
func (s *scanner) accept(tok string) bool {
	if s.tok != tok {
		return false
	}
	s.next()
	return true
}

// word returns a name. A leading % says only that it is no keyword.
func (s *scanner) word() string {
	w := s.tok
	if w == "" || strings.Contains(punctuation, w) {
		s.fail("have %q, want a name", w)
	}
	s.next()
	return strings.TrimPrefix(w, "%")
}

// until calls item until the token ends a list, with optional separators between items.
func (s *scanner) until(end, separator string, item func()) {
	for !s.accept(end) {
		if s.tok == "" {
			s.fail("the text ends where %q should be", end)
		}
		item()
		if separator != "" && !s.accept(separator) {
			s.expect(end)
			return
		}
	}
}
