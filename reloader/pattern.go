package reloader

import (
	"path/filepath"
	"strings"

	"github.com/appserver-go/appserver/internal/fault"
)

// anyDepth is the part of a glob that stands for any number of directories.
const anyDepth = "**"

// part is what a pattern says of one part of a path.
type part struct {
	text string
	wild bool // text is a pattern for path/filepath.Match, or anyDepth
}

// pattern is an absolute path with wildcards in it, or without.
type pattern []part

// parsePatterns makes patterns of files and globs. The names are the files'.
func parsePatterns(files, globs []string) (patterns []pattern, named map[string]bool, err error) {
	named = map[string]bool{}
	for _, file := range files {
		abs, err := absolute(file)
		if err != nil {
			return nil, nil, err
		}
		if !named[abs] {
			named[abs] = true
			patterns = append(patterns, parsePattern(abs, false))
		}
	}
	for _, glob := range globs {
		abs, err := absolute(glob)
		if err != nil {
			return nil, nil, err
		}
		p := parsePattern(abs, true)
		wild := false
		for _, part := range p {
			if _, err := filepath.Match(part.text, ""); part.wild && err != nil {
				return nil, nil, fault.New(`close the bracket, or write \[ for the character itself`, "cannot watch %q: bad pattern %q", glob, part.text)
			}
			wild = wild || part.wild
		}
		if !wild {
			named[p.String()] = true
		}
		patterns = append(patterns, p)
	}
	return patterns, named, nil
}

func absolute(path string) (string, error) {
	if path == "" {
		return "", fault.New("remove it, or name a file", "cannot watch a file without a name")
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", fault.New("give an absolute path", "cannot watch %q: %w", path, err)
	}
	if abs == "/" {
		return "", fault.New("name a file in it", "cannot watch %q: it is a directory", path)
	}
	return abs, nil
}

// parsePattern splits an absolute path; without wildcards each part is a name as it is.
func parsePattern(abs string, wildcards bool) pattern {
	var p pattern
	for text := range strings.SplitSeq(abs, "/") {
		switch wild := wildcards && strings.ContainsAny(text, `*?[\`); {
		case text == "":
		case text == anyDepth && wild && len(p) > 0 && p[len(p)-1].text == anyDepth: // one after another is as good as one
		default:
			p = append(p, part{text, wild})
		}
	}
	if last := len(p) - 1; last >= 0 && p[last].wild && p[last].text == anyDepth {
		p = append(p, part{"*", true})
	}
	return p
}

// String returns the path as New was given it.
func (p pattern) String() string {
	var b strings.Builder
	for _, part := range p {
		b.WriteString("/" + part.text)
	}
	return b.String()
}

// matches reports whether a name of a directory's entry fits the part. Names that begin with a dot must be asked for.
func (p part) matches(name string) bool {
	if !p.wild {
		return p.text == name
	}
	if strings.HasPrefix(name, ".") && !strings.HasPrefix(p.text, ".") {
		return false
	}
	if p.text == anyDepth {
		return true
	}
	ok, err := filepath.Match(p.text, name)
	return err == nil && ok
}
