// Package exchange is the language a front end and a guest speak: one HTTP request and its response as plain data.
//
// A front end (http1) fills the Request, hands the Exchange to a Handler and sends
// what the Handler puts into the Response. Guests (host/...), the workers' request path and the front ends meet only
// here, so neither side knows the other. The package opens no sockets and knows neither net/http nor guests.
package exchange

import (
	"context"
	"io"
)

// Exchange is one request and its response. One goroutine at a time may use it.
type Exchange struct {
	Request  Request
	Response Response
}

// ContextKey is the key under which the context of a Handler has the *Exchange that it is for, where somebody asks for it.
// Contexts made for requests answer to it themselves, which saves an allocation for each.
type ContextKey struct{}

// Handler answers exchanges. A loaded guest is one, and so is whatever stands at the end of a chain of guests.
//
// Serve reads x.Request, fills x.Response and returns when the guest is done with both. A nil error means that the
// response is whole, be it already sent or still buffered; the caller finishes it. An error means that the guest
// failed: the caller turns it into an error page when nothing was sent yet and breaks the connection off otherwise,
// so the peer never takes a part for the whole. Errors that know their status are of type *Failure. Serve obeys ctx:
// its deadline bounds the whole call, and every wait inside watches it. ctx, like the Exchange, must not be used after
// Serve has returned. Serve may be called from several goroutines, each with
// its own Exchange.
type Handler interface {
	Serve(ctx context.Context, x *Exchange) error
}

// HandlerFunc is a function that is a Handler.
type HandlerFunc func(ctx context.Context, x *Exchange) error

// Serve calls f.
func (f HandlerFunc) Serve(ctx context.Context, x *Exchange) error { return f(ctx, x) }

// Request is what the client asked for. Its strings may point into a connection's buffer: they are valid until the
// Handler returns, and who keeps one longer clones it.
type Request struct {
	// Method is the request method as sent; methods are case-sensitive (RFC 9110 §9.1).
	Method string
	// Target is the origin-form of the request target, path and query still escaped; it begins with "/" save for
	// "OPTIONS *" (RFC 9112 §3.2).
	Target string
	// ScriptName is the part of the path before Target's at which clients see the guest, without a slash at its end: the
	// root_path setting, CGI's SCRIPT_NAME. Received is the target as it came in where that is not Target; see RawTarget.
	ScriptName, Received string
	// Proto is the protocol version, like "HTTP/1.1".
	Proto string
	// Scheme is "http" or "https", as seen by the client if a trusted proxy said so.
	Scheme string
	// Host is the authority the request was sent to. It is not repeated in Fields.
	Host string
	// Fields are the header fields in the order received, without Host and without those of the connection
	// (Connection, Transfer-Encoding and the rest of RFC 9110 §7.6.1).
	Fields Fields
	// Trailers are the trailer fields, complete once Body has returned io.EOF.
	Trailers Fields
	// Body is never nil. It returns io.EOF at the end of a whole body only; a body cut short is
	// io.ErrUnexpectedEOF, one over the limit is a *Failure with status 413.
	Body io.Reader
	// ContentLength is the body's length in bytes, 0 for none, -1 when unknown beforehand (chunked).
	ContentLength int64
	// Upgrade is the protocols that the client offers to switch to, as in the field of that name, if a guest can take its
	// connection over for one of them (Response.Hijack); "" otherwise. Guests are free to ignore it.
	Upgrade string
	// RemoteAddr is the peer as "ip:port" or "[ip6]:port"; empty for a unix socket.
	RemoteAddr string
	// LocalAddr is the address the request came in on, in the same form, or the path of a unix socket.
	LocalAddr string
	// ID names the request in logs: what a trusted proxy calls it when that is sane, else one made here. Never empty.
	ID string
}

// RawTarget returns the target as it came in, for logs.
func (r *Request) RawTarget() string {
	if r.Received != "" {
		return r.Received
	}
	return r.Target
}

// Path returns the target up to the query, still escaped.
func (r *Request) Path() string {
	path, _, _ := cutQuery(r.Target)
	return path
}

// Query returns the target's query without the "?", still escaped, or "".
func (r *Request) Query() string {
	_, query, _ := cutQuery(r.Target)
	return query
}

func cutQuery(target string) (path, query string, found bool) {
	for i := 0; i < len(target); i++ {
		if target[i] == '?' {
			return target[:i], target[i+1:], true
		}
	}
	return target, "", false
}
