package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// textTable aligns cells in columns for people. Cells are ASCII: see cell.
type textTable struct {
	right []bool // whether a column is aligned to the right
	rows  [][]string
}

// newTextTable makes a table with a head. Columns whose names begin with ">" are aligned to the right.
func newTextTable(head ...string) *textTable {
	t := &textTable{}
	for i, name := range head {
		name, right := strings.CutPrefix(name, ">")
		t.right = append(t.right, right)
		head[i] = name
	}
	t.rows = [][]string{head}
	return t
}

func (t *textTable) add(cells ...string) { t.rows = append(t.rows, cells) }

// lines returns the rows, the head first.
func (t *textTable) lines() []string {
	widths := make([]int, len(t.right))
	for _, row := range t.rows {
		for i, c := range row {
			widths[i] = max(widths[i], len(c))
		}
	}
	all := make([]string, len(t.rows))
	for r, row := range t.rows {
		var b strings.Builder
		for i, c := range row {
			if i > 0 {
				b.WriteString("  ")
			}
			width := widths[i]
			if !t.right[i] {
				width = -width
			}
			fmt.Fprintf(&b, "%*s", width, c)
		}
		all[r] = strings.TrimRight(b.String(), " ")
	}
	return all
}

// cell makes text of guests and clients fit for a column: ASCII only, so that its length is its width, and nothing that
// drives a terminal.
func cell(s string) string {
	quoted := strconv.QuoteToASCII(s)
	quoted = quoted[1 : len(quoted)-1]
	return strings.ReplaceAll(quoted, `\"`, `"`)
}

// cut shortens ASCII text to a width.
func cut(s string, width int) string {
	switch {
	case width <= 0:
		return ""
	case len(s) > width:
		return s[:width-1] + "~"
	}
	return s
}

// ago writes a number of seconds as people say it, in at most 6 characters.
func ago(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	switch {
	case d < 0:
		return "0s"
	case d < 10*time.Second:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 100*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	default:
		return fmt.Sprintf("%dd", int(d.Hours()/24))
	}
}

// bytesText writes a size in at most 5 characters; 0 is unknown.
func bytesText(n int64) string {
	switch f := float64(n); {
	case n <= 0:
		return "-"
	case f < 1<<20:
		return fmt.Sprintf("%.0fK", f/(1<<10))
	case f < 1<<30:
		return fmt.Sprintf("%.0fM", f/(1<<20))
	default:
		return fmt.Sprintf("%.1fG", f/(1<<30))
	}
}
