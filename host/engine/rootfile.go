package engine

import (
	"io"
	"os"
	"path"
	"syscall"

	experimentalsys "github.com/tetratelabs/wazero/experimental/sys"
	"github.com/tetratelabs/wazero/sys"
	"golang.org/x/sys/unix"
)

// rootFile is an open file or directory of a rootFS. Wazero keeps the guest's file descriptors; this is one of them.
type rootFile struct {
	experimentalsys.UnimplementedFile
	fs        *rootFS
	f         *os.File
	path      string // below the root, as it was opened
	dev       uint64
	ino       sys.Inode
	dir       bool
	appending bool
	closed    bool
}

// Dev implements experimentalsys.File.
func (f *rootFile) Dev() (uint64, experimentalsys.Errno) { return f.dev, 0 }

// Ino implements experimentalsys.File.
func (f *rootFile) Ino() (sys.Inode, experimentalsys.Errno) { return f.ino, 0 }

// IsDir implements experimentalsys.File.
func (f *rootFile) IsDir() (bool, experimentalsys.Errno) { return f.dir, 0 }

// IsAppend implements experimentalsys.File.
func (f *rootFile) IsAppend() bool { return f.appending }

// SetAppend implements experimentalsys.File.
func (f *rootFile) SetAppend(enable bool) experimentalsys.Errno {
	if f.dir {
		return experimentalsys.EISDIR
	}
	var failed error
	conn, err := f.f.SyscallConn()
	if err != nil {
		return errno(err)
	}
	err = conn.Control(func(fd uintptr) {
		flags, err := unix.FcntlInt(fd, unix.F_GETFL, 0)
		if err == nil {
			flags &^= unix.O_APPEND
			if enable {
				flags |= unix.O_APPEND
			}
			_, err = unix.FcntlInt(fd, unix.F_SETFL, flags)
		}
		failed = err
	})
	if err != nil {
		return errno(err)
	}
	if failed == nil {
		f.appending = enable
	}
	return errno(failed)
}

// Stat implements experimentalsys.File.
func (f *rootFile) Stat() (sys.Stat_t, experimentalsys.Errno) { return statOf(f.f.Stat()) }

// Read implements experimentalsys.File; the end of the file is 0 bytes and no error.
func (f *rootFile) Read(buf []byte) (int, experimentalsys.Errno) { return f.count(f.f.Read(buf)) }

// Pread implements experimentalsys.File.
func (f *rootFile) Pread(buf []byte, off int64) (int, experimentalsys.Errno) {
	if off < 0 {
		return 0, experimentalsys.EINVAL
	}
	return f.count(f.f.ReadAt(buf, off))
}

// Write implements experimentalsys.File.
func (f *rootFile) Write(buf []byte) (int, experimentalsys.Errno) { return f.count(f.f.Write(buf)) }

// Pwrite implements experimentalsys.File.
func (f *rootFile) Pwrite(buf []byte, off int64) (int, experimentalsys.Errno) {
	if off < 0 {
		return 0, experimentalsys.EINVAL
	}
	if !f.appending {
		return f.count(f.f.WriteAt(buf, off))
	}
	// Linux appends whatever the offset says; os.File refuses.
	n, err := 0, error(nil)
	if conn, e := f.f.SyscallConn(); e != nil {
		err = e
	} else if e := conn.Control(func(fd uintptr) { n, err = unix.Pwrite(int(fd), buf, off) }); e != nil {
		err = e
	}
	return f.count(max(n, 0), err)
}

func (f *rootFile) count(n int, err error) (int, experimentalsys.Errno) {
	if err == io.EOF {
		err = nil
	}
	return n, errno(err)
}

// position is int64 under a name that keeps go vet from taking Seek for a misspelt io.Seeker.
type position = int64

// Seek implements experimentalsys.File. A directory can be rewound only.
func (f *rootFile) Seek(offset position, whence int) (position, experimentalsys.Errno) {
	if f.dir && (offset != 0 || whence != io.SeekStart) {
		return 0, experimentalsys.EISDIR
	}
	n, err := f.f.Seek(offset, whence)
	return n, errno(err)
}

// Readdir implements experimentalsys.File.
func (f *rootFile) Readdir(n int) ([]experimentalsys.Dirent, experimentalsys.Errno) {
	if !f.dir {
		return nil, experimentalsys.ENOTDIR
	}
	entries, err := f.f.ReadDir(n)
	if err != nil && err != io.EOF {
		return nil, errno(err)
	}
	dirents := make([]experimentalsys.Dirent, 0, len(entries))
	for _, e := range entries {
		d := experimentalsys.Dirent{Name: e.Name(), Type: e.Type()}
		// The entry's own Info would leave the os.Root. What was renamed since has no number, which WASI allows.
		if info, err := f.fs.root.Lstat(path.Join(f.path, e.Name())); err == nil {
			d.Ino = sys.NewStat_t(info).Ino
		}
		dirents = append(dirents, d)
	}
	return dirents, 0
}

// Truncate implements experimentalsys.File.
func (f *rootFile) Truncate(size int64) experimentalsys.Errno {
	switch {
	case f.dir:
		return experimentalsys.EISDIR
	case size < 0:
		return experimentalsys.EINVAL
	}
	return errno(f.f.Truncate(size))
}

// Sync implements experimentalsys.File.
func (f *rootFile) Sync() experimentalsys.Errno { return errno(f.f.Sync()) }

// Datasync implements experimentalsys.File.
func (f *rootFile) Datasync() experimentalsys.Errno { return f.Sync() }

// Utimens implements experimentalsys.File.
func (f *rootFile) Utimens(atim, mtim int64) experimentalsys.Errno {
	if !f.fs.writable {
		return experimentalsys.EROFS
	}
	info, err := f.f.Stat()
	if err != nil {
		return errno(err)
	}
	a, m := times(sys.NewStat_t(info), atim, mtim)
	tv := []syscall.Timeval{syscall.NsecToTimeval(a.UnixNano()), syscall.NsecToTimeval(m.UnixNano())}
	conn, err := f.f.SyscallConn()
	if err != nil {
		return errno(err)
	}
	var failed error
	if err := conn.Control(func(fd uintptr) { failed = syscall.Futimes(int(fd), tv) }); err != nil {
		return errno(err)
	}
	return errno(failed)
}

// Close implements experimentalsys.File.
func (f *rootFile) Close() experimentalsys.Errno {
	if f.closed {
		return 0
	}
	f.closed = true
	delete(f.fs.open, f)
	return errno(f.f.Close())
}
