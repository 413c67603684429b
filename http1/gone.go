package http1

import (
	"net"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Gone reports whether the client has given the connection up, so that nobody will read the response. It may be called
// from any goroutine while the handler runs, and not later. It costs a system call.
//
// The kernel tells at once of a connection that was reset, and of unix sockets that were closed. A TCP client that closes
// and one that only ends its sending side look the same, and the second is to get its response. So the first time Gone sees
// an end it sends an interim response, which a client must take any number of (RFC 9110 §15.2); a closed socket answers
// it with a reset, which a later call sees. Once a part of the response is out, the rest of it does the same.
//
// A connection under TLS is gone when its sending side has ended: TLS clients do not wait for anything then.
func (c *Call) Gone() bool {
	nc := c.conn
	ended, gone := nc.hungUp()
	switch {
	case gone || !ended:
		return gone
	case !nc.direct:
		return true
	}
	if c.head.minor == '1' {
		nc.probe()
	}
	return false
}

// hungUp asks the kernel whether the peer has ended its sending side, and whether the connection is of no use any more. It
// knows nothing of connections without a descriptor.
func (c *conn) hungUp() (ended, gone bool) {
	raw := c.raw
	if raw == nil {
		if raw = descriptor(c.nc); raw == nil {
			return false, false
		}
	}
	_ = raw.Control(func(fd uintptr) { // fails on closed connections, which end by themselves
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
		if n, err := unix.Poll(fds, 0); n > 0 && err == nil {
			ended = fds[0].Revents&unix.POLLRDHUP != 0
			gone = fds[0].Revents&(unix.POLLHUP|unix.POLLERR) != 0
		}
	})
	return ended, gone
}

// descriptor returns access to the descriptor under a connection, nil if there is none.
func descriptor(nc net.Conn) syscall.RawConn {
	for nc != nil {
		if sc, ok := nc.(syscall.Conn); ok {
			if raw, err := sc.SyscallConn(); err == nil {
				return raw
			}
		}
		wrapper, ok := nc.(interface{ NetConn() net.Conn }) // *tls.Conn is one
		if !ok {
			break
		}
		nc = wrapper.NetConn()
	}
	return nil
}

// probing is what the goroutine of a connection and Gone agree on before they write.
type probing struct {
	mu     sync.Mutex // held while writing
	silent bool       // nothing of the running response was sent yet, nor a probe
	begun  bool       // something of it was, interim responses aside
	rest   string     // of a probe that did not fit the socket's buffer
}

// probe makes a closed peer reset the connection. It does nothing where the response does that.
func (c *conn) probe() {
	if !c.probing.mu.TryLock() {
		return
	}
	defer c.probing.mu.Unlock()
	if !c.probing.silent {
		return
	}
	c.probing.silent = false
	c.probing.rest = continueLine
	_ = c.raw.Control(func(fd uintptr) {
		// What does not fit goes out ahead of the response, and an error shows itself there, too.
		if n, err := unix.SendmsgN(int(fd), []byte(continueLine), nil, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL); err == nil {
			c.probing.rest = continueLine[n:]
		}
	})
}
