package goplugin

import (
	"fmt"
	"strings"

	"github.com/appserver-go/appserver/internal/fault"
)

// Bounds of what an error shows. The names come from the plugin, which may be anything.
const (
	maxRows     = 12
	maxPackages = 5
	maxText     = 100 // bytes of one cell
)

// Err returns nil for a plugin that fits, else a *fault.Error with all that does not, a line for each, and the commands
// that mend it as its hint.
func (r *Report) Err() error {
	if r.Fits() {
		return nil
	}
	return fault.WithCode(fault.LoadFailed, r.hint(), "it does not fit this appserver%s", r.table())
}

func (r *Report) hint() string {
	return "rebuild it: " + strings.Join(r.Fixes, " && ") +
		"; or compile the handler to WebAssembly, which has no such limits (docs/guests.md)"
}

// table renders the mismatches, each on a line of its own after a newline.
func (r *Report) table() string {
	width, have := 0, 0
	rows := r.Mismatches[:min(len(r.Mismatches), maxRows)]
	for _, m := range rows {
		width, have = max(width, len(clip(m.What))), max(have, len(cell(m.Have)))
	}
	var b strings.Builder
	for _, m := range rows {
		fmt.Fprintf(&b, "\n%-*s  have %-*s  want %s", width, clip(m.What), have, cell(m.Have), cell(m.Want))
	}
	if n := len(r.Mismatches) - len(rows); n > 0 {
		fmt.Fprintf(&b, "\nand %d more", n)
	}
	if n := len(r.Packages); n > 0 {
		shown := make([]string, 0, maxPackages)
		for _, p := range r.Packages[:min(n, maxPackages)] {
			shown = append(shown, clip(p))
		}
		if n > maxPackages {
			shown = append(shown, "…")
		}
		unit := "packages differ"
		if n == 1 {
			unit = "package differs"
		}
		fmt.Fprintf(&b, "\n%d %s: %s", n, unit, strings.Join(shown, ", "))
	}
	return b.String()
}

func cell(s string) string {
	if s == "" {
		return "none"
	}
	return clip(s)
}

func clip(s string) string {
	if len(s) > maxText {
		return s[:maxText] + "…"
	}
	return s
}
