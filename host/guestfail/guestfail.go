// Package guestfail says what is the matter when a call into a guest fails: to clients as the failure of an exchange, to
// operators as a sentence with a hint. The guest ABIs share it; it knows none of them.
package guestfail

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/host/engine"
	"github.com/appserver-go/appserver/internal/fault"
)

// Call makes a failed call of a guest's function the failure of its exchange. Err is an error of engine.Instance.Call.
func Call(function string, err error) *exchange.Failure {
	var trap *engine.Trap
	if !errors.As(err, &trap) {
		return &exchange.Failure{Status: 500, Reason: exchange.Internal, Err: fmt.Errorf("%s: %w", function, err)}
	}
	var own *exchange.Failure
	if errors.As(err, &own) { // a host function's: it knows better whose fault it was
		f := *own
		f.Err = fmt.Errorf("%s: %w", function, own.Err)
		if f.Stack == "" {
			f.Stack = trap.Stack
		}
		return &f
	}
	f := &exchange.Failure{Status: 500, Reason: exchange.Trapped, Err: fmt.Errorf("%s: %w", function, err), Stack: trap.Stack}
	switch {
	case trap.Kind == engine.KindExit:
		f.Reason = exchange.Exited
		f.Err = fmt.Errorf("%s: the guest exited with code %d", function, trap.Code)
	case trap.Kind == engine.KindDeadline, errors.Is(err, context.DeadlineExceeded):
		f.Status, f.Reason = 504, exchange.TimedOut
	case trap.Kind == engine.KindCanceled, errors.Is(err, context.Canceled):
		f.Status, f.Reason = 503, exchange.Canceled
	}
	return f
}

// NoInstance is the failure of an exchange that got no instance to serve it.
func NoInstance(ctx context.Context, err error) *exchange.Failure {
	f := &exchange.Failure{Status: 500, Reason: exchange.Trapped, Err: fmt.Errorf("get an instance of the guest: %w", err)}
	var trap *engine.Trap
	if errors.As(err, &trap) {
		f.Stack = trap.Stack
	}
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		f.Status, f.Reason = 504, exchange.TimedOut
	case ctx.Err() != nil, errors.Is(err, engine.ErrPoolClosed):
		f.Status, f.Reason = 503, exchange.Canceled
	case trap == nil:
		f.Reason = exchange.Internal
	case trap.Kind == engine.KindMemoryLimit:
		f.Status, f.Reason = 503, exchange.Overloaded
	case trap.Kind == engine.KindExit:
		f.Reason = exchange.Exited
	}
	return f
}

// startHint is what can be done about a guest that refuses to start. Most refuse for want of something.
const startHint = "check what the guest needs: a configuration (guest.config), environment (guest.env), arguments " +
	"(guest.args) or directories (guest.dirs); what it printed is in the log"

// Start says why an instance failed to start. lastWords is the last line the guest wrote to stderr.
func Start(function, lastWords string, err error) error {
	var trap *engine.Trap
	if !errors.As(err, &trap) {
		if fault.Code(err) == fault.LoadFailed {
			return err
		}
		return &fault.Error{Err: fmt.Errorf("start the guest: %w", err), Hint: fault.Hint(err), Code: fault.LoadFailed}
	}
	said := ""
	if lastWords != "" {
		said = fmt.Sprintf(", saying %q", clip(lastWords, 200))
	}
	at := frames(trap.Stack)
	hint := startHint
	switch trap.Kind {
	case engine.KindExit:
		if trap.Code == 0 {
			hint = "a guest that serves requests has to return from its start function; a command that runs once for each request is served with guest.protocol cgi"
		}
		return fault.WithCode(fault.LoadFailed, hint, "%w in %s%s", err, function, said)
	case engine.KindDeadline:
		return fault.WithCode(fault.LoadFailed, "raise boot_timeout if the guest needs that long to start",
			"the guest did not return from %s in time%s: %w", function, at, err)
	case engine.KindCanceled:
		hint = ""
	case engine.KindMemoryLimit:
		hint = "raise guest.memory_limit or guest.memory_budget, or lower the number of threads"
		return fault.WithCode(fault.LoadFailed, hint, "no memory for an instance of the guest: %w", err)
	}
	return fault.WithCode(fault.LoadFailed, hint, "the guest failed in %s%s: %w%s", function, said, err, at)
}

// WarmUp says that a guest failed at a request that it got to warm up.
func WarmUp(target string, err error) error {
	return fault.WithCode(fault.LoadFailed, "check guest.warmup (--guest-warmup); what the guest printed is in the log",
		"the guest failed at the warm-up request for %q: %w", target, err)
}

// frames makes the innermost frames of a stack part of a sentence.
func frames(stack string) string {
	var names []string
	for line := range strings.Lines(stack) {
		if line = strings.TrimSpace(line); line != "" {
			names = append(names, clip(line, 100))
		}
		if len(names) == 3 {
			break
		}
	}
	if len(names) == 0 {
		return ""
	}
	return " (in " + strings.Join(names, ", called by ") + ")"
}

func clip(s string, n int) string {
	if len(s) > n {
		return s[:n] + "…"
	}
	return s
}
