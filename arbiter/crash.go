package arbiter

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// crashPart is how much is kept of the beginning, and again of the end, of what a worker writes to its standard error.
// The beginning has the reason of a Go crash and the stack of the guilty goroutine.
const crashPart = 8 << 10

// crashLog keeps the first and the last bytes written to it.
type crashLog struct {
	head []byte
	tail []byte // a ring once it is full
	next int    // where the ring is written next
	lost int64
}

func (c *crashLog) write(p []byte) {
	n := min(len(p), crashPart-len(c.head))
	c.head = append(c.head, p[:n]...)
	for _, b := range p[n:] {
		if len(c.tail) < crashPart {
			c.tail = append(c.tail, b)
			continue
		}
		c.tail[c.next] = b
		c.next = (c.next + 1) % crashPart
		c.lost++
	}
}

// String returns what was kept, with a note of what is missing in between, as valid UTF-8.
func (c *crashLog) String() string {
	var b strings.Builder
	b.Write(c.head)
	if c.lost > 0 {
		fmt.Fprintf(&b, "\n[%d bytes left out]\n", c.lost)
	}
	b.Write(c.tail[c.next:])
	b.Write(c.tail[:c.next])
	return strings.TrimRight(strings.ToValidUTF8(b.String(), "\uFFFD"), "\n")
}

// crashPipe makes the pipe of a worker's standard error. The worker's end must block, or the Go runtime, which does
// not try again, would lose what does not fit; the arbiter's end must not.
func crashPipe() (r, w *os.File, err error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return nil, nil, fmt.Errorf("make pipe: %w", err)
	}
	if err := unix.SetNonblock(fds[0], true); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("make pipe: %w", err), unix.Close(fds[0]), unix.Close(fds[1]))
	}
	return os.NewFile(uintptr(fds[0]), "stderr"), os.NewFile(uintptr(fds[1]), "stderr"), nil
}

// readFrom reads f to its end. A read deadline ends it too, after what is in the pipe already: a process that the
// worker started may hold the other end for ever.
func (c *crashLog) readFrom(f *os.File) {
	buf := make([]byte, 4<<10)
	for {
		n, err := f.Read(buf)
		c.write(buf[:n])
		if errors.Is(err, os.ErrDeadlineExceeded) {
			c.readRest(f, buf)
			return
		}
		if err != nil {
			return
		}
	}
}

// readRest reads what a full pipe can hold, and no more, without waiting.
func (c *crashLog) readRest(f *os.File, buf []byte) {
	const pipeSize = 1 << 20 // the largest that an unprivileged process can make
	raw, err := f.SyscallConn()
	if err != nil {
		return
	}
	raw.Control(func(fd uintptr) {
		for range pipeSize / len(buf) {
			n, err := unix.Read(int(fd), buf)
			if n <= 0 || err != nil {
				return
			}
			c.write(buf[:n])
		}
	})
}
