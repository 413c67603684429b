package boundary

import (
	"context"
	"errors"
	"fmt"
)

// Code says to a guest why something failed. The numbers are part of the interface (docs/boundary.md).
type Code int32

// The codes.
const (
	// Invalid means that an argument is malformed: a head, a URL, a field.
	Invalid Code = -1
	// Denied means that the settings do not allow it.
	Denied Code = -2
	// NoRequest means that no request is being served: the guest starts, or its request is over.
	NoRequest Code = -3
	// BadHandle means that there is no such handle, or that it is past what is asked of it.
	BadHandle Code = -4
	// Limit means that a limit on number or size was reached.
	Limit Code = -5
	// Timeout means that the time of the call was up.
	Timeout Code = -6
	// Unreachable means that there was no connection: no such name, connection refused, TLS failed.
	Unreachable Code = -7
	// Broken means that the connection was cut, or the other side does not speak HTTP.
	Broken Code = -8
	// Unwanted means that the other side takes no more of the body; its response may be there.
	Unwanted Code = -9
)

// Error is what a guest is told.
type Error struct {
	Code Code
	// Text is one line for people.
	Text string
}

func (e *Error) Error() string { return e.Text }

// Failf makes an Error.
func Failf(code Code, format string, args ...any) *Error {
	return &Error{code, fmt.Sprintf(format, args...)}
}

// asError makes an Error of any, of a call under ctx. The cause of a context's end goes before what it brought about.
func asError(ctx context.Context, err error) *Error {
	var e *Error
	switch {
	case errors.As(context.Cause(ctx), &e), ctx.Err() == nil && errors.As(err, &e):
		return e
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return errTimeout
	case ctx.Err() != nil:
		return errOver
	}
	return Failf(Broken, "%s", clip(err.Error()))
}

var (
	errOver    = Failf(NoRequest, "the request that the call was made for is over")
	errTimeout = Failf(Timeout, "the time for the call was up")
)
