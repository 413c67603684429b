// Package boundary is what guests can reach beyond their sandbox: which URLs a guest may call, within which limits, and
// the calls of one request. It opens no connection, which a Client does (package outbound), and it knows no WebAssembly:
// package hostcall defines the functions that guests import. A worker has a Boundary for each guest.
package boundary

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/internal/allowlist"
)

// Limits that no setting changes.
const (
	// MaxOpen is how many calls a request may have open at a time.
	MaxOpen = 16
	// MaxHead is the size in bytes of the largest head of a request, as a guest writes it, and of a response's.
	MaxHead = 64 << 10
	// MaxFields is how many fields a head may have.
	MaxFields = 256
	// maxTold is how many denied targets of a guest are remembered and logged.
	maxTold = 100
)

// Options configure a Boundary. The zero value allows nothing.
type Options struct {
	// Allow are the URLs that the guest may call.
	Allow *allowlist.List
	// Private lets names that are allowed lead to addresses that are not public; see allowlist.Public. Addresses that are
	// allowed themselves, and localhost, may always.
	Private bool
	// Timeout bounds a call from its beginning to the end of its response; 0 leaves that to the request's own time.
	Timeout time.Duration
	// Calls is how many calls a request may make; 0 means any number.
	Calls int
	// MaxBody is the largest body of a call's request, and of its response, in bytes; 0 means no limit.
	MaxBody int64
	// Client makes the calls. It must be set where Allow is.
	Client Client
	// Log is told what was denied, once for each target; nil discards it.
	Log *slog.Logger
}

// Client makes HTTP requests. It follows no redirect, keeps no cookies and obeys no proxy settings. It is safe for
// concurrent use.
type Client interface {
	// Do sends a request and returns when the response's head is there. It closes the body of the request in any case.
	// When ctx is done, it returns and the response's body fails. Errors are an *Error where their code matters.
	Do(ctx context.Context, r *Request) (*Response, error)
}

// Request is a request to a server that a guest may call.
type Request struct {
	Method string
	Target allowlist.Target
	// Private is that of the Options.
	Private bool
	// Fields hold none that concern the connection, and no Host or Content-Length.
	Fields exchange.Fields
	// Body is nil where there is none. Length is its length, or negative where it is not known.
	Body   io.ReadCloser
	Length int64
}

// Response is the answer to a Request.
type Response struct {
	Status int
	Fields exchange.Fields
	Body   io.ReadCloser
	// Trailers returns the trailer fields, once Body has been read to its end.
	Trailers func() exchange.Fields
}

// Boundary is that of one guest. It is safe for concurrent use.
type Boundary struct {
	opts Options

	mu   sync.Mutex
	told map[string]bool // targets that were denied
}

// New makes a Boundary.
func New(o Options) *Boundary {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Boundary{opts: o, told: map[string]bool{}}
}

// Check reports whether the guest may call a URL, as an *Error with the code Denied that names the setting. It is the
// whole policy as far as it can be told from the URL; what a name leads to is the Client's to look at.
func (b *Boundary) Check(t allowlist.Target) error {
	if b.opts.Allow.Allows(t) {
		return nil
	}
	return b.deny(t.Origin(), Failf(Denied, "%s is not in guest.outbound", t.Origin()+clip(t.Path)))
}

// deny logs that a target was denied, if it has not been logged before, and returns the error.
func (b *Boundary) deny(target string, err *Error) *Error {
	b.mu.Lock()
	first := !b.told[target] && len(b.told) < maxTold
	if first {
		b.told[target] = true
	}
	b.mu.Unlock()
	if first {
		b.opts.Log.Warn("Guest was denied a call", "target", target, "reason", err.Text,
			"hint", "guest.outbound and guest.outbound_private say what a guest may call; this is told once for each target")
	}
	return err
}

// clip shortens what a guest has made up.
func clip(s string) string {
	const most = 200
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}
