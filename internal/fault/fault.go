// Package fault gives an error what a person needs beside it: a hint that says what to do, and the exit code of the
// process it ends. It holds no texts and prints nothing; cmd/appserver renders faults as `appserver: error:` and
// `appserver: hint:` lines. Every package below cmd may use it.
package fault

import (
	"errors"
	"fmt"
)

// Exit codes of the appserver command. BootFailed and LoadFailed are gunicorn's WORKER_BOOT_ERROR and APP_LOAD_ERROR.
const (
	OK         = 0 // everything went well
	Failed     = 1 // anything that has no code of its own
	Usage      = 2 // the command line is wrong
	BootFailed = 3 // a worker of the first generation failed to boot
	LoadFailed = 4 // the guest failed to load
)

// Error is an error with advice. It is immutable and safe to share.
type Error struct {
	// Err is what went wrong: lower case, no full stop, without the "appserver:" prefix.
	Err error
	// Hint says what the reader can do about it. Empty means that nothing useful is known.
	Hint string
	// Code is the exit code, one of the constants above. Zero means Failed.
	Code int
}

// New makes a fault that exits with Failed.
func New(hint, format string, args ...any) *Error {
	return &Error{Err: fmt.Errorf(format, args...), Hint: hint}
}

// WithCode makes a fault with an exit code.
func WithCode(code int, hint, format string, args ...any) *Error {
	return &Error{Err: fmt.Errorf(format, args...), Hint: hint, Code: code}
}

func (e *Error) Error() string { return e.Err.Error() }

func (e *Error) Unwrap() error { return e.Err }

// Hint returns the hint of the outermost fault in err's chain that has one, or "".
func Hint(err error) string {
	for err != nil {
		var f *Error
		if !errors.As(err, &f) {
			return ""
		}
		if f.Hint != "" {
			return f.Hint
		}
		err = f.Err
	}
	return ""
}

// Code returns the exit code for err: OK for nil, that of the outermost fault that has one, else Failed.
func Code(err error) int {
	if err == nil {
		return OK
	}
	for err != nil {
		var f *Error
		if !errors.As(err, &f) {
			break
		}
		if f.Code != 0 {
			return f.Code
		}
		err = f.Err
	}
	return Failed
}
