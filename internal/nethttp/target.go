package nethttp

import (
	"net/http"
	"strings"
)

// splitTarget returns the origin-form of a request target and the authority it is for, given the Host field.
//
// Servers must accept the absolute-form, and its authority wins over Host (RFC 9112 §3.2.2): it is reduced to
// origin-form here, so that guests see one form only. https targets are misdirected, since this server speaks
// plain HTTP (RFC 9110 §7.4), and userinfo is an error (RFC 9110 §4.2.4). The authority-form belongs to CONNECT.
func splitTarget(method, uri, hostField string) (target, host string, bad *refusal) {
	if i := strings.IndexFunc(uri, badTargetChar); i >= 0 || uri == "" {
		return "", "", &refusal{http.StatusBadRequest, "invalid character in the request target"}
	}
	target, host = uri, hostField
	switch {
	case uri == "*":
		if method != http.MethodOptions {
			return "", "", &refusal{http.StatusBadRequest, "asterisk-form without OPTIONS"}
		}
	case uri[0] != '/':
		target, host, bad = splitAbsolute(method, uri)
		if bad != nil {
			return "", "", bad
		}
	}
	if !validHost(host) {
		return "", "", &refusal{http.StatusBadRequest, "invalid host"}
	}
	return target, host, nil
}

// badTargetChar tells what no form of a target holds: blanks, control characters, and the fragment, which clients keep.
func badTargetChar(c rune) bool { return c <= ' ' || c == 0x7f || c == '#' }

func splitAbsolute(method, uri string) (target, host string, bad *refusal) {
	scheme, rest, found := strings.Cut(uri, "://")
	switch {
	case found && strings.EqualFold(scheme, "https"):
		return "", "", &refusal{http.StatusMisdirectedRequest, "https target on a connection without TLS"}
	case !found || !strings.EqualFold(scheme, "http"):
		return "", "", &refusal{http.StatusBadRequest, "request target of no known form"}
	}
	end := strings.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	host, target = rest[:end], rest[end:]
	switch {
	case host == "" || strings.Contains(host, "@"):
		return "", "", &refusal{http.StatusBadRequest, "invalid authority in the request target"}
	case target == "" && method == http.MethodOptions:
		target = "*" // RFC 9112 §3.2.4
	case target == "" || target[0] == '?':
		target = "/" + target
	}
	return target, host, nil
}

// validHost reports whether s is empty or host[:port] with a host of RFC 3986 §3.2.2. The comma, legal there, is not
// taken: no host name has one, and two joined Host fields look like that.
func validHost(s string) bool {
	host, port := s, ""
	if strings.HasPrefix(s, "[") {
		end := strings.IndexByte(s, ']')
		if end < 0 {
			return false
		}
		literal := s[1:end]
		if literal == "" || strings.Trim(literal, "0123456789abcdefABCDEF:.") != "" {
			return false
		}
		host, port = "", s[end+1:]
	} else if i := strings.IndexByte(s, ':'); i >= 0 {
		host, port = s[:i], s[i:]
	}
	for i := range len(host) {
		if !hostChar(host[i]) {
			return false
		}
	}
	return port == "" || port[0] == ':' && strings.Trim(port[1:], "0123456789") == "" && len(port) <= len(":65535")
}

func hostChar(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~%!$&'()*+;=", c) >= 0
}
