// Package accesslog makes access-log lines of requests: in a format of gunicorn's atoms, or as JSON. A format is compiled
// once and appends lines to a buffer. The package writes nothing: workers, and the arbiter for the requests of workers it
// killed, hand the lines to a log sink.
//
// Most of a record was chosen by a client. Whatever it holds, Append makes exactly one line of it, and no value can pass
// for another: control characters, invalid UTF-8 and characters that reorder or hide text are escaped, and so are quotes
// and backslashes.
package accesslog

import (
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/appserver-go/appserver/exchange"
)

// Record is one request and what became of it. The zero value of a field means that it is unknown; it is logged as "-"
// or left out.
type Record struct {
	// RemoteAddr is the peer as "ip:port" or "[ip6]:port"; empty for a unix socket.
	RemoteAddr string
	// Method, Target and Proto are the request line; all are empty when it could not be read.
	Method, Target, Proto string
	// Host is the authority the request was sent to.
	Host string
	// Request and Response are the header fields of both.
	Request, Response exchange.Fields
	// Status is the response's status code, 0 when none was sent.
	Status int
	// Bytes is the size of the body that was sent.
	Bytes int64
	// Start is when the request began, Duration how long it took. Lines carry the time of its end.
	Start    time.Time
	Duration time.Duration
	// ID names the request.
	ID string
	// PID is the worker's process id.
	PID int
	// Killed says why the request's worker was killed; empty when it was not.
	Killed string
}

// shortened returns r with its values cut to limit bytes and marked so.
func (r *Record) shortened(limit int) Record {
	short := *r
	for _, s := range []*string{&short.Method, &short.Target, &short.Proto, &short.Host, &short.ID, &short.RemoteAddr, &short.Killed} {
		*s = shorten(*s, limit)
	}
	short.Request, short.Response = shortenAll(r.Request, limit), shortenAll(r.Response, limit)
	return short
}

func shortenAll(fields exchange.Fields, limit int) exchange.Fields {
	short := slices.Clone(fields)
	for i := range short {
		short[i].Value = shorten(short[i].Value, limit)
	}
	return short
}

func shorten(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit] + "..."
}

// end is the time a line carries, which is that of its writing but for an instant, as in gunicorn and nginx.
func (r *Record) end() time.Time { return r.Start.Add(r.Duration) }

// peer returns the peer's address without its port.
func (r *Record) peer() string {
	host, _ := splitPort(r.RemoteAddr)
	return host
}

// splitPort cuts "ip:port" and "[ip6]:port". It is net.SplitHostPort without an error, which would allocate.
func splitPort(addr string) (host, port string) {
	i := strings.LastIndexByte(addr, ':')
	if i < 0 {
		return addr, ""
	}
	host, port = addr[:i], addr[i+1:]
	if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
		return host[1 : len(host)-1], port
	}
	if strings.IndexByte(host, ':') >= 0 {
		return addr, "" // an IPv6 address alone
	}
	return host, port
}

func (r *Record) path() string {
	path, _, _ := strings.Cut(r.Target, "?")
	return path
}

func (r *Record) query() string {
	_, query, _ := strings.Cut(r.Target, "?")
	return query
}

// field returns a field of the request. Host is not among the fields.
func (r *Record) field(name string) string {
	if v := r.Request.Get(name); v != "" || !strings.EqualFold(name, "Host") {
		return v
	}
	return r.Host
}

// variable returns a variable of the request in the names of CGI (RFC 3875 §4.1), which WSGI shares.
func (r *Record) variable(name string) string {
	switch name {
	case "REQUEST_METHOD":
		return r.Method
	case "RAW_URI", "REQUEST_URI":
		return r.Target
	case "PATH_INFO":
		return r.path()
	case "QUERY_STRING":
		return r.query()
	case "SERVER_PROTOCOL":
		return r.Proto
	case "REMOTE_ADDR":
		return r.peer()
	case "REMOTE_PORT":
		_, port := splitPort(r.RemoteAddr)
		return port
	case "CONTENT_TYPE":
		return r.field("Content-Type")
	case "CONTENT_LENGTH":
		return r.field("Content-Length")
	default:
		if field, ok := strings.CutPrefix(name, "HTTP_"); ok {
			return r.underscored(field)
		}
		return ""
	}
}

// underscored returns the first field whose name is name with "-" for "_".
func (r *Record) underscored(name string) string {
	for i := range r.Request {
		if sameName(r.Request[i].Name, name) {
			return r.Request[i].Value
		}
	}
	if sameName("Host", name) {
		return r.Host
	}
	return ""
}

func sameName(field, name string) bool {
	if len(field) != len(name) {
		return false
	}
	for i := range len(field) {
		a, b := field[i], name[i]
		if a >= 'a' && a <= 'z' {
			a -= 'a' - 'A'
		}
		if a == '-' {
			a = '_'
		}
		if a != b {
			return false
		}
	}
	return true
}
