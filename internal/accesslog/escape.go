package accesslog

import (
	"encoding/base64"
	"strconv"
	"unicode/utf8"
)

const hexDigits = "0123456789ABCDEF"

// appendText appends an untrusted value: "-" for none, and \xNN, \uNNNN or \UNNNNNNNN for what is no printable character of
// a value between quotes.
func appendText(dst []byte, s string) []byte {
	if s == "" {
		return append(dst, '-')
	}
	return appendEscaped(dst, s)
}

func appendEscaped(dst []byte, s string) []byte {
	for {
		n := plainPrefix(s)
		dst, s = append(dst, s[:n]...), s[n:]
		if s == "" {
			return dst
		}
		c := s[0]
		r, size := utf8.DecodeRuneInString(s)
		switch {
		case size == 1: // ASCII that does not print, or no UTF-8
			dst = append(dst, '\\', 'x', hexDigits[c>>4], hexDigits[c&15])
		case strconv.IsPrint(r):
			dst = append(dst, s[:size]...)
		case r <= 0xffff:
			dst = appendHex(append(dst, '\\', 'u'), uint32(r), 4)
		default:
			dst = appendHex(append(dst, '\\', 'U'), uint32(r), 8)
		}
		s = s[size:]
	}
}

// plainPrefix returns how many bytes of s, from its start, are ASCII that needs no escape.
func plainPrefix(s string) int {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' {
			return i
		}
	}
	return len(s)
}

func appendHex(dst []byte, n uint32, digits int) []byte {
	for shift := 4 * (digits - 1); shift >= 0; shift -= 4 {
		dst = append(dst, hexDigits[n>>shift&15])
	}
	return dst
}

// maxUser is the length of the longest user name that is logged.
const maxUser = 255

// appendUser appends the user of Basic credentials (RFC 7617), or "-". Formats have it outside of quotes, so spaces are
// escaped too. Nobody has checked the password: the name is what the client claims.
func appendUser(dst []byte, authorization string) []byte {
	const scheme = "Basic "
	if len(authorization) <= len(scheme) || !equalFold(authorization[:len(scheme)], scheme) {
		return append(dst, '-')
	}
	encoded := authorization[len(scheme):]
	for len(encoded) > 0 && encoded[0] == ' ' {
		encoded = encoded[1:]
	}
	// Four characters make three bytes, so this many hold the longest name and its colon.
	var in [(maxUser/3 + 1) * 4]byte
	var out [len(in) / 4 * 3]byte
	n := copy(in[:], encoded)
	n, _ = base64.StdEncoding.Decode(out[:], in[:n]) // a part, or what comes before an error, is decoded all the same
	name := out[:n]
	for i, c := range name {
		if c == ':' {
			return appendName(dst, name[:i])
		}
	}
	return append(dst, '-')
}

func appendName(dst, name []byte) []byte {
	if len(name) == 0 {
		return append(dst, '-')
	}
	for len(name) > 0 {
		if name[0] == ' ' {
			dst = append(dst, `\x20`...)
			name = name[1:]
			continue
		}
		_, size := utf8.DecodeRune(name)
		dst = appendEscaped(dst, string(name[:size]))
		name = name[size:]
	}
	return dst
}

// equalFold compares ASCII texts of the same length without regard to case.
func equalFold(a, b string) bool {
	for i := range len(a) {
		if a[i]|0x20 != b[i]|0x20 {
			return false
		}
	}
	return true
}
