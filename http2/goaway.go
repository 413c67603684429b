package http2

import (
	"crypto/tls"
	"encoding/binary"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"

	"github.com/appserver-go/appserver/internal/link"
)

// goAwayTime is how long a client that was asked to go away has for the requests that it has sent before it has read that.
const goAwayTime = time.Second

// goAwaySoon asks the client, once, to bring no more requests on the connection. It does not wait.
//
// There are two steps (RFC 9113 §6.8). The first GOAWAY names the highest stream there can be: whatever the client sends
// before it reads it is served. The library knows only the second step, which names the last stream it has seen, and drops
// what comes after that; it is taken goAwayTime after the first, at once or with the next response.
func (c *conn) goAwaySoon() {
	if !c.frames.ask() || !c.enter() {
		return
	}
	go func() { // ends with the write, which is bounded; wait waits for it
		defer c.leave()
		c.frames.goAway()
	}()
}

// mustEnd reports whether the second step is due.
func (c *conn) mustEnd() bool {
	f := &c.frames
	f.asking.Lock()
	defer f.asking.Unlock()
	return c.s.parting.Load() || !f.asked.IsZero() && time.Since(f.asked) >= goAwayTime
}

// frames is the connection that the library writes frames to. It finds the bounds between them, where a frame of our own
// can be put in.
type frames struct {
	net.Conn
	stall time.Duration

	asking sync.Mutex
	asked  time.Time // when the client was asked to go away; zero if it was not

	mu      sync.Mutex
	pending bool // a GOAWAY waits for the next bound
	begun   bool // the first frame, which must be the settings, was written
	failed  bool
	left    int // bytes of the current frame's payload that are still to be written
	head    [frameHead]byte
	have    int // bytes of the next frame's head that were written

	heads, resets int64        // frames written of these kinds
	served        atomic.Int64 // requests that the library has let through
}

// These bound how many requests of a connection the library may have refused by itself. It answers heads that are too large
// with 431 each, and malformed ones with a reset, and would go on decoding them for as long as they come: a few bytes make
// megabytes of one (HPACK bombs).
const (
	maxRefused   = 50
	headsOfOne   = 20 // frames that a request which was let through may have: interim responses, the head, trailers
	resetsOfOne  = 20 // of a body that nobody wants any more, each frame on its way is answered with one
	maxMalformed = 100
)

// frameHead is the size of a frame's head (RFC 9113 §4.1).
const frameHead = 9

// ask notes that the client is to be asked to go away and reports whether it was not asked before.
func (f *frames) ask() bool {
	f.asking.Lock()
	defer f.asking.Unlock()
	if !f.asked.IsZero() {
		return false
	}
	f.asked = time.Now()
	return true
}

// goAway writes the GOAWAY of the first step now or, in the middle of a frame, at its end.
func (f *frames) goAway() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pending = true
	if f.stall > 0 {
		_ = f.Conn.SetWriteDeadline(time.Now().Add(f.stall))
	}
	f.flush()
	_ = f.Conn.SetWriteDeadline(time.Time{}) // as the library leaves it
}

// flush writes a GOAWAY that waits, if this is a bound. The caller holds mu.
func (f *frames) flush() {
	if !f.pending || !f.begun || f.failed || f.left > 0 || f.have > 0 {
		return
	}
	f.pending = false
	f.writeGoAway(http2.ErrCodeNo)
}

// writeGoAway writes a GOAWAY that names the highest stream there can be. The caller holds mu.
func (f *frames) writeGoAway(code http2.ErrCode) {
	frame := [frameHead + 8]byte{2: 8, 3: byte(http2.FrameGoAway)}
	binary.BigEndian.PutUint32(frame[frameHead:], 1<<31-1)
	binary.BigEndian.PutUint32(frame[frameHead+4:], uint32(code))
	if _, err := f.Conn.Write(frame[:]); err != nil {
		f.failed = true // whatever the library writes next fails, too
	}
}

// calm ends the connection of a client that does nothing but harm. The caller holds mu.
func (f *frames) calm() {
	if f.left == 0 && f.have == 0 && !f.failed {
		f.writeGoAway(http2.ErrCodeEnhanceYourCalm)
	}
	f.failed = true
	f.Conn.Close() // the library finds out when it reads
}

// Write implements net.Conn. It is called by one goroutine at a time.
func (f *frames) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.Conn.Write(p)
	f.follow(p[:n])
	f.failed = f.failed || err != nil
	if n := f.served.Load(); !f.failed && (f.heads > headsOfOne*n+maxRefused || f.resets > resetsOfOne*n+maxMalformed) {
		f.calm()
	}
	f.flush()
	return n, err
}

// follow finds the bounds in what was written.
func (f *frames) follow(p []byte) {
	for len(p) > 0 {
		if f.left > 0 {
			n := min(f.left, len(p))
			f.left, p = f.left-n, p[n:]
			continue
		}
		n := copy(f.head[f.have:], p)
		f.have, p = f.have+n, p[n:]
		if f.have == frameHead {
			f.have, f.begun = 0, true
			switch http2.FrameType(f.head[3]) {
			case http2.FrameHeaders:
				f.heads++
			case http2.FrameRSTStream:
				f.resets++
			}
			f.left = int(f.head[0])<<16 | int(f.head[1])<<8 | int(f.head[2])
		}
	}
}

// stater is a connection with TLS.
type stater interface{ ConnectionState() tls.ConnectionState }

// secureFrames lets the library see that the connection has TLS, and which.
type secureFrames struct {
	*frames
	stater
}

// rewind returns the stream of a link from its first byte on.
func rewind(l *link.Link) net.Conn {
	if len(l.Early) == 0 {
		return l.Stream
	}
	return link.Rewound(l.Stream, l.Early)
}
