// Package hangup closes connections so that the peer can tell what happened: that the response was the last, or that
// it is not whole. The front ends call it at the end of a connection; it knows no HTTP.
package hangup

import (
	"errors"
	"io"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// lingerTime and lingerBytes bound what is read from a connection after its last response, as in gunicorn.
const (
	lingerTime  = 2 * time.Second
	lingerBytes = 64 << 10
)

// Linger ends the sending side and reads on until the peer has ended, too, for 2 seconds and 64 KiB at most. Closing
// a socket that holds unread data, or that data arrives at, resets it, and the reset may overtake the last response. The
// caller closes the connection; doing so from another goroutine cuts Linger short.
func Linger(nc net.Conn) {
	if err := control(nc, func(fd int) error { return unix.Shutdown(fd, unix.SHUT_WR) }); err != nil {
		return // the peer is gone, or it is no socket
	}
	if err := nc.SetReadDeadline(time.Now().Add(lingerTime)); err != nil {
		return
	}
	_, _ = io.CopyN(io.Discard, nc, lingerBytes) // any end of it is an end
}

// Reset makes the Close that the caller is about to call a reset, for a response whose only end is the connection's.
// Where that cannot be done the peer sees an orderly end.
func Reset(nc net.Conn) {
	_ = control(nc, func(fd int) error {
		return unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	})
}

// Pending reports whether the peer has sent something that nobody has read.
func Pending(nc net.Conn) bool {
	var one [1]byte
	err := control(nc, func(fd int) error {
		n, _, err := unix.Recvfrom(fd, one[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		if err == nil && n == 0 {
			return io.EOF
		}
		return err
	})
	return err == nil
}

// control runs f on the connection's descriptor.
func control(nc net.Conn, f func(fd int) error) error {
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return errors.ErrUnsupported
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return err
	}
	var ferr error
	if err := raw.Control(func(fd uintptr) { ferr = f(int(fd)) }); err != nil {
		return err
	}
	return ferr
}
