package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/appserver-go/appserver/control"
)

// topColumns are the widths of top's columns but the last, which gets the rest: 28 of 80.
const topColumns = "%-7s %-9s %6s %6s %5s %-6s %6s "

// topView renders what `appserver top` shows. Lines are ASCII and never wider than the screen, whatever clients sent.
type topView struct {
	width, height int
	// head marks up the line over the columns; nil leaves it as it is.
	head func(string) string
}

// lines renders a status. Before is an earlier one, for rates; nil if there is none. There are never more lines than
// height, unless that is 0.
func (v topView) lines(st, before *control.Status) []string {
	rates := ratesOf(st, before)
	var busy, threads int
	var queued, rss int64
	total, known := 0.0, false
	for i := range st.Workers {
		w := &st.Workers[i]
		busy, threads, queued, rss = busy+w.Busy, threads+w.Threads, queued+w.Queued, rss+w.RSS
		if r, ok := rates[w.Number]; ok {
			total, known = total+r, true
		}
	}
	lines := []string{
		v.fit(fmt.Sprintf("%s: %s, pid %d, generation %d, up %s", cell(st.App), stateText(st), st.PID, st.Generation, ago(st.Uptime))),
		v.fit(fmt.Sprintf("workers %d/%d  busy %d/%d  queued %d  %s req/s  memory %s + %s", st.Ready, st.Target, busy, threads, queued,
			rateText(total, known), bytesText(rss), bytesText(st.RSS))),
	}
	if text := reloadText(st); text != "" {
		lines = append(lines, v.fit(text))
	}
	head := v.fit(fmt.Sprintf(topColumns+"%s", "WORKER", "STATE", "SLOT", "REQ/S", "MEM", "METHOD", "AGE", "PATH"))
	if v.head != nil {
		head = v.head(head)
	}
	lines = append(lines, "", head)
	return v.clip(lines, v.rows(st, rates))
}

// rows renders the workers: one line for each, and one for each further request.
func (v topView) rows(st *control.Status, rates map[uint64]float64) []string {
	var rows []string
	for i := range st.Workers {
		w := &st.Workers[i]
		rate, ok := rates[w.Number]
		state, _, _ := strings.Cut(workerState(w), ":")
		pid, state, slot := strconv.Itoa(w.PID), cut(state, 9), strconv.Itoa(w.Slot)
		reqs, mem := rateText(rate, ok), bytesText(w.RSS)
		for _, r := range w.InFlight {
			if w.Threads > 1 {
				slot = fmt.Sprintf("%d.%d", w.Slot, r.Row)
			}
			rows = append(rows, v.fit(fmt.Sprintf(topColumns+"%s", pid, state, slot, reqs, mem,
				cut(cell(r.Method), 6), ago(r.Age), cell(r.Path))))
			pid, state, reqs, mem = "", "", "", ""
		}
		if len(w.InFlight) == 0 {
			rows = append(rows, v.fit(fmt.Sprintf(topColumns+"%s", pid, state, slot, reqs, mem, "-", "-", "-")))
		}
	}
	return rows
}

// fit cuts a line to the width of the screen.
func (v topView) fit(line string) string {
	if v.width <= 0 {
		return line
	}
	return cut(line, v.width)
}

// clip joins head and rows and says what does not fit the screen.
func (v topView) clip(lines, rows []string) []string {
	room := v.height - len(lines)
	if v.height <= 0 || len(rows) <= room {
		return append(lines, rows...)
	}
	if room < 1 {
		return lines[:v.height]
	}
	more := len(rows) - (room - 1)
	return append(append(lines, rows[:room-1]...), v.fit(fmt.Sprintf("... %d more lines", more)))
}

// ratesOf returns the requests per second of each worker between two statuses.
func ratesOf(st, before *control.Status) map[uint64]float64 {
	rates := map[uint64]float64{}
	if before == nil {
		return rates
	}
	took := st.Now.Sub(before.Now)
	if took < time.Millisecond {
		return rates
	}
	earlier := map[uint64]int64{}
	for i := range before.Workers {
		earlier[before.Workers[i].Number] = before.Workers[i].Requests
	}
	for i := range st.Workers {
		w := &st.Workers[i]
		rates[w.Number] = float64(max(w.Requests-earlier[w.Number], 0)) / took.Seconds()
	}
	return rates
}

func rateText(r float64, known bool) string {
	switch {
	case !known:
		return "-"
	case r < 100:
		return strconv.FormatFloat(r, 'f', 1, 64)
	default:
		return strconv.FormatFloat(r, 'f', 0, 64)
	}
}
