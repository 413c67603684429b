package reloader

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// plan is what one look at the file system finds: the watched files there are, and every directory, by its path without
// symbolic links, in which something may happen that makes a second look find other files.
type plan struct {
	files   stamps
	dirs    map[string]*interest
	ignored ignored
	err     error // a directory that could not be read
}

// interest says which entries of a directory matter.
type interest struct {
	names map[string]bool
	parts []part // wildcards
	tree  bool   // every directory matters: the directory is below a **
	leaf  bool   // entries may be watched files, so writes to them matter too

	dir     string
	ignored ignored
}

func (i *interest) cares(name string, isDir bool) bool {
	if i.names[name] {
		return true
	}
	if i.ignored.match(i.dir, name) {
		return false
	}
	return isDir && i.tree && part{anyDepth, true}.matches(name) ||
		slices.ContainsFunc(i.parts, func(p part) bool { return p.matches(name) })
}

func (i *interest) equal(other *interest) bool {
	return i.tree == other.tree && i.leaf == other.leaf && maps.Equal(i.names, other.names) && slices.Equal(i.parts, other.parts)
}

// survey looks at everything that patterns stand for and that is not ignored.
func survey(patterns []pattern, ign ignored) *plan {
	p := &plan{files: stamps{}, dirs: map[string]*interest{}, ignored: ign}
	for _, parts := range patterns {
		p.expand("/", "", parts)
	}
	return p
}

// at returns the interest in a directory.
func (p *plan) at(dir string) *interest {
	i := p.dirs[dir]
	if i == nil {
		i = &interest{names: map[string]bool{}, dir: dir, ignored: p.ignored}
		p.dirs[dir] = i
	}
	return i
}

// expand finds what parts stand for below a directory, which has the path dir without symbolic links, and the path shown
// as the user wrote it.
func (p *plan) expand(dir, shown string, parts pattern) {
	first, rest := parts[0], parts[1:]
	if len(rest) == 0 {
		p.at(dir).leaf = true
	}
	switch {
	case !first.wild:
		p.enter(dir, first.text, shown, rest)
	case first.text == anyDepth:
		p.at(dir).tree = true
		p.expand(dir, shown, rest)
		for _, e := range p.entries(dir) {
			if e.IsDir() && first.matches(e.Name()) && !p.ignored.match(dir, e.Name()) { // so no links, which may lead in circles
				p.expand(filepath.Join(dir, e.Name()), shown+"/"+e.Name(), parts)
			}
		}
	default:
		p.at(dir).parts = append(p.at(dir).parts, first)
		for _, e := range p.entries(dir) {
			if first.matches(e.Name()) && !p.ignored.match(dir, e.Name()) {
				p.enter(dir, e.Name(), shown, rest)
			}
		}
	}
}

// enter goes on from dir to the entry name: to the file, if nothing is left, or to what rest stands for below it.
func (p *plan) enter(dir, name, shown string, rest pattern) {
	at, info := p.follow(dir, name, new(int))
	shown += "/" + name
	switch {
	case info == nil:
	case len(rest) > 0 && info.IsDir():
		p.expand(at, shown, rest)
	case len(rest) == 0 && info.Mode().IsRegular():
		p.at(filepath.Dir(at)).leaf = true
		p.files[shown] = stampOf(info)
	}
}

// maxLinks is how many symbolic links may be on the way to a file, as in Linux (path_resolution(7)).
const maxLinks = 40

// follow resolves the entry name of a directory through symbolic links, and notes an interest in every entry on the way.
// The info is nil if the way leads nowhere.
func (p *plan) follow(dir, name string, links *int) (string, fs.FileInfo) {
	p.at(dir).names[name] = true
	path := filepath.Join(dir, name)
	info, err := os.Lstat(path)
	if err != nil {
		p.note(err)
		return path, nil
	}
	if info.Mode()&fs.ModeSymlink == 0 {
		return path, info
	}
	target, err := os.Readlink(path)
	if *links++; err != nil || *links > maxLinks {
		return path, nil
	}
	if filepath.IsAbs(target) {
		dir = "/"
	}
	return p.walk(dir, target, links)
}

// walk resolves a path from a directory on.
func (p *plan) walk(dir, path string, links *int) (string, fs.FileInfo) {
	at := dir
	info, err := os.Lstat(dir)
	if err != nil {
		return at, nil
	}
	for name := range strings.SplitSeq(path, "/") {
		switch {
		case name == "" || name == ".":
		case !info.IsDir():
			return at, nil
		case name == "..":
			at = filepath.Dir(at)
			if info, err = os.Lstat(at); err != nil {
				return at, nil
			}
		default:
			if at, info = p.follow(at, name, links); info == nil {
				return at, nil
			}
		}
	}
	return at, info
}

// entries reads a directory.
func (p *plan) entries(dir string) []fs.DirEntry {
	entries, err := os.ReadDir(dir)
	if err != nil {
		p.note(err)
	}
	return entries
}

// note keeps the first reason for which files may be there that are not seen.
func (p *plan) note(err error) {
	if p.err == nil && !errors.Is(err, fs.ErrNotExist) && !isNotDir(err) {
		p.err = err
	}
}
