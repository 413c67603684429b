package exchange

import (
	"errors"
	"fmt"
)

// Reason says, in one word for logs and counters, why an exchange failed.
type Reason string

// The reasons an exchange can fail for.
const (
	Trapped     Reason = "trap"     // the guest trapped, or its memory or stack ran out
	Exited      Reason = "exit"     // the guest called exit with a code other than 0
	TimedOut    Reason = "timeout"  // the request's deadline passed
	Canceled    Reason = "canceled" // the client went away or the worker is stopping
	BadResponse Reason = "response" // the guest's response breaks the rules of HTTP or a limit
	BadRequest  Reason = "request"  // the client's request body is cut short, malformed or too large
	Overloaded  Reason = "overload" // no slot was free and the queue was full
	NotFound    Reason = "notfound" // nothing answers this request
	Upstream    Reason = "upstream" // the upstream server did not answer
	Internal    Reason = "internal" // a fault of the server's own
)

// Failure is an error that knows which status the client gets for it.
type Failure struct {
	// Status is the response's status if nothing was sent yet.
	Status int
	// Reason classifies the failure.
	Reason Reason
	// Err is the cause. It is for the log; clients never see it.
	Err error
	// Stack is the guest's stack, one frame a line, where one is known.
	Stack string
	// Running, where it is not nil, says that the guest could not be stopped and still runs, without access to the
	// exchange. It is closed when the guest is done. Until then the guest's slot is taken.
	Running <-chan struct{}
}

// Fail makes a Failure with a formatted cause.
func Fail(status int, reason Reason, format string, args ...any) *Failure {
	return &Failure{Status: status, Reason: reason, Err: fmt.Errorf(format, args...)}
}

func (f *Failure) Error() string {
	if f.Err == nil {
		return string(f.Reason)
	}
	return f.Err.Error()
}

func (f *Failure) Unwrap() error { return f.Err }

// AsFailure returns err as a Failure; an error of another kind becomes one with status 500 and reason Internal.
func AsFailure(err error) *Failure {
	var f *Failure
	if errors.As(err, &f) {
		return f
	}
	return &Failure{Status: 500, Reason: Internal, Err: err}
}

// SendFailure makes an error of the methods of a Response, such as Write and Flush, the failure of its exchange: one
// that is a *Failure already, for a rule the guest broke, stays as it is; everything else means that the client is gone.
// nil stays nil.
func SendFailure(err error) error {
	var f *Failure
	switch {
	case err == nil:
		return nil
	case errors.As(err, &f):
		return f
	}
	return Fail(503, Canceled, "send the response: %w", err)
}
