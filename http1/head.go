package http1

import (
	"bytes"
	"encoding/binary"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/internal/httprules"
)

// head reads a request's head from an input, line by line as lines come in, and refuses it at the first fault, before
// the rest has arrived. An empty line ahead of the request line is refused like any other garbage; net/http and
// gunicorn do so, too.
type head struct {
	started bool // the request line has been read
	scanned int  // how much of the unread line has been looked through for its end
	room    int  // how many bytes of field lines may still come
	count   int  // field lines
	minor   byte // of the version: '0' or '1'

	scheme               string // of the connection
	method, target, host string
	hosts                int
	contentTypes         int
	expects              bool // 100-continue
	upgrade              string
	upgrades             int // fields of that name
	framing
	options connOptions
}

func (h *head) reset(l *Limits, scheme string) { *h = head{room: l.HeadRoom(), scheme: scheme} }

// The refusals of heads.
var (
	bareLF        = &httprules.Refusal{Status: 400, Cause: "line that does not end in CR LF"}
	invalidLine   = &httprules.Refusal{Status: 400, Cause: "invalid request line"}
	badVersion    = &httprules.Refusal{Status: 505, Cause: "version not served"}
	folded        = &httprules.Refusal{Status: 400, Cause: "folded field line"}
	invalidName   = &httprules.Refusal{Status: 400, Cause: "invalid field name"}
	invalidValue  = &httprules.Refusal{Status: 400, Cause: "control character in a field"}
	noHost        = &httprules.Refusal{Status: 400, Cause: "no Host"}
	manyHosts     = &httprules.Refusal{Status: 400, Cause: "more than one Host"}
	manyTypes     = &httprules.Refusal{Status: 400, Cause: "more than one Content-Type"}
	invalidOption = &httprules.Refusal{Status: 400, Cause: "invalid Connection"}
)

// parse reads what is in the input. It reports true when the head is complete; fields have then been added to
// fields, the hidden ones excepted.
func (h *head) parse(in *input, l *Limits, fields *exchange.Fields) (done bool, bad *httprules.Refusal) {
	for {
		line, bad := h.line(in, l)
		if line == nil || bad != nil {
			return false, bad
		}
		switch {
		case !h.started:
			h.started = true
			bad = h.requestLine(line)
		case len(line) == 0:
			h.options.strip(fields)
			return true, h.complete(l)
		default:
			bad = h.field(line, l, fields)
		}
		if bad != nil {
			return false, bad
		}
	}
}

// line returns the next line without its end, nil if it is not all there.
func (h *head) line(in *input, l *Limits) ([]byte, *httprules.Refusal) {
	unread := in.unread()
	i := bytes.IndexByte(unread[h.scanned:], '\n')
	if i < 0 {
		h.scanned = len(unread)
		return nil, h.tooLong(len(bytes.TrimSuffix(unread, []byte{'\r'})), l, unread)
	}
	i += h.scanned
	h.scanned = 0
	if i == 0 || unread[i-1] != '\r' {
		return nil, bareLF
	}
	if bad := h.tooLong(i-1, l, unread); bad != nil {
		return nil, bad
	}
	if h.started {
		h.room -= i + 1
	}
	in.consume(i + 1)
	return unread[: i-1 : i-1], nil
}

// tooLong refuses a line of which n bytes are known, without its end. A first byte that begins no method is refused
// at once: what is not HTTP may never send an end of line.
func (h *head) tooLong(n int, l *Limits, unread []byte) *httprules.Refusal {
	end := len("\r\n")
	switch {
	case !h.started && n > 0 && !exchange.ValidName(text(unread[:1])):
		return invalidLine
	case !h.started && l.RequestLine > 0 && n > l.RequestLine:
		return httprules.LineTooLong
	case !h.started && n > maxLine && n > l.RequestLine:
		return httprules.LineTooLong
	case h.started && l.FieldSize > 0 && n+end > l.FieldSize:
		return httprules.FieldTooLarge
	case h.started && n > h.room:
		return httprules.HeadTooLarge
	}
	return nil
}

