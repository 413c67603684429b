package accesslog

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/internal/fault"
)

// JSON is the name of the format of one JSON object on each line.
const JSON = "json"

// Format is a compiled format. It is immutable and safe for concurrent use.
type Format struct {
	json  bool
	parts []part
}

// part is a piece of a line: a literal, or an atom with the name it has in braces.
type part struct {
	atom byte // 0 for a literal
	text string
}

// plainAtoms are gunicorn's atoms without a name, as they are written.
const plainAtoms = "hlutrmUqHsBbfaTMDLp"

// Parse compiles a format: text with atoms like %(h)s and %({user-agent}i)s, %% for a percent sign, or "json" alone. The
// error is a *fault.Error.
func Parse(format string) (*Format, error) {
	if format == JSON {
		return &Format{json: true}, nil
	}
	f := &Format{}
	for i, r := range format {
		if r < ' ' && r != '\t' || r == 0x7f {
			return nil, fault.New("a line ends by itself", "access-log format: control character at byte %d", i+1)
		}
	}
	rest := format
	for rest != "" {
		literal, after, found := strings.Cut(rest, "%")
		f.literal(literal)
		if !found {
			break
		}
		if after, ok := strings.CutPrefix(after, "%"); ok {
			f.literal("%")
			rest = after
			continue
		}
		p, tail, err := parseAtom(after)
		if err != nil {
			return nil, err
		}
		f.parts = append(f.parts, p)
		rest = tail
	}
	if len(f.parts) == 0 {
		return nil, fault.New(`an access log is switched off with access_log = ""`, "access-log format: it is empty")
	}
	return f, nil
}

func (f *Format) literal(text string) {
	if text == "" {
		return
	}
	if n := len(f.parts); n > 0 && f.parts[n-1].atom == 0 {
		f.parts[n-1].text += text
		return
	}
	f.parts = append(f.parts, part{text: text})
}

// parseAtom reads what follows a percent sign: "(h)s" or "({name}i)s".
func parseAtom(s string) (part, string, error) {
	const shape = "write atoms like %(h)s or %({user-agent}i)s, and a percent sign as %%"
	name, rest, ok := strings.Cut(strings.TrimPrefix(s, "("), ")")
	if !ok || s[0] != '(' {
		return part{}, "", fault.New(shape, "access-log format: %q is no atom", "%"+clip(s))
	}
	rest, ok = strings.CutPrefix(rest, "s")
	if !ok {
		return part{}, "", fault.New(shape, `access-log format: "%%(%s)" is not followed by s`, clip(name))
	}
	if len(name) == 1 && strings.Contains(plainAtoms, name) {
		return part{atom: name[0]}, rest, nil
	}
	inner, kind, braced := strings.Cut(strings.TrimPrefix(name, "{"), "}")
	if !braced || name[0] != '{' || inner == "" || len(kind) != 1 {
		return part{}, "", fault.New(unknownHint(name), `access-log format: unknown atom "%%(%s)s"`, clip(name))
	}
	switch kind = strings.ToLower(kind); kind {
	case "e":
		return part{atom: 'e', text: strings.ToUpper(inner)}, rest, nil
	case "i", "o":
		if !exchange.ValidName(inner) {
			return part{}, "", fault.New("names are like user-agent", "access-log format: %q is not the name of a field", clip(inner))
		}
		return part{atom: kind[0], text: inner}, rest, nil
	default:
		return part{}, "", fault.New("after the braces goes i (request), o (response) or e (CGI variable)",
			`access-log format: unknown atom "%%(%s)s"`, clip(name))
	}
}

func unknownHint(name string) string {
	for _, other := range []string{strings.ToLower(name), strings.ToUpper(name)} {
		if len(other) == 1 && strings.Contains(plainAtoms, other) {
			return fmt.Sprintf("did you mean %%(%s)s?", other)
		}
	}
	return "the atoms are " + strings.Join(strings.Split(plainAtoms, ""), " ") + " {name}i {name}o {name}e, or json for all"
}

