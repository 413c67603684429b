package engine

import (
	"encoding/binary"
	"slices"

	"github.com/appserver-go/appserver/internal/fault"
)

// maxTables is how many tables a module may define. Compilers make one or two; each may grow to the table limit.
const maxTables = 16

// limitTables returns the module with every table's maximum lowered to limit elements. Wazero bounds tables by their
// own maximum only and keeps them on the Go heap, where table.grow in a loop eats gigabytes in seconds; with a maximum
// it fails with -1 instead. The module is returned as it is when nothing has to change.
func (l *layout) limitTables(wasm []byte, limit int) ([]byte, error) {
	if len(l.tables) > maxTables {
		return nil, fault.WithCode(fault.LoadFailed, "", "the module defines %d tables, more than %d", len(l.tables), maxTables)
	}
	changed := false
	for i := range l.tables {
		t := &l.tables[i].limits
		if t.min > uint64(limit) {
			return nil, fault.WithCode(fault.LoadFailed,
				"raise guest.table_limit (--guest-table-limit) if the module is to be trusted with that much memory",
				"table %d starts with %d elements, more than the table limit of %d", i, t.min, limit)
		}
		if !t.hasMax || t.max > uint64(limit) {
			t.hasMax, t.max, changed = true, uint64(limit), true
		}
	}
	if !changed {
		return wasm, nil
	}
	return slices.Concat(wasm[:l.tableSec.start], l.encodeTables(), wasm[l.tableSec.end:]), nil
}

// encodeTables writes the table section anew, id and size included.
func (l *layout) encodeTables() []byte {
	body := binary.AppendUvarint(nil, uint64(len(l.tables)))
	for _, t := range l.tables {
		body = append(body, t.prefix...)
		body = append(body, 1) // limits with a maximum
		body = binary.AppendUvarint(body, t.limits.min)
		body = binary.AppendUvarint(body, t.limits.max)
		body = append(body, t.init...)
	}
	section := binary.AppendUvarint([]byte{sectionTable}, uint64(len(body)))
	return append(section, body...)
}
