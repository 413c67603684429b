package sockets

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// ErrClosed is what a closed Socket, Listener or Acceptor returns. errors.Is also finds net.ErrClosed in it.
var ErrClosed = fmt.Errorf("socket is closed: %w", net.ErrClosed)

// Socket is a listening socket and the only owner of its descriptor, which is close-on-exec and non-blocking. Its
// methods may be called by several goroutines.
type Socket struct {
	addr Addr
	name string
	file *socketFile // the file of a unix socket that is ours to remove, or nil
	lent bool        // opened by somebody who may go on with it

	mu     sync.RWMutex
	fd     int  // -1 when closed
	shared bool // another arbiter has it too and may go on with it
}

// newSocket takes ownership of fd, a listening socket, and reads its address.
func newSocket(fd int, tls bool, file *socketFile) (*Socket, error) {
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return nil, os.NewSyscallError("getsockname", err)
	}
	addr, err := addrOf(sa)
	if err != nil {
		return nil, err
	}
	return &Socket{addr: addr, name: addr.URL(tls), file: file, fd: fd}, nil
}

// Name returns the address as people see it, with the port that the kernel chose: "http://127.0.0.1:8000",
// "unix:/run/appserver.sock". It is that of the settings with which the socket was opened; see Set.SocketNames.
func (s *Socket) Name() string { return s.name }

// Addr returns the address that the socket is bound to, as the kernel tells it.
func (s *Socket) Addr() Addr { return s.addr }

// Control calls f with the descriptor, which stays open and valid until f returns and must not be closed or kept by
// it. Passing it to syscall.ForkExec in f is fine. It returns ErrClosed after Close.
func (s *Socket) Control(f func(fd uintptr)) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.fd < 0 {
		return ErrClosed
	}
	f(uintptr(s.fd))
	return nil
}

// Queue returns how many connections wait to be accepted and how many may. Linux tells it for TCP only (tcp(7),
// TCP_INFO of a listening socket); other sockets give EOPNOTSUPP.
func (s *Socket) Queue() (waiting, limit int, err error) {
	ctrlErr := s.Control(func(fd uintptr) {
		var info *unix.TCPInfo
		if !s.addr.isTCP() {
			err = os.NewSyscallError("getsockopt", unix.EOPNOTSUPP)
			return
		}
		if info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err != nil {
			err = os.NewSyscallError("getsockopt", err)
			return
		}
		waiting, limit = int(info.Unacked), int(info.Sacked)
	})
	return waiting, limit, errors.Join(ctrlErr, err)
}

// NetListener returns a net.Listener on a duplicate of the descriptor, for servers of the process that has opened the
// socket itself. It goes through Go's poller. Closing it leaves the socket listening.
func (s *Socket) NetListener() (net.Listener, error) {
	var l net.Listener
	var err error
	ctrlErr := s.Control(func(fd uintptr) {
		var dup int
		if dup, err = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0); err != nil {
			return
		}
		f := os.NewFile(uintptr(dup), s.Name())
		defer f.Close() // the listener has a duplicate of its own
		l, err = net.FileListener(f)
	})
	if err := errors.Join(ctrlErr, err); err != nil {
		return nil, fmt.Errorf("listen on %s: %w", s.Name(), err)
	}
	return l, nil
}

// close closes the descriptor once. With unlink it first removes the file of a unix socket if it is still ours: while
// the socket is open its inode cannot be reused, so a file with the same inode is this socket's.
func (s *Socket) close(unlink bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fd < 0 {
		return nil
	}
	var unlinkErr error
	if unlink && s.file != nil && !s.shared {
		unlinkErr = s.file.remove()
	}
	err := os.NewSyscallError("close", unix.Close(s.fd))
	s.fd = -1
	return errors.Join(unlinkErr, err)
}
