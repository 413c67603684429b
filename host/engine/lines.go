package engine

import (
	"debug/dwarf"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"github.com/appserver-go/appserver/host/engine/rewrite"
)

// lines finds the source lines of places in a rewritten module. It keeps the module's bytes, and does nothing until it is
// asked. It is safe for concurrent use.
type lines struct {
	module  *rewrite.Module
	options rewrite.Options

	mu   sync.Mutex
	read bool
	data *dwarf.Data         // nil if it cannot be read
	seen map[uint64][]string // what is known of places in the rewritten code: guests fail where they failed before
}

// maxSeen is how many places are remembered.
const maxSeen = 1000

// newLines returns nil for a module without debugging information, or with one that wazero can use as it is.
func newLines(d *rewrite.Module, o rewrite.Options) *lines {
	if !d.Moves(o) {
		return nil
	}
	return &lines{module: d, options: o}
}

// place matches the line of a stack that has a frame's place (rewrite.Origins).
var place = regexp.MustCompile(`(?m)^\t0x([0-9a-f]+): wasm:1$`)

// fill replaces the places in a stack by source lines. Places that have none are left out.
func (l *lines) fill(stack string) string {
	found := place.FindAllStringSubmatch(stack, -1)
	if l == nil || len(found) == 0 {
		return stack
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	places := make([]uint64, len(found))
	for i, f := range found {
		places[i], _ = strconv.ParseUint(f[1], 16, 64)
	}
	l.find(places)
	var out []string
	for line := range strings.SplitSeq(stack, "\n") {
		if !place.MatchString(line) {
			out = append(out, line)
			continue
		}
		for _, at := range l.seen[places[0]] {
			out = append(out, "\t"+at)
		}
		places = places[1:]
	}
	return strings.Join(out, "\n")
}

// find looks up places that have not been seen.
func (l *lines) find(places []uint64) {
	var unseen []uint64
	for _, p := range places {
		if _, ok := l.seen[p]; !ok {
			unseen = append(unseen, p)
		}
	}
	if len(unseen) == 0 {
		return
	}
	if l.seen == nil || len(l.seen) > maxSeen {
		l.seen, unseen = map[uint64][]string{}, places
	}
	for n, origin := range l.module.Origins(l.options, unseen) {
		l.seen[unseen[n]] = l.at(origin)
	}
}

// at returns the source line of a place, and those of the calls that were inlined there, innermost first.
func (l *lines) at(place uint64) (text []string) {
	defer func() { _ = recover() }() // the information is the guest's: nothing that is wrong with it may matter
	if !l.read {
		l.read, l.data = true, readDWARF(l.module.Debug())
	}
	if l.data == nil {
		return nil
	}
	r := l.data.Reader()
	unit, err := r.SeekPC(place)
	if err != nil {
		return nil
	}
	table, err := l.data.LineReader(unit)
	if err != nil || table == nil {
		return nil
	}
	var entry dwarf.LineEntry
	if err := findLine(table, place, &entry); err != nil || entry.File == nil {
		return nil
	}
	text = []string{fmt.Sprintf("%s:%d", entry.File.Name, entry.Line)}
	files := table.Files()
	for _, call := range l.inlined(r, unit, place) {
		file, ok := call.Val(dwarf.AttrCallFile).(int64)
		line, _ := call.Val(dwarf.AttrCallLine).(int64)
		if ok && file >= 0 && int(file) < len(files) && files[file] != nil {
			text = append(text, fmt.Sprintf("%s:%d (inlined there)", files[file].Name, line))
		}
	}
	return text
}

// findLine finds the last entry at or before a place within its sequence. Sequences need not be in order.
func findLine(table *dwarf.LineReader, place uint64, found *dwarf.LineEntry) error {
	var last, entry dwarf.LineEntry
	valid := false
	for {
		if err := table.Next(&entry); err != nil {
			return err
		}
		if valid && last.Address <= place && place < entry.Address {
			*found = last
			return nil
		}
		last, valid = entry, !entry.EndSequence
	}
}

// inlined returns the calls inlined at a place, innermost first. The reader is behind the unit's entry.
func (l *lines) inlined(r *dwarf.Reader, unit *dwarf.Entry, place uint64) (calls []*dwarf.Entry) {
	for r.Seek(unit.Offset); ; {
		e, err := r.Next()
		if err != nil || e == nil || e.Tag == dwarf.TagCompileUnit && e.Offset != unit.Offset {
			return calls
		}
		switch e.Tag {
		case dwarf.TagSubprogram, dwarf.TagInlinedSubroutine:
			if !l.covers(e, place) {
				r.SkipChildren()
			} else if e.Tag == dwarf.TagInlinedSubroutine {
				calls = append([]*dwarf.Entry{e}, calls...)
			}
		case 0:
			if len(calls) > 0 {
				return calls
			}
		}
	}
}

func (l *lines) covers(e *dwarf.Entry, place uint64) bool {
	ranges, err := l.data.Ranges(e)
	if err != nil {
		return false
	}
	for _, r := range ranges {
		if r[0] <= place && place < r[1] {
			return true
		}
	}
	return false
}

// maxDebug is how much debugging information is read.
const maxDebug = 256 << 20

// readDWARF reads the sections; nil if they make no sense.
func readDWARF(s map[string][]byte) *dwarf.Data {
	total := 0
	for _, b := range s {
		total += len(b)
	}
	if total > maxDebug {
		return nil
	}
	d, err := dwarf.New(s[".debug_abbrev"], nil, nil, s[".debug_info"], s[".debug_line"], nil, s[".debug_ranges"], s[".debug_str"])
	if err != nil {
		return nil
	}
	for name, b := range s {
		switch name { // those that DWARF 5 has added
		case ".debug_addr", ".debug_line_str", ".debug_str_offsets", ".debug_rnglists":
			if err := d.AddSection(name, b); err != nil {
				return nil
			}
		}
	}
	return d
}
