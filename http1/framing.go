package http1

import (
	"strings"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/internal/httprules"
)

// framing is what a head says about the length of the body (RFC 9112 §6). It is where requests are smuggled, so nothing
// is repaired: RFC 9112 §6.3 lets a server merge equal lengths and prefer Transfer-Encoding; this one refuses.
type framing struct {
	length  int64 // what Content-Length says
	sized   bool  // there is a Content-Length
	coded   bool  // there is a Transfer-Encoding
	chunked bool  // chunked is its last coding so far
	other   bool  // it names a coding that is not chunked
	broken  bool  // it is no list of codings, or names chunked ahead of the end
}

// The refusals of framing.
var (
	invalidLength = &httprules.Refusal{Status: 400, Cause: "invalid Content-Length"}
	manyLengths   = &httprules.Refusal{Status: 400, Cause: "more than one Content-Length"}
	bothLengths   = &httprules.Refusal{Status: 400, Cause: "Content-Length and Transfer-Encoding"}
	codedOld      = &httprules.Refusal{Status: 400, Cause: "Transfer-Encoding in HTTP/1.0"}
	invalidCoding = &httprules.Refusal{Status: 400, Cause: "invalid Transfer-Encoding"}
	unknownCoding = &httprules.Refusal{Status: 501, Cause: "transfer coding not served"}
)

// maxLengthDigits is how long a Content-Length may be: what int64 holds, whatever the digits.
const maxLengthDigits = 18

// contentLength takes a Content-Length: digits and nothing else.
func (f *framing) contentLength(v string) *httprules.Refusal {
	if f.sized {
		return manyLengths
	}
	f.sized = true
	if v == "" || len(v) > maxLengthDigits {
		return invalidLength
	}
	for i := range len(v) {
		if !digit(v[i]) {
			return invalidLength
		}
		f.length = f.length*10 + int64(v[i]-'0')
	}
	return nil
}

// transferEncoding takes a Transfer-Encoding field, which may be one of several.
func (f *framing) transferEncoding(v string) {
	f.coded = true
	if strings.EqualFold(v, "chunked") && !f.chunked {
		f.chunked = true
		return
	}
	for coding := range strings.SplitSeq(v, ",") {
		coding = strings.Trim(coding, " \t")
		f.broken = f.broken || f.chunked || !exchange.ValidName(coding)
		f.chunked = strings.EqualFold(coding, "chunked")
		f.other = f.other || !f.chunked
	}
}

// check decides on the framing as a whole. Codings that do not end in chunked leave the length open and must get 400;
// other codings under it are not served, which is 501 (RFC 9112 §6.1, §6.3).
func (f *framing) check(minor byte) *httprules.Refusal {
	switch {
	case !f.coded:
		return nil
	case f.sized:
		return bothLengths
	case minor == '0':
		return codedOld
	case f.broken || !f.chunked:
		return invalidCoding
	case f.other:
		return unknownCoding
	}
	return nil
}

// bodyLength returns the length as exchange.Request has it. The framing has been checked.
func (f *framing) bodyLength() int64 {
	if f.coded {
		return -1
	}
	return f.length
}
