package engine

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"
	"time"

	experimentalsys "github.com/tetratelabs/wazero/experimental/sys"
	"github.com/tetratelabs/wazero/sys"

	"github.com/appserver-go/appserver/internal/fault"
)

// Dir makes a directory of the host visible to a guest.
type Dir struct {
	// Host is the directory's path on the host.
	Host string
	// Guest is the absolute path under which the guest sees it.
	Guest string
	// Writable lets the guest create, change and delete files in it.
	Writable bool
}

// rootFS is a directory of an instance. It stands on os.Root, which resolves every path below the directory and follows
// no symbolic link out of it; wazero's own directories can be left by one. A guest meets regular files and
// directories only: opening a FIFO would block the worker where no deadline reaches, and devices and sockets are
// nobody's business. Guests cannot make symbolic links, which other programs of the host might follow.
type rootFS struct {
	experimentalsys.UnimplementedFS
	root     *os.Root
	guest    string
	writable bool
	open     map[*rootFile]struct{}
	own      *rootFile // the directory itself, which wazero opens before anything in it and keeps open
}

// maxOpenFiles is how many files and directories an instance may have open in a mounted directory. Without a bound a
// guest could take all descriptors of its worker.
const maxOpenFiles = 256

// openRoot opens a directory for an instance. Errors are a *fault.Error.
func openRoot(d Dir) (*rootFS, error) {
	const hint = "check guest.dirs (--guest-dirs); a directory has to exist and be readable before the guest starts"
	root, err := os.OpenRoot(d.Host)
	if err != nil {
		return nil, fault.WithCode(fault.LoadFailed, hint, "open the guest's directory: %w", err)
	}
	return &rootFS{root: root, guest: path.Clean("/" + d.Guest), writable: d.Writable, open: map[*rootFile]struct{}{}}, nil
}

// inUse reports whether the guest has files open.
func (r *rootFS) inUse() bool {
	n := len(r.open)
	if _, open := r.open[r.own]; open {
		n--
	}
	return n > 0
}

// close closes the directory and every file that the guest left open.
func (r *rootFS) close() error {
	for f := range r.open {
		f.Close()
	}
	return r.root.Close()
}

// name makes a guest's path one for os.Root, which knows "." but not "".
func name(p string) string {
	if p = strings.TrimLeft(p, "/"); p == "" {
		return "."
	}
	return p
}

// errno translates an error. What is no error of the system is os.Root's refusal to leave the directory.
func errno(err error) experimentalsys.Errno {
	var sysErr syscall.Errno
	switch {
	case err == nil:
		return 0
	case errors.As(err, &sysErr):
		return experimentalsys.UnwrapOSError(sysErr)
	case errors.Is(err, fs.ErrExist), errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrClosed), errors.Is(err, fs.ErrInvalid):
		return experimentalsys.UnwrapOSError(unwrapAll(err))
	}
	return experimentalsys.EPERM
}

func unwrapAll(err error) error {
	for errors.Unwrap(err) != nil {
		err = errors.Unwrap(err)
	}
	return err
}

// plain reports whether a file of that mode is one a guest may open.
func plain(mode fs.FileMode) bool { return mode.IsRegular() || mode.IsDir() }

// OpenFile implements experimentalsys.FS.
func (r *rootFS) OpenFile(p string, flag experimentalsys.Oflag, perm fs.FileMode) (experimentalsys.File, experimentalsys.Errno) {
	if !r.writable && flag&(experimentalsys.O_RDWR|experimentalsys.O_WRONLY|experimentalsys.O_CREAT|experimentalsys.O_TRUNC) != 0 {
		return nil, experimentalsys.EROFS
	}
	if len(r.open) >= maxOpenFiles {
		return nil, experimentalsys.EAGAIN // wazero has no EMFILE
	}
	p = name(p)
	stat := r.root.Stat
	if flag&experimentalsys.O_NOFOLLOW != 0 {
		stat = r.root.Lstat
	}
	if info, err := stat(p); err == nil && !plain(info.Mode()) {
		if info.Mode()&fs.ModeSymlink != 0 {
			return nil, experimentalsys.ELOOP
		}
		return nil, experimentalsys.EACCES
	}
	f, err := r.root.OpenFile(p, openFlags(flag), perm.Perm())
	if err != nil {
		return nil, errno(err)
	}
	return r.adopt(f, p, flag)
}

// openFlags translates the flags. Truncation has to wait until the file is known to be a plain one, and O_NONBLOCK
// keeps open(2) from waiting should the path have become a FIFO since it was looked at.
func openFlags(flag experimentalsys.Oflag) int {
	flags := syscall.O_NONBLOCK
	for _, f := range [...]struct {
		guest experimentalsys.Oflag
		host  int
	}{
		{experimentalsys.O_RDWR, os.O_RDWR},
		{experimentalsys.O_WRONLY, os.O_WRONLY},
		{experimentalsys.O_APPEND, os.O_APPEND},
		{experimentalsys.O_CREAT, os.O_CREATE},
		{experimentalsys.O_EXCL, os.O_EXCL},
		{experimentalsys.O_DIRECTORY, syscall.O_DIRECTORY},
		{experimentalsys.O_NOFOLLOW, syscall.O_NOFOLLOW},
		{experimentalsys.O_SYNC, os.O_SYNC},
		{experimentalsys.O_RSYNC, os.O_SYNC},
		{experimentalsys.O_DSYNC, syscall.O_DSYNC},
	} {
		if flag&f.guest != 0 {
			flags |= f.host
		}
	}
	return flags
}

