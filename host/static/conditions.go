package static

import (
	"strings"
	"time"

	"github.com/appserver-go/appserver/exchange"
)

// respond sends the representation as the request's preconditions and ranges have it.
func (c *content) respond(x *exchange.Exchange) error {
	f := &x.Response.Fields
	f.Add("ETag", c.etag)
	if c.dated() {
		f.Add("Last-Modified", httpDate(c.modified))
	}
	if c.varies {
		f.Add("Vary", "Accept-Encoding")
	}
	switch c.evaluate(x.Request.Fields, x.Request.Method) {
	case 304:
		x.Response.Status = 304
		return nil
	case 412:
		return answer(x, 412, "412 Precondition Failed\n")
	}
	return c.deliver(x)
}

// dated reports whether the file's time means something: archives and images without times have the epoch's.
func (c *content) dated() bool { return !c.modified.IsZero() && c.modified.Unix() != 0 }

func httpDate(t time.Time) string { return t.UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT") }

// parseDate reads the three forms of dates (RFC 9110 §5.6.7).
func parseDate(s string) (time.Time, bool) {
	for _, layout := range []string{"Mon, 02 Jan 2006 15:04:05 GMT", "Monday, 02-Jan-06 15:04:05 MST", time.ANSIC} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

// evaluate applies the preconditions in the order of RFC 9110 §13.2.2. It returns 412, 304 or 0.
func (c *content) evaluate(fields exchange.Fields, method string) int {
	if match := fields.Get("If-Match"); match != "" {
		if !anyTag(fields.Values("If-Match"), c.etag, false) {
			return 412
		}
	} else if since, ok := parseDate(fields.Get("If-Unmodified-Since")); ok && c.dated() && c.after(since) {
		return 412
	}
	if none := fields.Get("If-None-Match"); none != "" {
		if anyTag(fields.Values("If-None-Match"), c.etag, true) {
			return 304
		}
	} else if since, ok := parseDate(fields.Get("If-Modified-Since")); ok && c.dated() && !c.after(since) {
		return 304
	}
	return 0
}

// after reports whether the file was changed after t, in whole seconds, which is all that dates have.
func (c *content) after(t time.Time) bool { return c.modified.Truncate(time.Second).After(t) }

// anyTag reports whether a list of entity tags has one, or is "*". Weakly compared, W/ makes no difference.
func anyTag(values []string, etag string, weak bool) bool {
	for _, value := range values {
		for rest := value; ; {
			rest = strings.TrimLeft(rest, " \t,")
			if rest == "" {
				break
			}
			if rest[0] == '*' {
				return true
			}
			tag, after, ok := cutTag(rest)
			if !ok {
				break
			}
			if tag == etag || weak && strings.TrimPrefix(tag, "W/") == etag {
				return true
			}
			rest = after
		}
	}
	return false
}

// cutTag takes an entity tag off the beginning of s (RFC 9110 §8.8.3).
func cutTag(s string) (tag, rest string, ok bool) {
	start := 0
	if strings.HasPrefix(s, "W/") {
		start = 2
	}
	if len(s) <= start || s[start] != '"' {
		return "", "", false
	}
	for i := start + 1; i < len(s); i++ {
		switch b := s[i]; {
		case b == '"':
			return s[:i+1], s[i+1:], true
		case b < '!' || b == 0x7f:
			return "", "", false
		}
	}
	return "", "", false
}

// current reports whether If-Range lets ranges be sent: it names this very representation (RFC 9110 §13.1.5).
func (c *content) current(fields exchange.Fields) bool {
	condition := fields.Get("If-Range")
	if condition == "" {
		return true
	}
	if tag, _, ok := cutTag(condition); ok {
		return tag == c.etag
	}
	t, ok := parseDate(condition)
	return ok && c.dated() && c.modified.Unix() == t.Unix()
}
