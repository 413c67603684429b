package sockets

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/appserver-go/appserver/internal/fault"
)

// lockPatience bounds the wait for a directory's lock: whoever may read the directory may hold it for ever.
const lockPatience = time.Second

// socketFile is the file of a unix socket, known by its inode.
type socketFile struct {
	path     string // absolute
	dev, ino uint64
}

// newSocketFile identifies the socket's file at path.
func newSocketFile(path string) (*socketFile, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return nil, os.NewSyscallError("lstat", err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFSOCK {
		return nil, fmt.Errorf("%q is not a socket", path)
	}
	return &socketFile{path: path, dev: uint64(st.Dev), ino: st.Ino}, nil
}

// setAccess gives the file its owner and its exact mode. It works on a descriptor of the inode, so a file that took the
// path's place in the meantime is refused instead of changed.
func (f *socketFile) setAccess(opts Options) error {
	fd, err := unix.Open(f.path, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("open", err)
	}
	defer unix.Close(fd) // an O_PATH descriptor has nothing to lose
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return os.NewSyscallError("fstat", err)
	}
	if !f.is(&st) {
		return fmt.Errorf("set access of %q: the file was replaced", f.path)
	}
	uid, gid := opts.UID, opts.GID
	if uid == int(st.Uid) {
		uid = -1
	}
	if gid == int(st.Gid) {
		gid = -1
	}
	if uid != -1 || gid != -1 {
		if err := unix.Fchownat(fd, "", uid, gid, unix.AT_EMPTY_PATH); err != nil {
			return fault.New("only root may give the socket to another user or group",
				"change owner of unix socket: %w", os.NewSyscallError("fchownat", err))
		}
	}
	if mode := uint32(opts.Mode.Perm()); st.Mode&0o777 != mode {
		if err := unix.Chmod("/proc/self/fd/"+strconv.Itoa(fd), mode); err != nil {
			return fmt.Errorf("change mode of unix socket: %w", os.NewSyscallError("chmod", err))
		}
	}
	return nil
}

// remove unlinks the file if it is still the same one. The caller holds the socket open, so the inode is not reused.
func (f *socketFile) remove() error {
	unlock := lockDir(context.Background(), filepath.Dir(f.path))
	defer unlock()
	return f.removeLocked()
}

// removeLocked is remove for a caller that holds the directory's lock.
func (f *socketFile) removeLocked() error {
	var st unix.Stat_t
	err := unix.Lstat(f.path, &st)
	if err == nil && f.is(&st) {
		err = unix.Unlink(f.path)
	}
	if err != nil && err != unix.ENOENT {
		return fmt.Errorf("remove unix socket %q: %w", f.path, err)
	}
	return nil
}

// is reports whether st describes this file.
func (f *socketFile) is(st *unix.Stat_t) bool {
	return uint64(st.Dev) == f.dev && st.Ino == f.ino
}

// lockDir takes the advisory lock of a directory, so that of several servers only one at a time looks at a socket's file
// and then replaces or removes it. A lock on the directory leaves no file behind. Where it is not to be had (no read
// permission, no such directory, held for longer than lockPatience) the work goes on without: the lock only closes a race.
func lockDir(ctx context.Context, dir string) (unlock func()) {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return func() {}
	}
	ctx, cancel := context.WithTimeout(ctx, lockPatience)
	defer cancel()
	for unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) != nil {
		select {
		case <-ctx.Done():
			return func() { unix.Close(fd) }
		case <-time.After(5 * time.Millisecond):
		}
	}
	return func() { unix.Close(fd) } // which gives the lock back
}
