package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/appserver-go/appserver/control"
)

func newStatus(p process) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show how a running server and its workers are",
		Args:  maxArgs(0),
	}
	asJSON := cmd.Flags().Bool("json", false, "print everything as JSON")
	return operation(p, cmd, func(ctx context.Context, c *control.Client, _ []string) error {
		st, err := c.Status(ctx)
		if err != nil {
			return err
		}
		if *asJSON {
			enc := json.NewEncoder(p.stdout)
			enc.SetIndent("", "  ")
			return enc.Encode(st)
		}
		_, err = fmt.Fprintln(p.stdout, strings.Join(statusLines(st), "\n"))
		return err
	})
}

// statusLines renders a status for people.
func statusLines(st *control.Status) []string {
	var busy, threads int
	var requests int64
	for i := range st.Workers {
		w := &st.Workers[i]
		busy, threads, requests = busy+w.Busy, threads+w.Threads, requests+w.Requests
	}
	lines := []string{
		fmt.Sprintf("%s: %s, pid %d, generation %d, up %s, %s, appserver %s",
			cell(st.App), stateText(st), st.PID, st.Generation, ago(st.Uptime), bytesText(st.RSS), cell(st.Version)),
		"guest: " + cell(st.Guest),
		"listening: " + cell(strings.Join(st.Sockets, ", ")),
		fmt.Sprintf("workers: %d of %d ready, %d of %d threads busy, %d requests answered", st.Ready, st.Target, busy, threads, requests),
	}
	if text := reloadText(st); text != "" {
		lines = append(lines, text)
	}
	lines = append(lines, upgradeLines(st)...)
	if len(st.Workers) == 0 {
		return lines
	}
	t := newTextTable(">PID", ">SLOT", "STATE", ">GEN", ">AGE", ">REQUESTS", ">BUSY", ">RSS")
	for i := range st.Workers {
		w := &st.Workers[i]
		t.add(strconv.Itoa(w.PID), strconv.Itoa(w.Slot), workerState(w), strconv.FormatUint(w.Generation, 10), ago(w.Age),
			strconv.FormatInt(w.Requests, 10), fmt.Sprintf("%d/%d", w.Busy, w.Threads), bytesText(w.RSS))
	}
	return append(append(lines, ""), t.lines()...)
}

// stateText is the server's state, with the stage of a reload.
func stateText(st *control.Status) string {
	if st.Stage != "" {
		return cell(st.State) + " (" + cell(st.Stage) + ")"
	}
	return cell(st.State)
}

// workerState is a worker's state in one word or two.
func workerState(w *control.Worker) string {
	switch {
	case w.State == "ready" && w.Retiring != "":
		return "retiring"
	case w.Canary && w.Stage != "":
		return "canary: " + cell(w.Stage)
	case w.State == "booted" && w.Stage != "":
		return cell(w.Stage)
	}
	return cell(w.State)
}

// upgradeLines tell of another arbiter beside the server, and of the last upgrade if it failed.
func upgradeLines(st *control.Status) (lines []string) {
	if s := st.Successor; s != nil {
		lines = append(lines, fmt.Sprintf("upgrade: new arbiter, process %d, is %s since %s", s.PID, cell(s.Stage), ago(s.Age)))
		if s.Stage == "retiring" {
			lines[0] = fmt.Sprintf("upgrade: process %d has taken over, this one finishes its requests", s.PID)
		}
	}
	if st.Predecessor != 0 {
		lines = append(lines, fmt.Sprintf("upgrade: the old arbiter, process %d, is still there", st.Predecessor))
	}
	if u := st.Upgrade; u != nil && u.Error != "" {
		lines = append(lines, lastFailure("upgrade", st.Now.Sub(u.At), u.Error, u.Hint))
	}
	return lines
}

// lastFailure tells of what failed a while ago.
func lastFailure(what string, since time.Duration, reason, hint string) string {
	text := fmt.Sprintf("last %s failed %s ago: %s", what, ago(since.Seconds()), cell(reason))
	if hint != "" {
		text += " (hint: " + cell(hint) + ")"
	}
	return text
}

// reloadText tells of the last reload if it failed, or "".
func reloadText(st *control.Status) string {
	if st.Reload == nil || st.Reload.Error == "" {
		return ""
	}
	return lastFailure("reload", st.Now.Sub(st.Reload.At), st.Reload.Error, st.Reload.Hint)
}
