package stdio

import (
	"io"
	"sync"
)

// pipeSize is what a pipe holds, the size of a pipe in Linux. With less, or nothing, a guest that answers before it has
// read the whole of a small body would leave the server waiting to write the rest.
const pipeSize = 64 << 10

// pipe is one direction of the connection between the server and a guest. Unlike io.Pipe it has a buffer. One goroutine
// may write while another reads.
type pipe struct {
	mu      sync.Mutex
	changed sync.Cond
	buf     [pipeSize]byte
	start   int // of what is in the buffer, which is a ring
	size    int
	ended   bool // no more will be written
	broken  bool // no more will be read
	waiting bool // the reader waits
}

func newPipe() *pipe {
	p := &pipe{}
	p.changed.L = &p.mu
	return p
}

// Read waits until there is something to read. The error is io.EOF at the end.
func (p *pipe) Read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(b) == 0 {
		return 0, nil
	}
	for p.size == 0 {
		if p.ended || p.broken {
			return 0, io.EOF
		}
		p.waiting = true
		p.changed.Broadcast()
		p.changed.Wait()
	}
	p.waiting = false
	n := copy(b, p.buf[p.start:min(p.start+p.size, pipeSize)])
	p.start = (p.start + n) % pipeSize
	p.size -= n
	p.changed.Broadcast()
	return n, nil
}

// Write waits until all of b fits. The error is io.ErrClosedPipe once the pipe is ended or broken.
func (p *pipe) Write(b []byte) (n int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(b) > 0 {
		for p.size == pipeSize && !p.ended && !p.broken {
			p.changed.Wait()
		}
		if p.ended || p.broken {
			return n, io.ErrClosedPipe
		}
		at := (p.start + p.size) % pipeSize
		end := pipeSize
		if at < p.start {
			end = p.start
		}
		m := copy(p.buf[at:end], b)
		p.size += m
		b, n = b[m:], n+m
		p.changed.Broadcast()
	}
	return n, nil
}

// end has the reader find the end behind what is in the pipe.
func (p *pipe) end() { p.close(&p.ended) }

// cut has both sides fail at once, save for what the reader finds in the pipe.
func (p *pipe) cut() { p.close(&p.broken) }

func (p *pipe) close(flag *bool) {
	p.mu.Lock()
	*flag = true
	p.mu.Unlock()
	p.changed.Broadcast()
}

// wanted waits until the reader waits for more than there is. It reports false when the pipe is ended or broken.
func (p *pipe) wanted() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for !(p.waiting && p.size == 0) && !p.ended && !p.broken {
		p.changed.Wait()
	}
	return !p.ended && !p.broken
}

// empty reports whether there is nothing to read at this moment.
func (p *pipe) empty() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.size == 0
}
