package scoreboard

import (
	"encoding/binary"
	"sync/atomic"
	"time"
	"unsafe"
)

// A row is: sequence, serial, start time, whether it was answered, then the request's texts, each as a 2-byte length and its bytes. The sequence
// makes it a seqlock: odd while the row is written. A reader that sees the same even number before and after has read what
// was written between two changes of it, whose accesses are atomic and so order the others.
const (
	rowSeq    = 0
	rowSerial = 1 // counts the slot's requests; odd while one is in it
	rowStart  = 2 // when it began, Unix nanoseconds, for people; the arbiter times with its own clock
	rowDone   = 3 // 1 when the client has its answer while the guest still runs
	rowText   = 4
	textSize  = rowSize - rowText*8

	readTries = 8
)

// Call is what a row tells of a request: enough for the access-log line of a request whose worker was killed. Texts
// are cut to fit the row, the target last.
type Call struct {
	ID, Method, Proto, RemoteAddr, Host, Referer, UserAgent, Target string
}

// The room for each text of a row, in the order of Call; the target gets what the others leave.
var textLimits = [...]int{64, 24, 10, 64, 96, 128, 128, textSize}

func (c *Call) texts() [8]*string {
	return [8]*string{&c.ID, &c.Method, &c.Proto, &c.RemoteAddr, &c.Host, &c.Referer, &c.UserAgent, &c.Target}
}

// Entry is a row as read.
type Entry struct {
	// Busy says that a request is in the slot.
	Busy bool
	// Answered says that the request has been answered and logged, although the guest could not be stopped and still
	// holds the slot.
	Answered bool
	// Serial changes whenever a request enters or leaves the slot. Equal serials mean the very same request.
	Serial uint64
	// Started is when the request entered the slot by the worker's wall clock.
	Started time.Time
	// Call is the request.
	Call Call
}

// Row is one slot's row. Begin, Answered and End are for the goroutine that holds the slot.
type Row struct {
	mem []byte // rowSize bytes of the board
}

// Row returns the i-th row, from 0.
func (b *Board) Row(i int) Row {
	off := headerSize + i*rowSize
	return Row{mem: b.mem[off : off+rowSize : off+rowSize]}
}

func (r Row) word(i int) *atomic.Uint64 {
	return (*atomic.Uint64)(unsafe.Pointer(&r.mem[i*8]))
}

// Begin records that a request entered the slot.
func (r Row) Begin(c *Call, start time.Time) {
	r.word(rowSeq).Add(1)
	r.word(rowStart).Store(uint64(start.UnixNano()))
	r.word(rowDone).Store(0)
	r.putTexts(c)
	r.word(rowSerial).Store(r.word(rowSerial).Load() | 1)
	r.word(rowSeq).Add(1)
}

// encode writes the texts of a call into a row's room for them and returns how much of it they take.
func (c *Call) encode(text []byte) (n int) {
	for i, s := range c.texts() {
		room := min(textLimits[i], textSize-n-2)
		t := *s
		if len(t) > room {
			t = t[:max(room, 0)]
		}
		if n+2 > textSize {
			break
		}
		binary.LittleEndian.PutUint16(text[n:], uint16(len(t)))
		n += 2 + copy(text[n+2:], t)
	}
	return n
}

// Answered records that the request has its answer while its guest still runs.
func (r Row) Answered() { r.word(rowDone).Store(1) }

// End records that the request left the slot.
func (r Row) End() {
	r.word(rowSerial).Store(r.word(rowSerial).Load()&^1 + 2)
}

// read returns the row's content. Lengths come from the worker and are checked.
func (r Row) read() Entry {
	var e Entry
	for range readTries {
		seq := r.word(rowSeq).Load()
		e = Entry{Serial: r.word(rowSerial).Load()}
		e.Busy = e.Serial&1 == 1
		if !e.Busy {
			return e
		}
		e.Answered = r.word(rowDone).Load() == 1
		e.Started = time.Unix(0, int64(r.word(rowStart).Load()))
		var text [textSize]byte
		for w := range textSize / 8 {
			binary.LittleEndian.PutUint64(text[w*8:], r.word(rowText+w).Load())
		}
		if seq&1 == 0 && r.word(rowSeq).Load() == seq {
			e.Call = parseTexts(text[:])
			return e
		}
	}
	return e
}

func parseTexts(text []byte) Call {
	var c Call
	for _, s := range c.texts() {
		if len(text) < 2 {
			break
		}
		n := int(binary.LittleEndian.Uint16(text))
		text = text[2:]
		if n > len(text) {
			break
		}
		*s = string(text[:n])
		text = text[n:]
	}
	return c
}
