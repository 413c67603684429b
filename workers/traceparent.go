package workers

import (
	"encoding/hex"
	"slices"
	"strings"

	"github.com/appserver-go/appserver/exchange"
)

// traceContext is what a traceparent field says (W3C Trace Context, level 1).
type traceContext struct {
	trace   [16]byte
	parent  [8]byte
	sampled bool
}

const traceparentLen = len("00-0123456789abcdef0123456789abcdef-0123456789abcdef-01")

// parseTraceparent reads a traceparent field. Versions to come may be longer, with a dash after what is known.
func parseTraceparent(s string) (t traceContext, ok bool) {
	if len(s) < traceparentLen || s[2] != '-' || s[35] != '-' || s[52] != '-' {
		return t, false
	}
	version, versionOK := hexByte(s[:2])
	flags, flagsOK := hexByte(s[53:55])
	switch {
	case !versionOK || !flagsOK || version == 0xff:
		return t, false
	case version == 0 && len(s) != traceparentLen, len(s) > traceparentLen && s[traceparentLen] != '-':
		return t, false
	case !lowerHex(t.trace[:], s[3:35]) || !lowerHex(t.parent[:], s[36:52]):
		return t, false
	}
	t.sampled = flags&1 == 1
	return t, t.trace != [16]byte{} && t.parent != [8]byte{}
}

func hexByte(s string) (byte, bool) {
	var b [1]byte
	ok := lowerHex(b[:], s)
	return b[0], ok
}

// lowerHex decodes hexadecimal digits, which the specification has in lower case only.
func lowerHex(dst []byte, s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= 'A' && s[i] <= 'F' {
			return false
		}
	}
	_, err := hex.Decode(dst, []byte(s))
	return err == nil
}

// appendTo appends the field's value, with the flags of this version only.
func (t *traceContext) appendTo(b []byte) []byte {
	b = append(b, "00-"...)
	b = hex.AppendEncode(b, t.trace[:])
	b = append(b, '-')
	b = hex.AppendEncode(b, t.parent[:])
	if t.sampled {
		return append(b, "-01"...)
	}
	return append(b, "-00"...)
}

// screenTrace reads the trace that a request belongs to, and drops fields that do not say so validly: the specification
// has whoever gets such fields begin a new trace, and guests need not check again.
func screenTrace(r *exchange.Request) (t traceContext, ok bool) {
	parents, states := 0, false
	for i := range r.Fields {
		switch f := &r.Fields[i]; {
		case len(f.Name) == len(traceparent) && strings.EqualFold(f.Name, traceparent):
			parents++
			t, ok = parseTraceparent(f.Value)
		case len(f.Name) == len(tracestate) && strings.EqualFold(f.Name, tracestate):
			states = true
		}
	}
	if parents == 1 && ok {
		return t, true
	}
	if parents > 0 || states {
		r.Fields = slices.DeleteFunc(r.Fields, func(f exchange.Field) bool {
			return strings.EqualFold(f.Name, traceparent) || strings.EqualFold(f.Name, tracestate)
		})
	}
	return traceContext{}, false
}

const (
	traceparent = "traceparent"
	tracestate  = "tracestate"
)
