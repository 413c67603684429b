package sockets

import (
	"net"
	"net/netip"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// Listener is a listening socket in a worker, handed down by the arbiter, and the only owner of its descriptor there.
// It does not accept by itself: NewAcceptor takes it over.
type Listener struct {
	fd       int // -1 when closed
	name     string
	addr     net.Addr
	wildcard bool // connections have a more exact local address than the listener

	close func() error
}

// Adopt takes ownership of an inherited descriptor and makes it close-on-exec and non-blocking. name is what the arbiter
// calls the socket (Socket.Name); "" lets Adopt make one of its address. On an error, a fault if fd is not a listening
// stream socket, the descriptor stays the caller's.
func Adopt(fd int, name string) (*Listener, error) {
	if err := checkListening(fd); err != nil {
		return nil, err
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return nil, os.NewSyscallError("getsockname", err)
	}
	addr, err := addrOf(sa)
	if err != nil {
		return nil, err
	}
	unix.CloseOnExec(fd)
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	if name == "" {
		name = addr.URL(false)
	}
	ip, err := netip.ParseAddr(addr.Host)
	l := &Listener{fd: fd, name: name, addr: netAddrOf(sa), wildcard: err == nil && ip.IsUnspecified()}
	l.close = sync.OnceValue(func() error {
		l.fd = -1 // whoever uses it now must not meet the number's next owner
		return os.NewSyscallError("close", unix.Close(fd))
	})
	return l, nil
}

// Name returns the name given to Adopt.
func (l *Listener) Name() string { return l.name }

// Addr returns the address that the socket is bound to, a *net.TCPAddr or *net.UnixAddr.
func (l *Listener) Addr() net.Addr { return l.addr }

// Close closes the descriptor and leaves the socket, which is the arbiter's, listening. Only the first call does
// anything. A Listener that belongs to an Acceptor is closed by that one and not by its former owner.
func (l *Listener) Close() error { return l.close() }
