package static

import (
	"crypto/rand"
	"encoding/hex"
	"strconv"
	"strings"

	"github.com/appserver-go/appserver/exchange"
)

// maxRanges is how many ranges a request may ask for. Nobody who seeks in a file needs more; beyond it the file is sent whole,
// as a server may (RFC 9110 §14.2).
const maxRanges = 32

// span is a part of a file.
type span struct{ start, length int64 }

// verdict is what a Range field comes to.
type verdict int

const (
	whole         verdict = iota // it is to be ignored
	partial                      // there are spans
	malformed                    // what is no range is refused, as by nginx and net/http
	unsatisfiable                // none of it is in the file
)

// parseRange reads a Range field for a file of a size (RFC 9110 §14.1.2).
func parseRange(field string, size int64) ([]span, verdict) {
	const unit = "bytes="
	if len(field) < len(unit) || !strings.EqualFold(field[:len(unit)], unit) {
		return nil, whole // another unit must be ignored
	}
	list := field[len(unit):]
	switch {
	case strings.Count(list, ",") >= maxRanges:
		return nil, whole
	}
	var spans []span
	outside, total := false, int64(0)
	for item := range strings.SplitSeq(list, ",") {
		if item = strings.Trim(item, " \t\r\n"); item == "" {
			continue
		}
		s, v := parseSpan(item, size)
		switch v {
		case malformed:
			return nil, malformed
		case unsatisfiable:
			outside = true
		default:
			spans = append(spans, s)
			total += s.length
		}
	}
	switch {
	case len(spans) == 0 && outside:
		return nil, unsatisfiable
	case len(spans) == 0, total > size: // overlapping ranges would make the answer larger than the file
		return nil, whole
	}
	return spans, partial
}

func parseSpan(item string, size int64) (span, verdict) {
	first, last, ok := strings.Cut(item, "-")
	if !ok {
		return span{}, malformed
	}
	first, last = strings.Trim(first, " \t\r\n"), strings.Trim(last, " \t\r\n")
	if first == "" {
		n, ok := parseDigits(last)
		if !ok {
			return span{}, malformed
		}
		n = min(n, size)
		return span{size - n, n}, partial
	}
	start, ok := parseDigits(first)
	if !ok {
		return span{}, malformed
	}
	if start >= size {
		return span{}, unsatisfiable
	}
	if last == "" {
		return span{start, size - start}, partial
	}
	end, ok := parseDigits(last)
	if !ok || start > end {
		return span{}, malformed
	}
	return span{start, min(end, size-1) - start + 1}, partial
}

// parseDigits reads a number that is digits only. One that fits no int64 is malformed, as in net/http.
func parseDigits(s string) (int64, bool) {
	if s == "" || strings.TrimLeft(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}

func (s span) contentRange(size int64) string {
	return "bytes " + strconv.FormatInt(s.start, 10) + "-" + strconv.FormatInt(s.start+s.length-1, 10) + "/" + strconv.FormatInt(size, 10)
}

// deliver sends the representation, or the ranges of it that the client wants.
func (c *content) deliver(x *exchange.Exchange) error {
	f := &x.Response.Fields
	var spans []span
	v := whole
	if c.current(x.Request.Fields) {
		spans, v = parseRange(x.Request.Fields.Get("Range"), c.size)
		if v == unsatisfiable && c.size == 0 {
			v = whole // there is nothing of which a range could be had, and clients that always send one want the rest of it
		}
	}
	f.Add("Accept-Ranges", "bytes")
	switch {
	case v == malformed || v == unsatisfiable:
		f.Add("Content-Range", "bytes */"+strconv.FormatInt(c.size, 10))
		return answer(x, 416, "416 Range Not Satisfiable\n")
	case v == partial && len(spans) > 1:
		return c.multipart(x, spans)
	}
	part := span{0, c.size}
	if v == partial {
		part = spans[0]
		x.Response.Status = 206
		f.Add("Content-Range", part.contentRange(c.size))
	}
	f.Add("Content-Type", c.kind)
	return c.body(x, part.length, func() error { return c.send(x, part.start, part.length) })
}

// body sends the fields that belong to a body of a length, and the body unless the request was HEAD.
func (c *content) body(x *exchange.Exchange, length int64, send func() error) error {
	f := &x.Response.Fields
	if c.coding != "" {
		f.Add("Content-Encoding", c.coding)
	}
	f.Add("Content-Length", strconv.FormatInt(length, 10))
	if x.Request.Method == "HEAD" {
		return nil
	}
	return send()
}

// multipart sends several ranges (RFC 9110 §14.6).
func (c *content) multipart(x *exchange.Exchange, spans []span) error {
	var random [16]byte
	rand.Read(random[:]) // never fails
	boundary := hex.EncodeToString(random[:])
	heads := make([]string, len(spans))
	end := "\r\n--" + boundary + "--\r\n"
	total := int64(len(end))
	for i, s := range spans {
		head := "--" + boundary + "\r\nContent-Range: " + s.contentRange(c.size) + "\r\nContent-Type: " + c.kind + "\r\n\r\n"
		if i > 0 {
			head = "\r\n" + head
		}
		heads[i] = head
		total += int64(len(head)) + s.length
	}
	x.Response.Status = 206
	x.Response.Fields.Add("Content-Type", "multipart/byteranges; boundary="+boundary)
	return c.body(x, total, func() error {
		for i, s := range spans {
			if _, err := x.Response.Write([]byte(heads[i])); err != nil {
				return err
			}
			if err := c.send(x, s.start, s.length); err != nil {
				return err
			}
		}
		_, err := x.Response.Write([]byte(end))
		return err
	})
}
