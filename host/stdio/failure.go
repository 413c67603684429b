package stdio

import (
	"context"
	"errors"
	"fmt"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/host/engine"
)

// endFailure makes the end of a guest the failure of the exchange it was serving, or was started for.
func endFailure(ctx context.Context, err error) error {
	f := &exchange.Failure{Status: 502, Reason: exchange.Exited, Err: err}
	var trap *engine.Trap
	if errors.As(err, &trap) {
		f.Stack = trap.Stack
		switch trap.Kind {
		case engine.KindTrap, engine.KindStackOverflow:
			f.Reason = exchange.Trapped
		case engine.KindMemoryLimit:
			f.Status, f.Reason = 503, exchange.Overloaded
		}
	}
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		f.Status, f.Reason = 504, exchange.TimedOut
	case ctx.Err() != nil:
		f.Status, f.Reason = 503, exchange.Canceled
	}
	return f
}

// inputFailure is for a body that could not be read; what the guest made of the part it got is of no use.
func inputFailure(err error) error {
	var f *exchange.Failure
	if errors.As(err, &f) {
		return f
	}
	return &exchange.Failure{Status: 400, Reason: exchange.BadRequest, Err: fmt.Errorf("read the request body: %w", err)}
}
