package http1

import (
	"bytes"
	"errors"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/internal/httprules"
)

const (
	// maxChunkLine is the length of the longest chunk-size line, extensions included, in bytes.
	maxChunkLine = 1 << 10
	// maxSizeDigits is how many digits a chunk's size may have: what int64 holds, whatever the digits.
	maxSizeDigits = 15
	// maxExcess is by how many bytes chunk-size lines may outweigh the data, as in net/http. Each chunk has 16 free.
	maxExcess = 16 << 10
	freeLine  = 16
)

// The errors of chunked bodies.
var (
	errChunkSize    = errors.New("invalid chunk size")
	errChunkExt     = errors.New("invalid chunk extension")
	errChunkLong    = errors.New("chunk-size lines too long")
	errChunkEnd     = errors.New("chunk longer than its size")
	errTrailer      = errors.New("invalid trailer field")
	errTrailerName  = errors.New("field that may not be a trailer")
	errTrailerLimit = errors.New("trailer fields over the limits")
)

// chunkState is what comes next in a chunked body.
type chunkState int

const (
	atSize chunkState = iota
	inData
	atDataEnd
	inTrailers
	atEnd
)

// chunks takes the chunked coding apart (RFC 9112 §7.1). Sizes and line ends must be exactly as the grammar says:
// servers that differ here is how chunked requests are smuggled.
type chunks struct {
	state   chunkState
	left    int64 // data bytes of the running chunk
	excess  int64
	scanned int // how much of the unread line has been looked through for its end
	count   int // trailer field lines
	room    int // bytes of them that may still come
}

// advance consumes what is not data. ready says that data follows, left bytes of it, or that the body has ended;
// otherwise more input is needed.
func (k *chunks) advance(in *input, l *Limits, trailers *exchange.Fields) (ready bool, err error) {
	for {
		switch k.state {
		case inData:
			if k.left > 0 {
				return true, nil
			}
			k.state = atDataEnd
		case atDataEnd:
			unread := in.unread()
			if n := min(len(unread), 2); string(unread[:n]) != "\r\n"[:n] {
				return false, errChunkEnd
			} else if n < 2 {
				return false, nil
			}
			in.skip(2)
			k.state = atSize
		case atEnd:
			return true, nil
		default:
			line, err := k.line(in)
			if line == nil || err != nil {
				return false, err
			}
			if k.state == atSize {
				err = k.size(line, l)
			} else {
				err = k.trailer(line, l, trailers)
			}
			if err != nil {
				return false, err
			}
		}
	}
}

// line returns the next line without its end, nil if it is not all there.
func (k *chunks) line(in *input) ([]byte, error) {
	unread := in.unread()
	most, tooLong := maxChunkLine, errChunkLong
	if k.state == inTrailers {
		most, tooLong = k.room, errTrailerLimit
	}
	i := bytes.IndexByte(unread[k.scanned:], '\n')
	if i < 0 {
		if k.scanned = len(unread); k.scanned > most {
			return nil, tooLong
		}
		return nil, nil
	}
	i += k.scanned
	k.scanned = 0
	switch {
	case i == 0 || unread[i-1] != '\r':
		return nil, errChunkSize
	case i > most:
		return nil, tooLong
	}
	if k.state == inTrailers {
		k.room -= i + 1
		in.consume(i + 1)
	} else {
		in.skip(i + 1)
	}
	return unread[: i-1 : i-1], nil
}

// size reads a chunk-size line.
func (k *chunks) size(line []byte, l *Limits) error {
	n, digits := int64(0), 0
	for ; digits < len(line); digits++ {
		v := hexValue(line[digits])
		if v < 0 {
			break
		}
		if digits == maxSizeDigits {
			return errChunkSize
		}
		n = n<<4 | int64(v)
	}
	if digits == 0 {
		return errChunkSize
	}
	if ext := line[digits:]; len(ext) > 0 && !validExtensions(ext) {
		return errChunkExt
	}
	if k.excess = max(0, k.excess+int64(len(line)+2)-freeLine-2*n); k.excess > maxExcess {
		return errChunkLong
	}
	k.left, k.state = n, inData
	if n == 0 {
		k.state, k.room = inTrailers, l.HeadRoom()
	}
	return nil
}

func hexValue(c byte) int {
	switch {
	case digit(c):
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// validExtensions reports whether b is a list of chunk extensions: each a semicolon, a name, and perhaps = and a token
// or quoted string, with blanks around (RFC 9112 §7.1.1). Nothing here knows any; they are checked and dropped.
func validExtensions(b []byte) bool {
	for len(b) > 0 {
		b = skipBlanks(b)
		if len(b) == 0 || b[0] != ';' {
			return false
		}
		n := tokenLen(skipBlanks(b[1:]))
		if n == 0 {
			return false
		}
		b = skipBlanks(b[1:])[n:]
		after := skipBlanks(b)
		if len(after) == 0 || after[0] != '=' {
			continue
		}
		after = skipBlanks(after[1:])
		if n = tokenLen(after); n == 0 {
			n = quotedLen(after)
		}
		if n == 0 {
			return false
		}
		b = after[n:]
	}
	return true
}

func skipBlanks(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	return b
}

// tokenLen returns the length of the token that b begins with.
func tokenLen(b []byte) int {
	n := 0
	for n < len(b) && exchange.ValidName(text(b[n:n+1])) {
		n++
	}
	return n
}

// quotedLen returns the length of the quoted string that b begins with (RFC 9110 §5.6.4), 0 without one.
func quotedLen(b []byte) int {
	if len(b) == 0 || b[0] != '"' {
		return 0
	}
	for i := 1; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			return i + 1
		case c == '\\':
			i++
			if i == len(b) || !clean(b[i:i+1]) {
				return 0
			}
		case c < ' ' && c != '\t' || c == 0x7f:
			return 0
		}
	}
	return 0
}

// trailer reads a line of the trailer section. Fields that could change what the head said are refused rather than
// dropped: nobody sends them in good faith.
func (k *chunks) trailer(line []byte, l *Limits, trailers *exchange.Fields) error {
	if len(line) == 0 {
		k.state = atEnd
		return nil
	}
	k.count++
	if l.Fields > 0 && k.count > l.Fields || l.FieldSize > 0 && len(line)+2 > l.FieldSize {
		return errTrailerLimit
	}
	f, bad := splitField(line)
	switch {
	case bad != nil:
		return errTrailer
	case !exchange.MayTrail(f.Name):
		return errTrailerName
	case !httprules.Hidden(f.Name):
		trailers.Add(f.Name, f.Value)
	}
	return nil
}
