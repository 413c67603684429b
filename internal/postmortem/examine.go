package postmortem

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"

	"github.com/appserver-go/appserver/internal/helper"
)

// Command is the first argument with which this program is a helper.
const Command = "post-mortem"

// maxText is how much a helper may say.
const maxText = 16 << 10

// Examine returns the functions of compiled guest code that a process is in, innermost first, a line each, with an empty
// line between two threads; "" when there is none or it cannot be told. It returns when ctx is done, at the latest.
func Examine(ctx context.Context, pid int) string {
	h, err := helper.Start([]string{Command, strconv.Itoa(pid)}, nil)
	if err != nil {
		return ""
	}
	defer h.Close()
	defer context.AfterFunc(ctx, h.Kill)()
	text, err := io.ReadAll(io.LimitReader(h.Out, maxText))
	if err != nil {
		return ""
	}
	return strings.Map(func(r rune) rune {
		if r != '\n' && !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, strings.TrimSpace(string(text)))
}

// Main examines a process as the helper of Examine and returns the exit code, at which nobody looks.
func Main(args []string, out io.Writer) int {
	if len(args) != 1 {
		return 2
	}
	pid, err := strconv.Atoi(args[0])
	if err != nil || pid <= 1 {
		return 2
	}
	tables := readTables(pid)
	if len(tables) == 0 {
		return 0
	}
	for n, stack := range stacks(pid, tables) {
		if n > 0 {
			fmt.Fprintln(out)
		}
		fmt.Fprintln(out, strings.Join(stack, "\n"))
	}
	return 0
}
