package boundary

import (
	"strconv"
	"strings"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/internal/allowlist"
)

// head is the head of a request as a guest writes it: a line with method and URL, and a line for each field,
//
//	POST https://api.example.com/v1/things
//	Content-Type: application/json
//
// each ended by a line feed.
type head struct {
	method string
	target allowlist.Target
	fields exchange.Fields
	length int64 // of the body; negative when it is not told
}

// parseHead reads a head. Errors have the code Invalid or Limit.
func parseHead(text string) (*head, error) {
	if len(text) > MaxHead {
		return nil, Failf(Limit, "the head is longer than %d bytes", MaxHead)
	}
	text, ended := strings.CutSuffix(text, "\n")
	if !ended {
		return nil, Failf(Invalid, "the head does not end in a line feed")
	}
	first, rest, more := strings.Cut(text, "\n")
	h := &head{length: -1}
	if err := h.requestLine(first); err != nil {
		return nil, err
	}
	for more {
		var line string
		line, rest, more = strings.Cut(rest, "\n")
		if err := h.field(line); err != nil {
			return nil, err
		}
	}
	return h, nil
}

func (h *head) requestLine(line string) (err error) {
	var raw string
	h.method, raw, _ = strings.Cut(line, " ")
	if !exchange.ValidName(h.method) {
		return Failf(Invalid, "%q is not a method", clip(h.method))
	}
	if h.method == "CONNECT" || h.method == "TRACE" {
		return Failf(Invalid, "the method %s is not for guests", h.method)
	}
	if h.target, err = allowlist.ParseTarget(raw); err != nil {
		return Failf(Invalid, "%s", err)
	}
	return nil
}

func (h *head) field(line string) error {
	name, value, ok := strings.Cut(line, ":")
	value = strings.Trim(value, " \t")
	if !ok || !exchange.ValidName(name) || !exchange.ValidValue(value) {
		return Failf(Invalid, "%q is not a field", clip(line))
	}
	lower := strings.ToLower(name)
	switch {
	case lower == "host" && strings.EqualFold(value, h.target.Authority()):
		return nil
	case lower == "host":
		return Failf(Invalid, "the field Host differs from the URL's host")
	case exchange.HopByHop(name), lower == "expect":
		return Failf(Invalid, "the field %s is not for guests to set", clip(name))
	case lower == "content-length":
		n, err := strconv.ParseUint(value, 10, 63)
		if err != nil || h.length >= 0 && h.length != int64(n) {
			return Failf(Invalid, "%q is not the length of a body", clip(value))
		}
		h.length = int64(n)
		return nil
	case len(h.fields) == MaxFields:
		return Failf(Limit, "there are more than %d fields", MaxFields)
	}
	h.fields.Add(name, value)
	return nil
}

// FormatFields writes fields as guests get them, a line for each. Those that would not read the same again are left out,
// and so is what goes beyond the limits.
func FormatFields(fields exchange.Fields) string {
	var b strings.Builder
	for n, f := range fields {
		if n == MaxFields || b.Len()+len(f.Name)+len(f.Value)+3 > MaxHead {
			break
		}
		if exchange.ValidName(f.Name) && exchange.ValidValue(f.Value) {
			b.WriteString(f.Name + ": " + f.Value + "\n")
		}
	}
	return b.String()
}
