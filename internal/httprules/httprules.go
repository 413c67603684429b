// Package httprules is what the front ends agree on about HTTP requests: which methods, targets, hosts and fields are
// served, what each refusal's status is, and how responses are signed. http1 and http2 call it. It reads
// no messages: parsing and framing belong to the front ends.
package httprules

import (
	"net/netip"
	"strings"

	"github.com/appserver-go/appserver/exchange"
)

// ServerName is the value of the Server field of every response. A guest's own is dropped, as gunicorn does.
const ServerName = "appserver"

// StatusClientGone is the status, nginx's, under which a response that could not be sent is logged. It is never sent.
const StatusClientGone = 499

const (
	// maxMethod is the length of the longest method, as in gunicorn.
	maxMethod = 20
	// minHeadRoom is the least room for all header fields together, beside the request line.
	minHeadRoom = 32 << 10
)

// Refusal says why a request is not served.
type Refusal struct {
	Status int    // the response's
	Cause  string // for the log; it quotes nothing of the request
}

// Limits bound a request. Zero means no limit of its own; the head as a whole is always bounded, see HeadRoom.
type Limits struct {
	RequestLine int   // bytes of the request line; longer ones get 414
	Fields      int   // header field lines; more get 431
	FieldSize   int   // bytes of one field line with its end; larger ones get 431
	Body        int64 // bytes of the body; larger ones get 413
}

// HeadRoom returns how many bytes all field lines of a head may have together: four of the largest size, at least 32
// KiB.
func (l Limits) HeadRoom() int { return max(minHeadRoom, 4*l.FieldSize) }

// The refusals for exceeded limits.
var (
	LineTooLong   = &Refusal{414, "request line over limit_request_line"}
	FieldTooLarge = &Refusal{431, "field over limit_request_field_size"}
	TooManyFields = &Refusal{431, "more fields than limit_request_fields"}
	HeadTooLarge  = &Refusal{431, "header fields too large together"}
	BodyTooLarge  = &Refusal{413, "body over limit_request_body"}
)

var (
	notServed     = &Refusal{501, "method not served"}
	invalidMethod = &Refusal{400, "invalid method"}
)

// Method refuses what is no method to be served. Its rules are gunicorn's, which are stricter than RFC 9110's: 3 to 20
// characters of a token, no lower-case letters. CONNECT and TRACE get 501 rather than 405: no resource of this
// server has them, whatever the guest (RFC 9110 §15.6.2).
func Method(m string) *Refusal {
	switch {
	case m == "GET" || m == "POST" || m == "HEAD":
		return nil
	case m == "CONNECT" || m == "TRACE":
		return notServed
	case len(m) < 3 || len(m) > maxMethod || !exchange.ValidName(m):
		return invalidMethod
	}
	for i := range len(m) {
		if 'a' <= m[i] && m[i] <= 'z' || m[i] == '#' {
			return invalidMethod
		}
	}
	return nil
}

// Expectation refuses what is no 100-continue, the only expectation there is (RFC 9110 §10.1.1).
func Expectation(value string) *Refusal {
	if strings.EqualFold(value, "100-continue") {
		return nil
	}
	return UnknownExpectation
}

// UnknownExpectation refuses an Expect field.
var UnknownExpectation = &Refusal{417, "unknown expectation"}

// Hidden reports whether a request field is kept from guests: those of the connection, those that are met by the
// front end, Proxy, which CGI programs would take for a setting of their own (httpoxy), and names with an underscore,
// which CGI cannot tell from the same name with a dash (gunicorn's header_map=drop).
func Hidden(name string) bool {
	return strings.IndexByte(name, '_') >= 0 || exchange.HopByHop(name) ||
		len(name) == 6 && strings.EqualFold(name, "Expect") || len(name) == 5 && strings.EqualFold(name, "Proxy")
}

