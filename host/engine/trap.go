package engine

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/tetratelabs/wazero/sys"
)

// TrapKind says how a call into a guest failed.
type TrapKind int

// The kinds of failed calls.
const (
	// KindTrap is a trap of WebAssembly: unreachable, out of bounds, division by zero and so on.
	KindTrap TrapKind = iota
	// KindStackOverflow is a recursion too deep.
	KindStackOverflow
	// KindMemoryLimit means that an instance could not be made for want of memory.
	KindMemoryLimit
	// KindExit is a call of proc_exit, with code 0 too.
	KindExit
	// KindDeadline means that the deadline of the call's context passed.
	KindDeadline
	// KindCanceled means that the call's context was cancelled.
	KindCanceled
	// KindHost is an error of a host function; errors.Is and errors.As reach it.
	KindHost
)

// String names the kind in a word or two.
func (k TrapKind) String() string {
	names := [...]string{"trap", "stack overflow", "memory limit", "exit", "deadline", "canceled", "host error"}
	if k < 0 || int(k) >= len(names) {
		return "unknown"
	}
	return names[k]
}

// Trap is the error of a call into a guest.
type Trap struct {
	Kind TrapKind
	// Code is the exit code for KindExit.
	Code uint32
	// Err is the cause, in one line.
	Err error
	// Stack is the guest's stack, innermost frame first, one frame a line; "" when it is not known.
	Stack string
}

func (t *Trap) Error() string { return t.Err.Error() }

func (t *Trap) Unwrap() error { return t.Err }

// exit is what the guest's proc_exit panics with. It is a type of ours so that no guest can pass off an exit code as
// one of those with which wazero reports that a context is done.
type exit struct{ code uint32 }

func (e *exit) Error() string { return fmt.Sprintf("the guest exited with code %d", e.code) }

// interruption is what a call is ended with, from inside, when its context is done.
type interruption struct{ cause error }

func (i *interruption) Error() string { return "the guest was interrupted: " + i.cause.Error() }

func (i *interruption) Unwrap() error { return i.cause }

// cause is an error whose message was cut to one line.
type cause struct {
	text string
	err  error
}

func (c *cause) Error() string { return c.text }

func (c *cause) Unwrap() error { return c.err }

// errClosed stands for the cause of an interruption that has none: someone closed the module.
var errClosed = errors.New("the instance was closed")

// What wazero's errors consist of beside the message itself.
const (
	stackMark     = "\nwasm stack trace:\n\t"
	recoveredMark = " (recovered by wazero)"
	trapMark      = "wasm error: "
	overflowText  = "stack overflow"
	maxStackText  = 8 << 10
)

// oneLine cuts an error's message to its first line and drops what wazero adds to it.
func oneLine(err error) error {
	text, _, _ := strings.Cut(err.Error(), "\n")
	text = strings.TrimSuffix(text, recoveredMark)
	if text == err.Error() {
		return err
	}
	return &cause{text, err}
}

// stackOf returns the stack trace that wazero appends to its messages.
func stackOf(err error) string {
	_, stack, _ := strings.Cut(err.Error(), stackMark)
	if len(stack) > maxStackText {
		stack = stack[:maxStackText]
	}
	return strings.ReplaceAll(strings.TrimSpace(stack), "\n\t", "\n")
}

// unnamed matches the function of a frame that has no name, which is its index.
var unnamed = regexp.MustCompile(`(?m)^([^(\n]*\.\$)(\d+)\(`)

// renumber lowers the indices that stand for functions without a name.
func renumber(stack string, shift int) string {
	if shift == 0 {
		return stack
	}
	return unnamed.ReplaceAllStringFunc(stack, func(s string) string {
		part := unnamed.FindStringSubmatch(s)
		n, err := strconv.Atoi(part[2])
		if err != nil {
			return s
		}
		return part[1] + strconv.Itoa(n-shift) + "("
	})
}

// newTrap sorts the error of a call. ctx is the call's context; shift is by how much the indices of functions are too
// high.
func newTrap(ctx context.Context, err error, shift int) *Trap {
	t := &Trap{Kind: KindHost, Err: oneLine(err), Stack: renumber(stackOf(err), shift)}
	var (
		exited *exit
		closed *sys.ExitError
		inner  *Trap
	)
	switch {
	case errors.As(err, &inner): // of a call that a host function made into the guest again
		t.Kind, t.Code, t.Err = inner.Kind, inner.Code, inner.Err
		t.Stack = strings.TrimPrefix(inner.Stack+"\n"+t.Stack, "\n")
	case errors.As(err, &exited):
		t.Kind, t.Code, t.Err = KindExit, exited.code, exited
	case errors.As(err, &closed): // wazero closed the module for the context
		t.interrupted(ctx)
	case strings.HasSuffix(err.Error(), overflowText) && t.Stack == "":
		t.Kind = KindStackOverflow
	case strings.Contains(t.Err.Error(), trapMark) && !recovered(err):
		t.Kind = KindTrap
	case ctx.Err() != nil && (errors.As(err, new(*interruption)) || errors.Is(err, ctx.Err())):
		t.interrupted(ctx)
	}
	return t
}

// interrupted makes t the error of a call that ended because ctx is done.
func (t *Trap) interrupted(ctx context.Context) {
	t.Kind = KindCanceled
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		t.Kind = KindDeadline
	}
	why := context.Cause(ctx)
	if why == nil {
		why = errClosed
	}
	t.Err = &interruption{why}
}

// recovered reports whether err is a panic of a host function and no trap of the guest.
func recovered(err error) bool {
	first, _, _ := strings.Cut(err.Error(), "\n")
	return strings.HasSuffix(first, recoveredMark)
}

// Exit is what a function of the host panics with when the guest calls it to exit.
func Exit(code uint32) error { return &exit{code} }
