package static

import (
	"net/url"
	"strings"
)

// slashMark stands for an escaped slash in a decoded path. It is part of no name that is served: a file's name cannot hold a
// slash, and one that was escaped is no separator (RFC 3986 §2.2).
const slashMark = "\x00"

// unescape decodes a path once. It reports false for malformed escapes and for NUL.
func unescape(escaped string) (string, bool) {
	if strings.IndexByte(escaped, '%') < 0 {
		return escaped, strings.IndexByte(escaped, 0) < 0
	}
	var b strings.Builder
	for i := 0; i < len(escaped); i++ {
		c := escaped[i]
		if c == '%' {
			if i+2 >= len(escaped) {
				return "", false
			}
			hi, lo := unhex(escaped[i+1]), unhex(escaped[i+2])
			if hi < 0 || lo < 0 {
				return "", false
			}
			c = byte(hi<<4 | lo)
			i += 2
			if c == '/' {
				b.WriteString(slashMark)
				continue
			}
		}
		if c == 0 {
			return "", false
		}
		b.WriteByte(c)
	}
	return b.String(), true
}

func unhex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// wellKnown is the one name with a dot that is public (RFC 8615).
const wellKnown = ".well-known"

// locate turns the decoded rest of a path into a name below a root, "." for the root itself. Slashes in a row count as one,
// as in nginx. dir says that the path ends with a slash, and so must lead to a directory.
func locate(rest string) (name string, dir, ok bool) {
	if strings.Contains(rest, slashMark) {
		return "", false, false
	}
	var segments []string
	for segment := range strings.SplitSeq(rest, "/") {
		switch {
		case segment == "":
		case segment[0] == '.' && segment != wellKnown: // "." and "..", too
			return "", false, false
		default:
			segments = append(segments, segment)
		}
	}
	if len(segments) == 0 {
		return ".", rest != "", true
	}
	return strings.Join(segments, "/"), strings.HasSuffix(rest, "/"), true
}

// directoryURL returns the path of a directory with its slash, escaped. It always begins with exactly one slash, so that no
// browser takes it for another host.
func directoryURL(scriptName, prefix, name string) string {
	u := url.URL{Path: prefix}
	if name != "." {
		u.Path += name + "/"
	}
	return "/" + strings.TrimLeft(scriptName+u.EscapedPath(), "/")
}
