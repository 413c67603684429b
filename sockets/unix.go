package sockets

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/appserver-go/appserver/internal/fault"
)

// openUnix opens a listening unix socket. Nobody can connect before listen, so mode and owner are in place for the
// first client; the lock keeps two servers that start at once from replacing each other's file.
func openUnix(ctx context.Context, a Addr, opts Options) (*Socket, error) {
	if a.abstract() {
		return openUnixSocket(a, "", opts)
	}
	path, err := filepath.Abs(a.Path) // the file is removed later, perhaps from another working directory
	if err != nil {
		return nil, fmt.Errorf("find working directory: %w", err)
	}
	unlock := lockDir(ctx, filepath.Dir(path))
	defer unlock()
	if err := removeStale(a); err != nil {
		return nil, err
	}
	return openUnixSocket(a, path, opts)
}

// openUnixSocket makes the socket; path is "" for an abstract one.
func openUnixSocket(a Addr, path string, opts Options) (*Socket, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	file, err := bindUnix(fd, a, path, opts)
	if err == nil {
		err = os.NewSyscallError("listen", unix.Listen(fd, opts.Backlog))
	}
	var s *Socket
	if err == nil {
		s, err = newSocket(fd, opts.TLS, file)
	}
	if err == nil {
		return s, nil
	}
	if file != nil {
		err = errors.Join(err, file.removeLocked())
	}
	return nil, errors.Join(err, os.NewSyscallError("close", unix.Close(fd)))
}

// bindUnix binds fd and gives the file its mode and owner. The returned file is set as soon as there is one, also
// beside an error.
func bindUnix(fd int, a Addr, path string, opts Options) (*socketFile, error) {
	if err := createUnix(fd, a, opts.Mode); err != nil {
		return nil, err
	}
	if path == "" {
		return nil, nil
	}
	file, err := newSocketFile(path)
	if err != nil {
		return nil, err
	}
	return file, file.setAccess(opts)
}

// createUnix binds fd. The file gets the mode of the socket's own inode less the umask: never a bit too many, not even
// for a moment.
func createUnix(fd int, a Addr, mode os.FileMode) error {
	if err := unix.Fchmod(fd, uint32(mode.Perm())); err != nil {
		return os.NewSyscallError("fchmod", err)
	}
	err := unix.Bind(fd, &unix.SockaddrUnix{Name: a.Path})
	if err == unix.EADDRINUSE {
		_, pid, _ := probe(a) // that the address is in use is known; an error here only costs the pid
		return &inUseError{by: describe(pid)}
	}
	return os.NewSyscallError("bind", err)
}

// removeStale removes the file of a unix socket that nobody answers on. Anything else at the path is an error; nothing
// at all is fine.
func removeStale(a Addr) error {
	var st unix.Stat_t
	err := unix.Lstat(a.Path, &st)
	switch {
	case err == unix.ENOENT:
		return nil
	case err != nil:
		return os.NewSyscallError("lstat", err)
	case st.Mode&unix.S_IFMT != unix.S_IFSOCK:
		return fault.New("move the file away or choose another path with --bind", "%q is not a socket", a.Path)
	}
	live, pid, err := probe(a)
	switch {
	case err != nil:
		return fmt.Errorf("find out whether the socket is in use: %w", err)
	case live:
		return &inUseError{by: describe(pid)}
	}
	if err := unix.Unlink(a.Path); err != nil && err != unix.ENOENT {
		return fault.New("remove the file by hand, as its owner or root", "remove stale socket: %w", err)
	}
	return nil
}

// probe connects to a unix socket to find out whether anybody listens on it, and which process; pid is 0 if unknown.
func probe(a Addr) (live bool, pid int, err error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return false, 0, os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd) // nothing was written, so there is no error to hear of
	switch err := unix.Connect(fd, &unix.SockaddrUnix{Name: a.Path}); err {
	case nil:
		return true, peerPID(fd), nil
	case unix.EAGAIN, unix.EPROTOTYPE: // its queue is full; it is a datagram socket
		return true, 0, nil
	case unix.ECONNREFUSED, unix.ENOENT:
		return false, 0, nil
	default:
		return false, 0, os.NewSyscallError("connect", err)
	}
}

// describe names a process in an inUseError; "" if pid is 0.
func describe(pid int) string {
	if pid <= 0 {
		return ""
	}
	name, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/comm")
	if err != nil {
		return " by process " + strconv.Itoa(pid)
	}
	return fmt.Sprintf(" by process %d (%q)", pid, strings.TrimSpace(string(name)))
}

// peerPID returns the pid of the process that called listen on the other side of fd, or on fd itself if it listens
// (unix(7), SO_PEERCRED). It is 0 for a process in another pid namespace and when the kernel does not tell.
func peerPID(fd int) int {
	cred, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return 0
	}
	return int(cred.Pid)
}

// RemoveStale removes the file of a unix socket that nobody answers on. One that is in use and a file that is no socket
// are left alone, with an error; none at all is fine.
func RemoveStale(ctx context.Context, path string) error {
	unlock := lockDir(ctx, filepath.Dir(path))
	defer unlock()
	return removeStale(Addr{Network: Unix, Path: path})
}
