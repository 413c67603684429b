package http1

import (
	"slices"
	"strings"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/internal/httprules"
)

// connOptions are the connection options that mean something here (RFC 9110 §7.6.1).
type connOptions struct {
	close, keepAlive bool
	upgrade          bool
	nominated        []string // fields that the client says are the connection's
}

// neverNominated are fields that a client cannot take from its request by naming them in Connection: without them it
// would mean something else (RFC 9110 §7.6.1 forbids naming fields that are meant for all recipients).
var neverNominated = [...]string{"Content-Length", "Content-Type", "Authorization", "Cookie", "Cache-Control"}

// strip removes the nominated fields: they end at this hop.
func (o *connOptions) strip(fields *exchange.Fields) {
	for _, name := range o.nominated {
		if !kept(name) {
			fields.Del(name)
		}
	}
}

// kept reports whether a field stays although Connection names it.
func kept(name string) bool {
	return slices.ContainsFunc(neverNominated[:], func(n string) bool { return strings.EqualFold(n, name) })
}

// interpret acts on a field that concerns the front end and reports whether guests may see it. Names are told apart by
// length first, since most fields are none of these.
func (h *head) interpret(f exchange.Field) (keep bool, bad *httprules.Refusal) {
	switch len(f.Name) {
	case len("Host"):
		if strings.EqualFold(f.Name, "Host") {
			h.host = f.Value
			if h.hosts++; h.hosts > 1 {
				bad = manyHosts
			}
			return false, bad
		}
	case len("Expect"):
		if strings.EqualFold(f.Name, "Expect") {
			if h.expects {
				return false, httprules.UnknownExpectation
			}
			h.expects = true
			return false, httprules.Expectation(f.Value)
		}
	case len("Upgrade"):
		if strings.EqualFold(f.Name, "Upgrade") {
			h.upgrade = f.Value
			h.upgrades++
			return false, nil
		}
	case len("Connection"):
		if strings.EqualFold(f.Name, "Connection") {
			return false, h.options.add(f.Value)
		}
	case len("Content-Type"):
		if strings.EqualFold(f.Name, "Content-Type") {
			if h.contentTypes++; h.contentTypes > 1 {
				return false, manyTypes
			}
		}
	case len("Content-Length"):
		if strings.EqualFold(f.Name, "Content-Length") {
			return true, h.framing.contentLength(f.Value)
		}
	case len("Transfer-Encoding"):
		if strings.EqualFold(f.Name, "Transfer-Encoding") {
			h.framing.transferEncoding(f.Value)
			return false, nil
		}
	}
	return !httprules.Hidden(f.Name), nil
}

// add takes the options of a Connection field: a list of tokens, some of which may be missing (RFC 9110 §5.6.1.2).
func (o *connOptions) add(list string) *httprules.Refusal {
	for option := range strings.SplitSeq(list, ",") {
		option = strings.Trim(option, " \t")
		switch {
		case option == "":
		case strings.EqualFold(option, "close"):
			o.close = true
		case strings.EqualFold(option, "keep-alive"):
			o.keepAlive = true
		case strings.EqualFold(option, "upgrade"):
			o.upgrade = true
		case !exchange.ValidName(option):
			return invalidOption
		default:
			o.nominated = append(o.nominated, option)
		}
	}
	return nil
}

// persists reports whether the client wants to use the connection again (RFC 9112 §9.3).
func (h *head) persists() bool {
	return !h.options.close && (h.minor == '1' || h.options.keepAlive)
}

// offer returns the protocols that the client offers to switch to. An offer in HTTP/1.0 must be ignored (RFC 9110 §7.8); so
// may one with a body, which would have to be read before the switch.
func (h *head) offer() string {
	if h.upgrades != 1 || !h.options.upgrade || h.minor != '1' || h.bodyLength() != 0 {
		return ""
	}
	return h.upgrade
}