// Target returns the origin-form of a request target and the authority it is for, given the connection's scheme and the
// Host field.
//
// Servers must accept the absolute-form, and its authority wins over Host (RFC 9112 §3.2.2): it is reduced to
// origin-form here, so that guests see one form only. Targets of the other scheme are misdirected (RFC 9110 §7.4), and
// userinfo is an error (RFC 9110 §4.2.4). The authority-form belongs to CONNECT.
func Target(method, scheme, uri, hostField string) (target, host string, bad *Refusal) {
	if uri == "" || !cleanTarget(uri) {
		return "", "", invalidTarget
	}
	target, host = uri, hostField
	switch {
	case uri == "*":
		if method != "OPTIONS" {
			return "", "", asteriskForm
		}
	case uri[0] != '/':
		target, host, bad = splitAbsolute(method, scheme, uri)
		if bad != nil {
			return "", "", bad
		}
	}
	if !ValidHost(host) {
		return "", "", invalidHost
	}
	return target, host, nil
}

var (
	invalidTarget = &Refusal{400, "invalid character in the request target"}
	asteriskForm  = &Refusal{400, "asterisk-form without OPTIONS"}
	misdirected   = &Refusal{421, "target of another scheme than the connection's"}
	noForm        = &Refusal{400, "request target of no known form"}
	badAuthority  = &Refusal{400, "invalid authority in the request target"}
	invalidHost   = &Refusal{400, "invalid host"}
)

// cleanTarget reports whether s has nothing that no form of a target holds: blanks, control characters, and the
// fragment, which clients keep. Bytes over 0x7f are not allowed either but common, and harmless.
func cleanTarget(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c == 0x7f || c == '#' {
			return false
		}
	}
	return true
}

func splitAbsolute(method, connScheme, uri string) (target, host string, bad *Refusal) {
	scheme, rest, found := strings.Cut(uri, "://")
	switch {
	case found && strings.EqualFold(scheme, connScheme):
	case found && (strings.EqualFold(scheme, "https") || strings.EqualFold(scheme, "http")):
		return "", "", misdirected
	default:
		return "", "", noForm
	}
	end := strings.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	host, target = rest[:end], rest[end:]
	switch {
	case host == "" || host[0] == ':' || strings.Contains(host, "@"):
		return "", "", badAuthority
	case target == "" && method == "OPTIONS":
		target = "*" // RFC 9112 §3.2.4
	case target == "" || target[0] == '?':
		target = "/" + target
	}
	return target, host, nil
}

// ValidHost reports whether s is empty or host[:port] with a host of RFC 3986 §3.2.2. The comma, legal there, is not
// taken: no host name has one, and two joined Host fields look like that.
func ValidHost(s string) bool {
	host, port := s, ""
	if strings.HasPrefix(s, "[") {
		end := strings.IndexByte(s, ']')
		if end < 0 {
			return false
		}
		if a, err := netip.ParseAddr(s[1:end]); err != nil || !a.Is6() || a.Zone() != "" {
			return false
		}
		host, port = "", s[end+1:]
	} else if i := strings.IndexByte(s, ':'); i >= 0 {
		host, port = s[:i], s[i:]
	}
	for i := range len(host) {
		if !hostChar[host[i]] {
			return false
		}
	}
	return port == "" || validPort(port)
}

// validPort reports whether s is a colon and a port's number, or a colon alone (RFC 3986 §3.2.3).
func validPort(s string) bool {
	if s[0] != ':' || len(s) > len(":65535") {
		return false
	}
	n := 0
	for _, c := range []byte(s[1:]) {
		if c < '0' || c > '9' {
			return false
		}
		n = n*10 + int(c-'0')
	}
	return n <= 65535
}

// hostChar holds the characters of a registered name; percent signs are not looked behind.
var hostChar = func() (t [256]bool) {
	for _, c := range []byte("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~%!$&'()*+;=") {
		t[c] = true
	}
	return t
}()