// maxLine bounds the request line where the limits do not, in bytes.
const maxLine = 1 << 20

// requestLine takes the request line apart: method, target and version, with one space between them (RFC 9112 §3).
func (h *head) requestLine(line []byte) *httprules.Refusal {
	first := bytes.IndexByte(line, ' ')
	last := bytes.LastIndexByte(line, ' ')
	if first <= 0 || last == first || last == first+1 {
		return invalidLine
	}
	h.method, h.target = text(line[:first]), text(line[first+1:last])
	version := line[last+1:]
	if bad := h.version(version); bad != nil {
		return bad
	}
	return httprules.Method(h.method)
}

// version takes HTTP/1.0 and HTTP/1.1. Other versions of HTTP get 505; an HTTP/2 preface is one of them.
func (h *head) version(v []byte) *httprules.Refusal {
	const form = "HTTP/1.1"
	if len(v) != len(form) || string(v[:5]) != form[:5] || !digit(v[5]) || v[6] != '.' || !digit(v[7]) {
		return invalidLine
	}
	if v[5] != '1' || v[7] > '1' {
		return badVersion
	}
	h.minor = v[7]
	return nil
}

func digit(c byte) bool { return '0' <= c && c <= '9' }

// proto returns the version as exchange.Request has it.
func (h *head) proto() string {
	switch h.minor {
	case '0':
		return "HTTP/1.0"
	case '1':
		return "HTTP/1.1"
	}
	return ""
}

// field reads a field line.
func (h *head) field(line []byte, l *Limits, fields *exchange.Fields) *httprules.Refusal {
	h.count++
	if l.Fields > 0 && h.count > l.Fields {
		return httprules.TooManyFields
	}
	f, bad := splitField(line)
	if bad != nil {
		return bad
	}
	keep, bad := h.interpret(f)
	if keep && bad == nil {
		*fields = append(*fields, f)
	}
	return bad
}

// splitField takes a field line apart (RFC 9112 §5).
func splitField(line []byte) (exchange.Field, *httprules.Refusal) {
	if line[0] == ' ' || line[0] == '\t' {
		return exchange.Field{}, folded
	}
	colon := bytes.IndexByte(line, ':')
	if colon <= 0 || !exchange.ValidName(text(line[:colon])) {
		return exchange.Field{}, invalidName
	}
	value := line[colon+1:]
	for len(value) > 0 && (value[0] == ' ' || value[0] == '\t') {
		value = value[1:]
	}
	for n := len(value); n > 0 && (value[n-1] == ' ' || value[n-1] == '\t'); n-- {
		value = value[:n-1]
	}
	if !clean(value) {
		return exchange.Field{}, invalidValue
	}
	return exchange.Field{Name: text(line[:colon]), Value: text(value)}, nil
}

// clean is exchange.ValidValue, eight bytes at a time while nothing looks suspicious.
func clean(b []byte) bool {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	rest := b
	for len(rest) >= 8 {
		x := binary.LittleEndian.Uint64(rest)
		low := (x - ones*0x20) &^ x // a byte below 0x20 sets its top bit, or borrows from the next
		del := x ^ ones*0x7f
		del = (del - ones) &^ del
		if (low|del)&tops != 0 {
			return exchange.ValidValue(text(b))
		}
		rest = rest[8:]
	}
	return exchange.ValidValue(text(rest))
}

// complete looks at the head as a whole.
func (h *head) complete(l *Limits) *httprules.Refusal {
	if h.hosts == 0 && h.minor == '1' {
		return noHost
	}
	target, host, bad := httprules.Target(h.method, h.scheme, h.target, h.host)
	if bad != nil {
		return bad
	}
	h.target, h.host = target, host
	if bad := h.framing.check(h.minor); bad != nil {
		return bad
	}
	if l.Body > 0 && h.length > l.Body {
		return httprules.BodyTooLarge
	}
	return nil
}
