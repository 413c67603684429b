package http1

import (
	"os"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// parkAfter is how long a connection waits for its next request in a goroutine. A goroutine is quick to go on but costs
// several times the memory of all else; connections that are idle for longer are parked.
const parkAfter = time.Second

// releaseAfter is after how many parked connections the stacks of their goroutines are given back to the system. The
// collector would do so some time, but it hardly ever runs in a server that allocates nothing for a request.
const (
	releaseAfter = 1000
	releaseEvery = 30 * time.Second
)

// lot holds connections that wait for their next request without a goroutine. One goroutine attends to all of them
// while there are any: it gives each back a goroutine when something arrives, and closes it at the end of keep-alive.
type lot struct {
	s *Server

	mu          sync.Mutex
	epoll       *os.File // nil before the first
	raw         syscall.RawConn
	conns       map[int32]*conn // by descriptor
	first, last *conn           // in the order of their ends, which is that of their coming
	attended    bool
	came        int           // since memory was last released
	release     time.Duration // when it may be again
}

// place is a connection's place in the lot.
type place struct {
	next, prev *conn
	fd         int32
	until      time.Duration // on the server's clock
}

// park takes a connection over from its goroutine, which must not touch it any more if park reports true.
func (l *lot) park(c *conn, until time.Duration) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.open() {
		return false
	}
	entered := false
	_ = c.raw.Control(func(fd uintptr) {
		event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLONESHOT, Fd: int32(fd)}
		c.place = place{fd: int32(fd), until: until, prev: l.last}
		entered = l.control(unix.EPOLL_CTL_ADD, c, &event)
	})
	if !entered {
		return false
	}
	l.conns[c.place.fd] = c
	if l.last != nil {
		l.last.place.next = c
	} else {
		l.first = c
	}
	l.last = c
	if l.came++; l.came >= releaseAfter && l.s.now() >= l.release {
		l.came, l.release = 0, l.s.now()+releaseEvery
		time.AfterFunc(parkAfter, debug.FreeOSMemory)
	}
	if !l.attended {
		l.attended = true
		go l.attend() // ends with the last parked connection
	}
	return true
}

// open makes the epoll instance, which waits in Go's poller itself.
func (l *lot) open() bool {
	if l.epoll != nil {
		return true
	}
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return false
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return false
	}
	l.epoll = os.NewFile(uintptr(fd), "parked connections")
	if l.raw, err = l.epoll.SyscallConn(); err != nil || l.epoll.SetReadDeadline(time.Time{}) != nil {
		l.epoll.Close()
		l.epoll = nil
		return false
	}
	l.conns = map[int32]*conn{}
	return true
}

// control changes what the epoll instance knows of a connection.
func (l *lot) control(op int, c *conn, event *unix.EpollEvent) (ok bool) {
	err := l.raw.Control(func(epoll uintptr) { ok = unix.EpollCtl(int(epoll), op, int(c.place.fd), event) == nil })
	return ok && err == nil
}

// attend waits for parked connections until there are none.
func (l *lot) attend() {
	var events [128]unix.EpollEvent
	for l.prepare() {
		n := 0
		err := l.raw.Read(func(epoll uintptr) bool {
			n, _ = unix.EpollWait(int(epoll), events[:], 0) // interrupted by a signal it is called again
			return n > 0
		})
		if err != nil {
			l.empty(l.s.now())
			continue
		}
		for i := range events[:max(n, 0)] {
			if c := l.leave(events[i].Fd); c != nil {
				c.woken = l.s.now()
				go c.serve() // ends with the connection, or when that is parked again; Empty waits for it
			}
		}
	}
}

// prepare sets the deadline of attend's next wait and reports whether there is anything to wait for.
func (l *lot) prepare() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.first == nil {
		l.attended = false
		return false
	}
	_ = l.epoll.SetReadDeadline(l.s.epoch.Add(l.first.place.until)) // it has succeeded before
	return true
}

// leave takes a connection out of the lot.
func (l *lot) leave(fd int32) *conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.conns[fd]
	if c != nil {
		l.unlink(c)
	}
	return c
}

// unlink takes a connection out of the lot. The caller holds mu.
func (l *lot) unlink(c *conn) {
	l.control(unix.EPOLL_CTL_DEL, c, nil)
	delete(l.conns, c.place.fd)
	p := c.place
	if p.prev != nil {
		p.prev.place.next = p.next
	} else {
		l.first = p.next
	}
	if p.next != nil {
		p.next.place.prev = p.prev
	} else {
		l.last = p.prev
	}
	c.place = place{}
}

// empty closes the connections whose keep-alive ends by a time.
func (l *lot) empty(by time.Duration) {
	for {
		l.mu.Lock()
		c := l.first
		if c == nil || c.place.until > by {
			l.mu.Unlock()
			return
		}
		l.unlink(c)
		l.mu.Unlock()
		c.nc.Close()
		l.s.remove(c)
	}
}

// close gives back what the lot has. Nothing is parked any more.
func (l *lot) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.epoll != nil {
		l.epoll.Close()
		l.epoll = nil
	}
}
