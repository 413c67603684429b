package cgi

import (
	"errors"
	"fmt"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/host/engine"
)

// callFailure makes the error of an instance the failure of its exchange.
func callFailure(err error) error {
	if f := (*exchange.Failure)(nil); errors.As(err, &f) {
		return f
	}
	f := &exchange.Failure{Status: 500, Reason: exchange.Internal, Err: fmt.Errorf("%s: %w", entry, err)}
	var trap *engine.Trap
	if !errors.As(err, &trap) {
		return f
	}
	f.Stack = trap.Stack
	switch trap.Kind {
	case engine.KindTrap, engine.KindStackOverflow:
		f.Reason = exchange.Trapped
	case engine.KindExit:
		f.Reason = exchange.Exited
	case engine.KindDeadline:
		f.Status, f.Reason = 504, exchange.TimedOut
	case engine.KindCanceled:
		f.Status, f.Reason = 503, exchange.Canceled
	case engine.KindMemoryLimit:
		f.Status, f.Reason = 503, exchange.Overloaded
	}
	return f
}

// inputFailure is for a body that could not be read; what the guest made of the part it got is of no use.
func inputFailure(bodyErr, callErr error) error {
	var f *exchange.Failure
	if errors.As(bodyErr, &f) {
		return f
	}
	var trap *engine.Trap
	if errors.As(callErr, &trap) && (trap.Kind == engine.KindDeadline || trap.Kind == engine.KindCanceled) {
		return callFailure(callErr)
	}
	return &exchange.Failure{Status: 400, Reason: exchange.BadRequest, Err: fmt.Errorf("read the request body: %w", bodyErr)}
}