func clip(s string) string {
	if len(s) > 40 {
		return s[:40] + "…"
	}
	return s
}

// MaxLine is the length of the longest line in bytes, as far as shortening values helps: a pipe that several processes
// write to keeps that much together (PIPE_BUF, pipe(7)), so no part of a line can pass for a line of its own.
const MaxLine = 4096

// Append appends the record's line, newline included, to dst. It allocates only to grow dst, and to shorten the values
// of a line that would be longer than MaxLine.
func (f *Format) Append(dst []byte, r *Record) []byte {
	begin := len(dst)
	dst = f.append(dst, r)
	for limit := 1024; len(dst)-begin > MaxLine && limit >= 16; limit /= 2 {
		short := r.shortened(limit)
		dst = f.append(dst[:begin], &short)
	}
	return dst
}

func (f *Format) append(dst []byte, r *Record) []byte {
	if f.json {
		return appendJSON(dst, r)
	}
	for i := range f.parts {
		p := &f.parts[i]
		if p.atom == 0 {
			dst = append(dst, p.text...)
		} else {
			dst = p.append(dst, r)
		}
	}
	return append(dst, '\n')
}

func (p *part) append(dst []byte, r *Record) []byte {
	switch p.atom {
	case 'h':
		return appendText(dst, r.peer())
	case 'u':
		return appendUser(dst, r.Request.Get("Authorization"))
	case 't':
		return r.end().AppendFormat(dst, "[02/Jan/2006:15:04:05 -0700]")
	case 'r':
		return appendRequestLine(dst, r)
	case 'm':
		return appendText(dst, r.Method)
	case 'U':
		return appendText(dst, r.path())
	case 'q':
		return appendText(dst, r.query())
	case 'H':
		return appendText(dst, r.Proto)
	case 'f':
		return appendText(dst, r.Request.Get("Referer"))
	case 'a':
		return appendText(dst, r.Request.Get("User-Agent"))
	case 'i':
		return appendText(dst, r.field(p.text))
	case 'o':
		return appendText(dst, r.Response.Get(p.text))
	case 'e':
		return appendText(dst, r.variable(p.text))
	case 'l':
		return append(dst, '-') // the identity of RFC 1413, which nobody asks for
	default:
		return p.appendNumber(dst, r)
	}
}

func (p *part) appendNumber(dst []byte, r *Record) []byte {
	switch {
	case p.atom == 's' && r.Status == 0, p.atom == 'b' && r.Bytes == 0:
		return append(dst, '-')
	case p.atom == 's':
		return strconv.AppendInt(dst, int64(r.Status), 10)
	case p.atom == 'b' || p.atom == 'B':
		return strconv.AppendInt(dst, r.Bytes, 10)
	case p.atom == 'p':
		dst = append(dst, '<')
		dst = strconv.AppendInt(dst, int64(r.PID), 10)
		return append(dst, '>')
	}
	d := max(r.Duration, 0)
	switch p.atom {
	case 'T':
		return strconv.AppendInt(dst, int64(d/time.Second), 10)
	case 'M':
		return strconv.AppendInt(dst, d.Milliseconds(), 10)
	case 'D':
		return strconv.AppendInt(dst, d.Microseconds(), 10)
	default: // 'L'
		dst = strconv.AppendInt(dst, int64(d/time.Second), 10)
		fraction := d%time.Second/time.Microsecond + 1_000_000 // the leading digit keeps the zeros
		at := len(dst)
		dst = strconv.AppendInt(dst, int64(fraction), 10)
		dst[at] = '.'
		return dst
	}
}

func appendRequestLine(dst []byte, r *Record) []byte {
	if r.Method == "" {
		return append(dst, '-')
	}
	dst = appendText(dst, r.Method)
	dst = append(dst, ' ')
	dst = appendText(dst, r.Target)
	dst = append(dst, ' ')
	return appendText(dst, r.Proto)
}