// adopt makes a freshly opened file the guest's.
func (r *rootFS) adopt(f *os.File, p string, flag experimentalsys.Oflag) (experimentalsys.File, experimentalsys.Errno) {
	info, err := f.Stat()
	if err == nil && !plain(info.Mode()) {
		err = syscall.EACCES
	}
	if err == nil && flag&experimentalsys.O_TRUNC != 0 && info.Mode().IsRegular() {
		err = f.Truncate(0)
	}
	if err != nil {
		f.Close()
		return nil, errno(err)
	}
	st := sys.NewStat_t(info)
	file := &rootFile{fs: r, f: f, path: p, dev: st.Dev, ino: st.Ino, dir: info.IsDir(), appending: flag&experimentalsys.O_APPEND != 0}
	r.open[file] = struct{}{}
	if r.own == nil && file.dir && name(p) == "." {
		r.own = file
	}
	return file, 0
}

// Stat implements experimentalsys.FS.
func (r *rootFS) Stat(p string) (sys.Stat_t, experimentalsys.Errno) {
	return statOf(r.root.Stat(name(p)))
}

// Lstat implements experimentalsys.FS.
func (r *rootFS) Lstat(p string) (sys.Stat_t, experimentalsys.Errno) {
	return statOf(r.root.Lstat(name(p)))
}

func statOf(info fs.FileInfo, err error) (sys.Stat_t, experimentalsys.Errno) {
	if err != nil {
		return sys.Stat_t{}, errno(err)
	}
	return sys.NewStat_t(info), 0
}

// Readlink implements experimentalsys.FS.
func (r *rootFS) Readlink(p string) (string, experimentalsys.Errno) {
	target, err := r.root.Readlink(name(p))
	return target, errno(err)
}

// change runs f if the directory is writable.
func (r *rootFS) change(f func() error) experimentalsys.Errno {
	if !r.writable {
		return experimentalsys.EROFS
	}
	return errno(f())
}

// Mkdir implements experimentalsys.FS.
func (r *rootFS) Mkdir(p string, perm fs.FileMode) experimentalsys.Errno {
	return r.change(func() error { return r.root.Mkdir(name(p), perm.Perm()) })
}

// Chmod implements experimentalsys.FS. Set-id and sticky bits are dropped.
func (r *rootFS) Chmod(p string, perm fs.FileMode) experimentalsys.Errno {
	return r.change(func() error { return r.root.Chmod(name(p), perm.Perm()) })
}

// Rename implements experimentalsys.FS.
func (r *rootFS) Rename(from, to string) experimentalsys.Errno {
	return r.change(func() error { return r.root.Rename(name(from), name(to)) })
}

// Rmdir implements experimentalsys.FS.
func (r *rootFS) Rmdir(p string) experimentalsys.Errno {
	return r.change(func() error { return r.remove(name(p), true) })
}

// Unlink implements experimentalsys.FS.
func (r *rootFS) Unlink(p string) experimentalsys.Errno {
	return r.change(func() error { return r.remove(name(p), false) })
}

// remove removes what os.Root.Remove does not tell apart: a directory, or anything else.
func (r *rootFS) remove(p string, dir bool) error {
	info, err := r.root.Lstat(p)
	switch {
	case err != nil:
		return err
	case dir && !info.IsDir():
		return syscall.ENOTDIR
	case !dir && info.IsDir():
		return syscall.EISDIR
	}
	return r.root.Remove(p)
}

// Link implements experimentalsys.FS, for regular files within the directory.
func (r *rootFS) Link(from, to string) experimentalsys.Errno {
	return r.change(func() error {
		info, err := r.root.Lstat(name(from))
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() {
			return syscall.EPERM
		}
		return r.root.Link(name(from), name(to))
	})
}

// Symlink implements experimentalsys.FS by refusing: no check of the target could promise that it stays inside when
// another program follows the link later.
func (r *rootFS) Symlink(_, _ string) experimentalsys.Errno { return experimentalsys.EPERM }

// Utimens implements experimentalsys.FS.
func (r *rootFS) Utimens(p string, atim, mtim int64) experimentalsys.Errno {
	return r.change(func() error {
		info, err := r.root.Stat(name(p))
		if err != nil {
			return err
		}
		a, m := times(sys.NewStat_t(info), atim, mtim)
		return r.root.Chtimes(name(p), a, m)
	})
}

// times replaces the times to be left alone by the present ones.
func times(st sys.Stat_t, atim, mtim int64) (a, m time.Time) {
	if atim == experimentalsys.UTIME_OMIT {
		atim = st.Atim
	}
	if mtim == experimentalsys.UTIME_OMIT {
		mtim = st.Mtim
	}
	return time.Unix(0, atim), time.Unix(0, mtim)
}
