package cgi

import (
	"bytes"
	"strings"

	"github.com/appserver-go/appserver/exchange"
)

// maxHead is the size of the largest head a guest may print, in bytes. It is that of the response's fields.
const maxHead = exchange.MaxResponseHeadBytes

// head is the head of a guest's output.
type head struct {
	status   int    // 0 without a Status field
	location string // of a local redirect, else ""
	fields   exchange.Fields
}

// headEnd returns the length of the head in b with the empty line that ends it, or 0 when it is not complete. The
// search starts at from, which must be a place that earlier searches got to.
func headEnd(b []byte, from int) int {
	for i := max(from-2, 0); i < len(b); i++ {
		lf := bytes.IndexByte(b[i:], '\n')
		if lf < 0 {
			return 0
		}
		i += lf
		switch line := b[:i]; {
		case len(line) == 0, line[len(line)-1] == '\n':
			return i + 1
		case line[len(line)-1] == '\r' && (len(line) == 1 || line[len(line)-2] == '\n'):
			return i + 1
		}
	}
	return 0
}

// parseHead reads a head (RFC 3875 6.2 and 6.3). Its lines end with LF or CRLF; the last one is empty. Errors are a
// *Failure with status 502.
func parseHead(b []byte) (*head, error) {
	h := &head{}
	var contentType, location bool
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
		if line == "" {
			break
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok || !exchange.ValidName(name) {
			return nil, exchange.Fail(502, exchange.BadResponse, "the guest printed %q, which is no header field", clip(line))
		}
		value = strings.Trim(value, " \t")
		seen := false
		switch {
		case strings.EqualFold(name, "Status"):
			seen = h.status != 0
			if h.status = parseStatus(value); h.status == 0 {
				return nil, exchange.Fail(502, exchange.BadResponse, "the guest printed the malformed status %q", clip(value))
			}
			if seen {
				return nil, twice(name)
			}
			continue
		case strings.EqualFold(name, "Location"):
			seen, location = location, true
		case strings.EqualFold(name, "Content-Type"):
			seen, contentType = contentType, true
		}
		if seen {
			return nil, twice(name)
		}
		h.fields.Add(name, value)
	}
	if h.status == 0 && !location && !contentType {
		return nil, exchange.Fail(502, exchange.BadResponse, "the guest's head has none of Content-Type, Location and Status")
	}
	return h, h.settle()
}

// settle decides what a Location means and checks the head as a whole.
func (h *head) settle() error {
	location := h.fields.Get("Location")
	// A local redirect is a path and nothing else beside it (RFC 3875 6.2.2). With a status or other fields it is an
	// answer to the client, who can resolve a relative Location too (RFC 9110 10.2.2).
	if h.status == 0 && len(h.fields) == 1 && strings.HasPrefix(location, "/") && !strings.HasPrefix(location, "//") {
		if !validTarget(location) {
			return exchange.Fail(502, exchange.BadResponse, "the guest redirected to %q, which is no path", clip(location))
		}
		h.location = location
		return nil
	}
	if h.status == 0 {
		h.status = 200
		if location != "" {
			h.status = 302
		}
	}
	return exchange.CheckHead(h.status, h.fields)
}

// validTarget reports whether s has only characters that a request target may have.
func validTarget(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

// parseStatus reads "404" or "404 Not Found"; it returns 0 when it is malformed.
func parseStatus(s string) int {
	code, _, _ := strings.Cut(s, " ")
	if len(code) != 3 {
		return 0
	}
	n := 0
	for _, c := range code {
		if c < '0' || c > '9' {
			return 0
		}
		n = n*10 + int(c-'0')
	}
	return n
}

func twice(name string) error {
	return exchange.Fail(502, exchange.BadResponse, "the guest printed the field %s twice", name)
}

func clip(s string) string {
	if len(s) > 64 {
		return s[:64] + "…"
	}
	return s
}
