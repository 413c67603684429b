package kit

import (
	"maps"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
)

// writeHeader sets the fields at the host, sorted by name so that equal responses look equal. As net/http does, it
// leaves out fields whose name is no token (RFC 9110 §5.6.2) and replaces line breaks in values, which would be an
// invitation to split the response.
func writeHeader(h host, kind uint32, header http.Header) {
	for _, name := range slices.Sorted(maps.Keys(header)) {
		if !validName(name) {
			continue
		}
		for i, value := range header[name] {
			value = textproto.TrimString(noLineBreaks(value))
			if i == 0 {
				h.setHeader(kind, name, value)
			} else {
				h.addHeader(kind, name, value)
			}
		}
	}
}

func noLineBreaks(value string) string {
	if !strings.ContainsAny(value, "\r\n") {
		return value
	}
	return strings.Map(func(r rune) rune {
		if r == '\r' || r == '\n' {
			return ' '
		}
		return r
	}, value)
}

func validName(name string) bool {
	for i := range len(name) {
		if c := name[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return false
		}
	}
	return name != ""
}

// announcedTrailers returns the names in the header's Trailer fields.
func announcedTrailers(header http.Header) []string {
	var names []string
	for _, list := range header["Trailer"] {
		for name := range strings.SplitSeq(list, ",") {
			names = append(names, textproto.CanonicalMIMEHeaderKey(textproto.TrimString(name)))
		}
	}
	return names
}

// withoutTrailers returns a copy of header without the announced trailers and those marked with http.TrailerPrefix.
func withoutTrailers(header http.Header, announced []string) http.Header {
	c := header.Clone()
	maps.DeleteFunc(c, func(name string, _ []string) bool {
		return name == "Trailer" || slices.Contains(announced, name) || strings.HasPrefix(name, http.TrailerPrefix)
	})
	return c
}

// sendTrailers sets those fields of header that are trailers, if the host can send any.
func sendTrailers(h host, header http.Header, announced []string) {
	trailer := http.Header{}
	for name, values := range header {
		if bare, ok := strings.CutPrefix(name, http.TrailerPrefix); ok {
			trailer[bare] = values
		} else if slices.Contains(announced, name) {
			trailer[name] = values
		}
	}
	if len(trailer) > 0 && h.enableFeatures(trailers)&trailers != 0 {
		writeHeader(h, ofResponseTrailer, trailer)
	}
}
