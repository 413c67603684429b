package dev

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// place is a line of a source that a message is about.
type place struct {
	root, file   string // file is below root
	line, column int    // from 1; column 0 is unknown
	about        string // what follows it
}

// name is the place for people, who look at it from dir.
func (p place) name(dir string) string {
	name := p.file
	if rel, err := filepath.Rel(dir, filepath.Join(p.root, p.file)); err == nil {
		name = rel
	}
	name += ":" + strconv.Itoa(p.line)
	if p.column > 0 {
		name += ":" + strconv.Itoa(p.column)
	}
	return name
}

// The forms in which compilers and stack traces name a place.
var (
	colons = regexp.MustCompile(`^\s*(?:[-=]+>\s*)?((?:[A-Za-z]:)?[^\s:()]+):(\d+)(?::(\d+))?(?:[:\s]|$)`) // go, clang, rustc, Go's stacks
	parens = regexp.MustCompile(`(?:^|\s)(?:in\s+)?([^\s:()]+\.[a-z]+)\((\d+),(\d+)\)(?:[:\s]|$)`)         // asc, tsc
)

// placeIn finds the place that a line of text names: one in a file that there is, below one of the roots. Relative names
// are those of dir.
func placeIn(text, dir string, roots []string) (place, bool) {
	m := colons.FindStringSubmatch(text)
	about := ""
	if m != nil {
		about = strings.TrimSpace(strings.TrimPrefix(text[len(m[0]):], ":"))
	} else if m = parens.FindStringSubmatch(text); m == nil {
		return place{}, false
	}
	path := m[1]
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	for _, root := range roots {
		rel, err := filepath.Rel(root, path)
		if err != nil || !filepath.IsLocal(rel) {
			continue
		}
		if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
			continue
		}
		p := place{root: root, file: rel, about: about}
		p.line, err = strconv.Atoi(m[2])
		p.column, _ = strconv.Atoi(m[3]) // or nothing, which is 0
		return p, err == nil && p.line > 0
	}
	return place{}, false
}

// Line is one line of a text in a Report.
type Line struct {
	Text string
	// Number is its number in a source, else 0.
	Number int
	// Marked says that this is where to look.
	Marked bool
	// At is what stands at the column of a source that is meant, between Before and After; empty where none is known.
	Before, At, After string
}

// marked is a text with the places in it.
type marked struct {
	lines []Line
	best  place  // the one to show
	at    int    // the line that names it
	about string // what is said of it
	found bool
}

// mark makes lines of a text and marks those that name a place. The one to show is rather one that is called an error than
// another, then rather one in dir than one elsewhere, then the first.
func mark(text, dir string, roots []string) *marked {
	m := &marked{}
	rank, headline := 0, ""
	for line := range strings.Lines(text) {
		line = plain(strings.TrimRight(line, "\r\n"))
		p, ok := placeIn(line, dir, roots)
		m.lines = append(m.lines, Line{Text: line, Marked: ok})
		lower := strings.ToLower(strings.TrimSpace(line))
		if !ok {
			if strings.HasPrefix(lower, "error") { // rustc and asc say first what it is, and then where
				headline = strings.TrimSpace(line)
			}
			continue
		}
		r := 1
		if strings.HasPrefix(filepath.Join(p.root, p.file), dir+"/") {
			r++
		}
		if strings.Contains(lower, "error") || headline != "" {
			r += 2
		}
		if r > rank {
			m.best, m.at, m.found, rank = p, len(m.lines)-1, true, r
			if m.about = p.about; m.about == "" {
				m.about = headline
			}
		}
		headline = ""
	}
	return m
}

const (
	around    = 4       // lines that are shown before and after a place
	sourceMax = 4 << 20 // bytes of the largest source that is shown from
)

// excerpt returns the lines around a place. It reads nothing outside the place's root, whatever links there are.
func (p place) excerpt() []Line {
	root, err := os.OpenRoot(p.root)
	if err != nil {
		return nil
	}
	defer root.Close()
	if info, err := root.Stat(p.file); err != nil || !info.Mode().IsRegular() || info.Size() > sourceMax {
		return nil
	}
	data, err := root.ReadFile(p.file)
	if err != nil {
		return nil
	}
	var lines []Line
	number := 0
	for text := range strings.Lines(string(data)) {
		number++
		if number < p.line-around || number > p.line+around {
			continue
		}
		text = strings.TrimRight(text, "\r\n")
		l := Line{Text: plain(text), Number: number, Marked: number == p.line}
		if l.Marked && p.column > 0 && p.column <= len(text) {
			rest := text[p.column-1:]
			at := word.FindString(rest)
			l.Before, l.At, l.After = plain(text[:p.column-1]), plain(at), plain(rest[len(at):])
		}
		lines = append(lines, l)
	}
	return lines
}

// word is what is marked at a column.
var word = regexp.MustCompile(`^(?:[\pL\pN_]+|(?s:.))`)

// escapes are the sequences with which programs colour their output.
var escapes = regexp.MustCompile(`\x1b\[[0-9;:?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)`)

// plain is text without colours and control characters, and with tabs as they are.
func plain(s string) string {
	s = escapes.ReplaceAllString(s, "")
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t', r == '\n':
			return r
		case r < ' ', r >= 0x7f && r < 0xa0, r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069:
			return '\uFFFD'
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
}
