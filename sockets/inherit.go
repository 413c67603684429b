package sockets

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/appserver-go/appserver/internal/fault"
)

// firstInherited is the first descriptor of socket activation, SD_LISTEN_FDS_START of sd_listen_fds(3).
const firstInherited = 3

// Inherit reads the socket activation protocol of sd_listen_fds(3): LISTEN_FDS descriptors from 3 on, if LISTEN_PID is
// pid. It marks them close-on-exec and returns them beside the environment without the protocol's variables, which are
// dropped in any case because no child of ours is meant by them. fds is empty when there are none; they are not checked
// to be sockets, ListenInherited does that.
func Inherit(environ []string, pid int) (fds []int, rest []string, err error) {
	vars := map[string]string{}
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		switch name {
		case "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID":
			vars[name] = value
		default:
			rest = append(rest, entry)
		}
	}
	if vars["LISTEN_PID"] != strconv.Itoa(pid) || vars["LISTEN_FDS"] == "" {
		return nil, rest, nil
	}
	const hint = "LISTEN_FDS and LISTEN_PID come from systemd or systemd-socket-activate; unset them to bind addresses instead"
	n, ok := parseDigits(vars["LISTEN_FDS"], 1<<20)
	if !ok {
		return nil, rest, fault.New(hint, "LISTEN_FDS: '%s' is not a number of sockets", printable(vars["LISTEN_FDS"]))
	}
	for fd := firstInherited; fd < firstInherited+n; fd++ {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, unix.FD_CLOEXEC); err != nil {
			return nil, rest, fault.New(hint, "LISTEN_FDS is %d, but descriptor %d is not open: %w", n, fd, err)
		}
		fds = append(fds, fd)
	}
	return fds, rest, nil
}

// ListenInherited makes a Set of listening sockets that somebody else opened. They replace the bind setting, as in
// gunicorn. It takes ownership of the descriptors; on an error it closes those it has taken so far. TCP_NODELAY and
// keep-alive are set on them, and the backlog if Options have one; Mode, UID, GID and Slots have no effect. Unix sockets
// keep their files at Close.
func ListenInherited(fds []int, opts Options) (*Set, error) {
	set := &Set{}
	for i, fd := range fds {
		if slices.Contains(fds[:i], fd) {
			return nil, errors.Join(fmt.Errorf("inherit sockets: descriptor %d is listed twice", fd), set.Close(false))
		}
		b, err := adoptShared(fd, opts)
		if err != nil {
			return nil, errors.Join(err, set.Close(false))
		}
		set.binds = append(set.binds, b)
	}
	return set, nil
}

// adoptShared makes a bind of an inherited descriptor. On an error the descriptor stays open.
func adoptShared(fd int, opts Options) (bind, error) {
	if err := checkListening(fd); err != nil {
		return bind{}, err
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return bind{}, os.NewSyscallError("getsockname", err)
	}
	addr, err := addrOf(sa)
	if err != nil {
		return bind{}, err
	}
	if err := prepareInherited(fd, addr, opts); err != nil {
		return bind{}, fmt.Errorf("inherit descriptor %d: %w", fd, err)
	}
	s, err := newSocket(fd, opts.TLS, nil)
	if err != nil {
		return bind{}, err
	}
	s.lent = true
	return bind{sockets: []*Socket{s}}, nil
}

// prepareInherited gives an inherited socket what Listen gives to its own.
func prepareInherited(fd int, addr Addr, opts Options) error {
	unix.CloseOnExec(fd)
	if err := unix.SetNonblock(fd, true); err != nil {
		return os.NewSyscallError("fcntl", err)
	}
	if addr.isTCP() {
		if err := setTCPOptions(fd); err != nil {
			return err
		}
	}
	if opts.Backlog > 0 { // listening again changes nothing but the backlog
		return os.NewSyscallError("listen", unix.Listen(fd, opts.Backlog))
	}
	return nil
}

// checkListening reports, as a fault, why fd cannot be accepted from.
func checkListening(fd int) error {
	const hint = "hand over listening stream sockets: in a systemd socket unit use ListenStream= with Accept=no"
	kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	switch {
	case err == unix.EBADF:
		return fault.New(hint, "descriptor %d is not open", fd)
	case err == unix.ENOTSOCK:
		return fault.New(hint, "descriptor %d is not a socket", fd)
	case err != nil:
		return fmt.Errorf("inspect descriptor %d: %w", fd, os.NewSyscallError("getsockopt", err))
	case kind != unix.SOCK_STREAM:
		return fault.New(hint, "descriptor %d is not a stream socket", fd)
	}
	family, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	if err != nil {
		return fmt.Errorf("inspect descriptor %d: %w", fd, os.NewSyscallError("getsockopt", err))
	}
	if family != unix.AF_INET && family != unix.AF_INET6 && family != unix.AF_UNIX {
		return fault.New(hint, "descriptor %d is neither a TCP nor a unix socket", fd)
	}
	listening, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	if err != nil {
		return fmt.Errorf("inspect descriptor %d: %w", fd, os.NewSyscallError("getsockopt", err))
	}
	if listening == 0 {
		return fault.New(hint, "descriptor %d is a socket that does not listen", fd)
	}
	return nil
}
