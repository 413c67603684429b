package sockets

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// openTCP opens one listening socket, or opts.Slots of them on the same port.
func openTCP(a Addr, v6only bool, opts Options) ([]*Socket, error) {
	var b []*Socket
	for i := range max(opts.Slots, 1) {
		s, err := openTCPSocket(a, v6only, i, opts)
		if err != nil {
			for _, opened := range b {
				err = errors.Join(err, opened.close(false))
			}
			return nil, err
		}
		a.Port = s.addr.Port // of port 0 the kernel made one; the other slots want the same
		b = append(b, s)
	}
	return b, nil
}

func openTCPSocket(a Addr, v6only bool, slot int, opts Options) (*Socket, error) {
	sa, err := a.sockaddr()
	if err != nil {
		return nil, err
	}
	family := unix.AF_INET
	if a.Network == TCP6 {
		family = unix.AF_INET6
	}
	// The protocol is named because Go's own listeners speak MPTCP, which TCP_INFO and Landlock treat differently.
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	if err := bindTCP(fd, sa, v6only, slot, opts); err != nil {
		return nil, errors.Join(err, os.NewSyscallError("close", unix.Close(fd)))
	}
	s, err := newSocket(fd, opts.TLS, nil)
	if err != nil {
		return nil, errors.Join(err, os.NewSyscallError("close", unix.Close(fd)))
	}
	return s, nil
}

// bindTCP makes fd a listening socket. The first slot binds before it asks for SO_REUSEPORT: that bind fails when
// anybody has the port, even another server of the same user with SO_REUSEPORT, which would otherwise take half of the
// connections unnoticed.
func bindTCP(fd int, sa unix.Sockaddr, v6only bool, slot int, opts Options) error {
	if err := setTCPOptions(fd); err != nil {
		return err
	}
	if err := setOption(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return err
	}
	if v6only {
		if err := setOption(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1); err != nil {
			return err
		}
	}
	if slot > 0 {
		if err := setOption(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
			return err
		}
	}
	if err := unix.Bind(fd, sa); err != nil {
		return os.NewSyscallError("bind", err)
	}
	if slot == 0 && opts.Slots > 0 {
		if err := setOption(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
			return err
		}
	}
	return os.NewSyscallError("listen", unix.Listen(fd, opts.Backlog))
}

// setTCPOptions sets on a listening socket what accepted connections inherit from it (tcp(7)), so that nothing has to be
// set for each of them: no Nagle delay, and keep-alive probes as package net sends them.
func setTCPOptions(fd int) error {
	for _, o := range []struct{ level, name, value int }{
		{unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
		{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 15},
		{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 15},
		{unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 9},
	} {
		if err := setOption(fd, o.level, o.name, o.value); err != nil {
			return err
		}
	}
	return nil
}

func setOption(fd, level, name, value int) error {
	return os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, level, name, value))
}
