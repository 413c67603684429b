package load

import (
	"errors"
	"io/fs"
	"regexp"
	"syscall"
)

// isRefused reports whether a dial failed because nobody listens.
func isRefused(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, fs.ErrNotExist)
}

// ports matches what makes the same error read differently each time.
var ports = regexp.MustCompile(`(127\.0\.0\.1|\[::1\]):\d+->`)

func withoutPorts(text string) string { return ports.ReplaceAllString(text, "") }
