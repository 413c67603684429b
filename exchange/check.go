package exchange

import "strings"

// Limits on the head of a guest's response. Guests are not trusted: without them one could make the server send
// heads that no client or proxy accepts (nginx takes 8 fields buffers of 32 KiB, net/http clients 1 MiB).
const (
	MaxResponseFields    = 256
	MaxResponseHeadBytes = 64 << 10
)

// hopByHop are the fields that belong to one connection (RFC 9110 §7.6.1) and so to the front end, never to a guest.
var hopByHop = [...]string{
	"Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization",
	"TE", "Trailer", "Transfer-Encoding", "Upgrade",
}

// hopLengths has a bit for each length that one of those names has: most fields are told apart by it.
var hopLengths = func() (bits uint32) {
	for _, h := range hopByHop {
		bits |= 1 << len(h)
	}
	return bits
}()

// HopByHop reports whether a field of that name belongs to the connection and is dropped from guests' responses.
func HopByHop(name string) bool {
	if len(name) > 31 || hopLengths>>len(name)&1 == 0 {
		return false
	}
	for _, h := range hopByHop {
		if strings.EqualFold(h, name) {
			return true
		}
	}
	return false
}

// notTrailers are further fields that mean something only ahead of the body: framing, routing, request modifiers,
// authentication, control data and the content's format (RFC 9110 §6.5.1, and net/http's list).
var notTrailers = [...]string{
	"Authorization", "Cache-Control", "Content-Encoding", "Content-Length", "Content-Range", "Content-Type", "Expect",
	"Host", "Location", "Max-Forwards", "Pragma", "Range", "Realm", "Set-Cookie", "Www-Authenticate",
}

// MayTrail reports whether a field of that name may be sent as a trailer.
func MayTrail(name string) bool {
	if HopByHop(name) || len(name) >= 3 && strings.EqualFold(name[:3], "If-") {
		return false
	}
	for _, n := range notTrailers {
		if strings.EqualFold(n, name) {
			return false
		}
	}
	return true
}

// CheckHead reports, as a *Failure with status 502, what in a guest's response head must never reach a client: a
// status that is not final (RFC 9110 §15), a name that is no token, control characters in a value (RFC 9110 §5.5,
// response splitting), too many or too large fields.
func CheckHead(status int, fields Fields) error {
	if status < 200 || status > 599 {
		return Fail(502, BadResponse, "the guest set status %d; a response has one from 200 to 599", status)
	}
	return checkFields(fields)
}

// CheckTrailers checks trailer fields by the same rules and refuses those that may not be trailers (RFC 9110 §6.5.1).
func CheckTrailers(fields Fields) error {
	for _, f := range fields {
		if !MayTrail(f.Name) {
			return Fail(502, BadResponse, "the guest set the trailer %q, which may not be one", clip(f.Name))
		}
	}
	return checkFields(fields)
}

func checkFields(fields Fields) error {
	if len(fields) > MaxResponseFields {
		return Fail(502, BadResponse, "the guest set %d header fields, more than %d", len(fields), MaxResponseFields)
	}
	total := 0
	for _, f := range fields {
		total += len(f.Name) + len(f.Value) + len(": \r\n")
		if !ValidName(f.Name) {
			return Fail(502, BadResponse, "the guest set a header field with the invalid name %q", clip(f.Name))
		}
		if !ValidValue(f.Value) {
			return Fail(502, BadResponse, "the guest set %s to a value with control characters: %q", clip(f.Name), clip(f.Value))
		}
	}
	if total > MaxResponseHeadBytes {
		return Fail(502, BadResponse, "the guest's header fields are %d bytes, more than %d", total, MaxResponseHeadBytes)
	}
	return nil
}

func clip(s string) string {
	if len(s) > 64 {
		return s[:64] + "…"
	}
	return s
}

// ValidName reports whether s is a token (RFC 9110 §5.6.2), which field names and methods must be.
func ValidName(s string) bool {
	for i := 0; i < len(s); i++ {
		if !tokenChar[s[i]] {
			return false
		}
	}
	return s != ""
}

// ValidValue reports whether s may be a field value: no control characters save the tab (RFC 9110 §5.5).
func ValidValue(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// tokenChar holds the characters of a token: visible ASCII save the delimiters.
var tokenChar = func() (t [256]bool) {
	for c := byte('!'); c <= '~'; c++ {
		t[c] = !strings.ContainsRune(`"(),/:;<=>?@[\]{}`, rune(c))
	}
	return t
}()
