package sockets

import (
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Conn is an accepted connection. It behaves like a *net.TCPConn or *net.UnixConn, errors included, and may be used by
// several goroutines at once; writing to a connection that the peer has closed is an error and never a SIGPIPE.
type Conn struct {
	file   *os.File // on the non-blocking descriptor, so Go's netpoller serves it
	remote net.Addr
	local  func() net.Addr
	closed atomic.Bool
}

// newConn takes ownership of fd, also beside an error.
func newConn(fd int, l *Listener, peer unix.Sockaddr) (*Conn, error) {
	if fd <= 2 { // the Go runtime raises SIGPIPE for the descriptors of the standard streams
		high, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
		unix.Close(fd)
		if err != nil {
			return nil, os.NewSyscallError("fcntl", err)
		}
		fd = high
	}
	c := &Conn{file: os.NewFile(uintptr(fd), "connection"), remote: netAddrOf(peer)}
	// The netpoller can refuse a descriptor for want of memory; NewFile does not tell, only missing deadlines do.
	if c.file.SetDeadline(time.Time{}) != nil {
		c.file.Close()
		return nil, os.NewSyscallError("epoll_ctl", unix.ENOMEM)
	}
	c.local = l.Addr
	if l.wildcard {
		c.local = sync.OnceValue(func() net.Addr { return c.localOr(l.Addr()) })
	}
	return c, nil
}

// localOr asks the kernel for the connection's own address.
func (c *Conn) localOr(fallback net.Addr) net.Addr {
	addr := fallback
	_ = c.control(func(fd int) error { // when closed, the fallback has to do
		sa, err := unix.Getsockname(fd)
		if known := netAddrOf(sa); err == nil && known != nil {
			addr = known
		}
		return nil
	})
	return addr
}

// Read reads up to len(b) bytes. It returns io.EOF when the peer has closed its side.
func (c *Conn) Read(b []byte) (int, error) {
	n, err := c.file.Read(b)
	return n, c.opError("read", err)
}

// Write writes all of b, or returns an error.
func (c *Conn) Write(b []byte) (int, error) {
	n, err := c.file.Write(b)
	return n, c.opError("write", err)
}

// Close closes the connection; waiting calls return an error. A second Close returns one, as with package net.
func (c *Conn) Close() error {
	c.closed.Store(true)
	return c.opError("close", c.file.Close())
}

// CloseWrite sends the peer the end of the stream; reading goes on.
func (c *Conn) CloseWrite() error { return c.shutdown(unix.SHUT_WR) }

// CloseRead ends reading: waiting and later reads return io.EOF.
func (c *Conn) CloseRead() error { return c.shutdown(unix.SHUT_RD) }

func (c *Conn) shutdown(how int) error {
	return c.opError("close", c.control(func(fd int) error {
		return os.NewSyscallError("shutdown", unix.Shutdown(fd, how))
	}))
}

// LocalAddr returns the address on this side, a *net.TCPAddr or *net.UnixAddr.
func (c *Conn) LocalAddr() net.Addr { return c.local() }

// RemoteAddr returns the peer's address. That of a unix socket's client usually has the name "@", as with package net.
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline is SetReadDeadline and SetWriteDeadline.
func (c *Conn) SetDeadline(t time.Time) error { return c.opError("set", c.file.SetDeadline(t)) }

// SetReadDeadline makes reads fail with os.ErrDeadlineExceeded from t on, waiting ones included; the zero time never.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.opError("set", c.file.SetReadDeadline(t)) }

// SetWriteDeadline makes writes fail with os.ErrDeadlineExceeded from t on, waiting ones included; the zero time never.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	return c.opError("set", c.file.SetWriteDeadline(t))
}

// SyscallConn gives access to the descriptor without changing its mode.
func (c *Conn) SyscallConn() (syscall.RawConn, error) {
	raw, err := c.file.SyscallConn()
	return raw, c.opError("raw-conn", err)
}

func (c *Conn) control(f func(fd int) error) error {
	raw, err := c.file.SyscallConn()
	if err != nil {
		return err
	}
	ctrlErr := raw.Control(func(fd uintptr) { err = f(int(fd)) })
	return errors.Join(ctrlErr, err)
}

// opError makes of an error of os.File the one that package net would return.
func (c *Conn) opError(op string, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		err = pathErr.Err
	}
	var errno syscall.Errno
	var sysErr *os.SyscallError
	switch {
	case c.closed.Load() || errors.Is(err, os.ErrClosed):
		err = net.ErrClosed
	case errors.As(err, &sysErr):
		err = sysErr
	case errors.As(err, &errno):
		err = os.NewSyscallError(op, errno)
	}
	return &net.OpError{Op: op, Net: c.remote.Network(), Source: c.LocalAddr(), Addr: c.remote, Err: err}
}
