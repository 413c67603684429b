package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/appserver-go/appserver/internal/fault"
)

// The command's voice: what went wrong is one "appserver: error:" line, what to do about it one "appserver: hint:"
// line, both on standard error, in lower case and without a full stop. An error that lists things, as that of a plugin
// that does not fit, has each on an indented line of its own. Standard output is for what was asked for.

// report prints err in the command's voice and returns the exit code it asks for.
func report(stderr io.Writer, err error) int {
	if err == nil {
		return fault.OK
	}
	first, list, _ := strings.Cut(strings.TrimSpace(err.Error()), "\n")
	fmt.Fprintf(stderr, "appserver: error: %s\n", oneLine(first))
	for line := range strings.Lines(list) {
		fmt.Fprintf(stderr, "    %s\n", oneLine(line))
	}
	if hint := fault.Hint(err); hint != "" {
		fmt.Fprintf(stderr, "appserver: hint: %s\n", oneLine(hint))
	}
	return fault.Code(err)
}

// oneLine makes text safe for a terminal and for whoever reads line by line: it may quote a guest or a file.
func oneLine(s string) string {
	s = strings.TrimSpace(strings.ReplaceAll(s, "\n", "; "))
	return printable(s)
}
