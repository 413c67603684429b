package chain

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/host/engine"
)

// partError is the cause of a failure with the part of the chain that failed.
type partError struct {
	name, what string
	err        error
}

func (e *partError) Error() string { return fmt.Sprintf("%s (%s): %v", e.name, e.what, e.err) }

func (e *partError) Unwrap() error { return e.err }

// named has the failures of a part of several say which it is. Those of the parts behind it say so already.
func (c *Chain) named(name, what string, h exchange.Handler) exchange.Handler {
	if !c.several {
		return h
	}
	return exchange.HandlerFunc(func(ctx context.Context, x *exchange.Exchange) error {
		err := h.Serve(ctx, x)
		if err == nil {
			return nil
		}
		var known *partError
		if errors.As(err, &known) {
			return err
		}
		f := *exchange.AsFailure(err)
		f.Err = &partError{name, what, cause(&f, err)}
		return &f
	})
}

// cause returns what a failure was caused by, or err where f was made of it for want of a failure.
func cause(f *exchange.Failure, err error) error {
	if f.Err != nil {
		return f.Err
	}
	return err
}

// numbered gives what the guests of a worker share names of their own: letters are all that a name may be made of.
func numbered(s engine.Siblings, n int) engine.Siblings {
	suffix := ""
	for ; n > 0; n /= letters {
		suffix += string(rune('a' + n%letters))
	}
	if suffix == "" {
		return s
	}
	var out engine.Siblings
	if s.Inherit != nil {
		out.Inherit = func(name string) *os.File { return s.Inherit(name + suffix) }
	}
	if s.Offer != nil {
		out.Offer = func(name string, f *os.File) { s.Offer(name+suffix, f) }
	}
	return out
}

const letters = 26
