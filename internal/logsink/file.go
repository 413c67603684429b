package logsink

import (
	"errors"
	"io/fs"
	"os"
	"syscall"

	"github.com/appserver-go/appserver/internal/fault"
)

// logMode is the mode of new log files. Logs hold addresses of clients and what guests print: not for everybody.
const logMode = 0o640

// openFile opens a log file for appending.
func openFile(path string, opts Options) (*os.File, error) {
	f, err := tryOpen(path, opts)
	if err == nil {
		return f, nil
	}
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		err = pathErr.Err
	}
	return nil, fault.New(openHint(err), "open log %s: %w", path, err)
}

func openHint(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "create its directory"
	case errors.Is(err, fs.ErrExist):
		return "it is a symbolic link to nowhere: create the file it points to"
	case errors.Is(err, syscall.ENXIO):
		return "it is a socket, or a pipe that nobody reads: start its reader first"
	case errors.Is(err, syscall.EISDIR):
		return "name a file in the directory"
	default:
		return "see that this user may write to it"
	}
}

// tryOpen opens the file if it is there and creates it otherwise. The two are told apart because only what this process
// created itself may be given away: O_EXCL neither follows links nor takes what another put there.
func tryOpen(path string, opts Options) (*os.File, error) {
	// O_NONBLOCK keeps a named pipe without a reader from blocking the opening; it means nothing for regular files.
	const flags = os.O_WRONLY | os.O_APPEND | syscall.O_NONBLOCK | syscall.O_NOCTTY
	f, err := os.OpenFile(path, flags, 0)
	if !errors.Is(err, fs.ErrNotExist) {
		return f, err
	}
	f, err = os.OpenFile(path, flags|os.O_CREATE|os.O_EXCL, logMode)
	if errors.Is(err, fs.ErrExist) {
		if f, again := os.OpenFile(path, flags, 0); again == nil {
			return f, nil // another process of ours created it in between
		}
	}
	if err != nil || !opts.Chown {
		return f, err
	}
	if err := f.Chown(opts.UID, opts.GID); err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}
