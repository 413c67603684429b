package http1

import (
	"sync/atomic"
	"time"
)

// dateLayout is IMF-fixdate (RFC 9110 §5.6.7).
const dateLayout = "Mon, 02 Jan 2006 15:04:05 GMT"

// dateCache holds the Date field line of the current second. Any goroutine may use it.
type dateCache struct{ line atomic.Pointer[dateLine] }

type dateLine struct {
	unix int64
	text string
}

// at returns the field line for a time, with its end.
func (d *dateCache) at(t time.Time) string {
	unix := t.Unix()
	if l := d.line.Load(); l != nil && l.unix == unix {
		return l.text
	}
	l := &dateLine{unix, "Date: " + t.UTC().Format(dateLayout) + "\r\n"}
	d.line.Store(l)
	return l.text
}
