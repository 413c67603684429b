package wasi

import (
	"errors"
	"io"
	"io/fs"
	"path"
	"strings"
	"time"

	experimentalsys "github.com/tetratelabs/wazero/experimental/sys"
	"github.com/tetratelabs/wazero/sys"

	"github.com/appserver-go/appserver/host/component/abi"
	"github.com/appserver-go/appserver/host/engine"
)

// Descriptor flags and open flags, as bits.
const (
	flagRead, flagWrite, flagMutate             = 1 << 0, 1 << 1, 1 << 5
	openCreate, openDirectory, openExcl         = 1 << 0, 1 << 1, 1 << 2
	openTruncate, followLinks                   = 1 << 3, 1 << 0
	typeDirectory, typeSymlink, typeFile        = 3, 5, 6
	timeNow, timeGiven                          = 1, 2
	maxFileRead                          uint64 = 1 << 20
)

// errorCodes are the cases of error-code that host errors become, in the order of the enum.
var errorCodes = map[experimentalsys.Errno]uint32{
	experimentalsys.EACCES: 0, experimentalsys.EAGAIN: 1, experimentalsys.EBADF: 3, experimentalsys.EEXIST: 7,
	experimentalsys.EINTR: 11, experimentalsys.EINVAL: 12, experimentalsys.EIO: 13, experimentalsys.EISDIR: 14,
	experimentalsys.ELOOP: 15, experimentalsys.ENAMETOOLONG: 18, experimentalsys.ENOENT: 20, experimentalsys.ENOTDIR: 24,
	experimentalsys.ENOTEMPTY: 25, experimentalsys.ENOTSUP: 27, experimentalsys.ENOSYS: 27, experimentalsys.EPERM: 31,
	experimentalsys.EROFS: 33,
}

const (
	codeIO           = 13
	codeNotPermitted = 31
	codeCrossDevice  = 36
)

func errorCode(errno experimentalsys.Errno) uint32 {
	if code, ok := errorCodes[errno]; ok {
		return code
	}
	return codeIO
}

// done makes the result of what has no value.
func done(errno experimentalsys.Errno) any {
	if errno != 0 {
		return abi.Err(abi.Enum(errorCode(errno)))
	}
	return abi.OK(nil)
}

// descriptor is a wasi:filesystem/types.descriptor. That of a directory is a path, so that a guest's handle of it can be
// in an image; that of a file is open.
type descriptor struct {
	dir   int    // of the instance's directories
	path  string // below it
	flags uint32
	file  experimentalsys.File // nil for a directory
}

// Drop implements abi.Dropper.
func (d *descriptor) Drop() {
	if d.file != nil {
		d.file.Close()
	}
}

// Keep implements abi.Keeper.
func (d *descriptor) Keep() any {
	if d.file != nil {
		return nil
	}
	return d // it never changes
}

// root returns the directory of the host that it is in.
func (d *descriptor) root(c *abi.Call) engine.Directory { return env(c).Dirs()[d.dir] }

// at returns the path below the root that a path from the guest stands for. It must not lead out of the descriptor's
// directory.
func (d *descriptor) at(p string) (string, experimentalsys.Errno) {
	switch clean := path.Clean(p); {
	case d.file != nil:
		return "", experimentalsys.ENOTDIR
	case p == "":
		return "", experimentalsys.ENOENT
	case strings.HasPrefix(p, "/") || clean == ".." || strings.HasPrefix(clean, "../"):
		return "", experimentalsys.EPERM
	case strings.HasSuffix(p, "/"):
		return path.Join(d.path, p) + "/", 0
	}
	return path.Join(d.path, p), 0
}

// stat returns what is known of the descriptor's file or directory.
func (d *descriptor) stat(c *abi.Call) (sys.Stat_t, experimentalsys.Errno) {
	if d.file != nil {
		return d.file.Stat()
	}
	return d.root(c).Stat(d.path)
}

// statAt returns what is known of a file in the directory.
func (d *descriptor) statAt(c *abi.Call, flags uint32, p string) (st sys.Stat_t, errno experimentalsys.Errno) {
	full, errno := d.at(p)
	if errno != 0 {
		return st, errno
	}
	if flags&followLinks != 0 {
		return d.root(c).Stat(full)
	}
	return d.root(c).Lstat(full)
}

// open is the function open-at.
func (d *descriptor) open(c *abi.Call, follow uint32, p string, how, flags uint32) any {
	full, errno := d.at(p)
	if errno != 0 {
		return done(errno)
	}
	root := d.root(c)
	flag := experimentalsys.O_RDONLY
	switch {
	case flags&(flagRead|flagWrite) == flagRead|flagWrite:
		flag = experimentalsys.O_RDWR
	case flags&flagWrite != 0:
		flag = experimentalsys.O_WRONLY
	}
	for _, f := range []struct {
		set bool
		to  experimentalsys.Oflag
	}{
		{how&openCreate != 0, experimentalsys.O_CREAT},
		{how&openDirectory != 0, experimentalsys.O_DIRECTORY},
		{how&openExcl != 0, experimentalsys.O_EXCL},
		{how&openTruncate != 0, experimentalsys.O_TRUNC},
		{follow&followLinks == 0, experimentalsys.O_NOFOLLOW},
	} {
		if f.set {
			flag |= f.to
		}
	}
	if !root.Writable() && (flags&(flagWrite|flagMutate) != 0 || how&(openCreate|openTruncate) != 0) {
		return done(experimentalsys.EROFS)
	}
	file, errno := root.OpenFile(full, flag, 0o666)
	if errno != 0 {
		return done(errno)
	}
	if isDir, _ := file.IsDir(); isDir {
		file.Close()
		return abi.OK(&descriptor{dir: d.dir, path: full, flags: flags})
	}
	return abi.OK(&descriptor{dir: d.dir, path: full, flags: flags, file: file})
}

// regular returns the open file, or why there is none to read from or write to.
func (d *descriptor) regular(need uint32) (experimentalsys.File, experimentalsys.Errno) {
	switch {
	case d.file == nil:
		return nil, experimentalsys.EISDIR
	case d.flags&need != need:
		return nil, experimentalsys.EBADF
	}
	return d.file, 0
}

// reader reads a file from a place on.
type reader struct {
	file experimentalsys.File
	at   int64
}

func (r *reader) Read(p []byte) (int, error) {
	n, errno := r.file.Pread(p, r.at)
	r.at += int64(n)
	if errno != 0 {
		return n, errno
	}
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// writer writes a file from a place on, or at its end.
type writer struct {
	file experimentalsys.File
	at   int64 // -1 for the end
}

// Permit implements Sink.
func (*writer) Permit(*abi.Call) (uint64, error) { return permit, nil }

// Write implements Sink.
func (w *writer) Write(_ *abi.Call, p []byte) error {
	at := w.at
	if at < 0 {
		st, errno := w.file.Stat()
		if errno != 0 {
			return errno
		}
		at = st.Size
	}
	for len(p) > 0 {
		n, errno := w.file.Pwrite(p, at)
		if errno != 0 {
			return errno
		}
		p, at = p[n:], at+int64(n)
	}
	if w.at >= 0 {
		w.at = at
	}
	return nil
}

// Flush implements Sink.
func (*writer) Flush(*abi.Call) error { return nil }

// entries is a wasi:filesystem/types.directory-entry-stream.
type entries struct{ list []experimentalsys.Dirent }

// list is the function read-directory.
func (d *descriptor) list(c *abi.Call) any {
	if d.file != nil {
		return done(experimentalsys.ENOTDIR)
	}
	f, errno := d.root(c).OpenFile(d.path, experimentalsys.O_RDONLY|experimentalsys.O_DIRECTORY, 0)
	if errno != 0 {
		return done(errno)
	}
	defer f.Close()
	list, errno := f.Readdir(-1)
	if errno != 0 {
		return done(errno)
	}
	return abi.OK(&entries{list})
}

func fileType(mode fs.FileMode) any {
	switch {
	case mode.IsDir():
		return abi.Enum(typeDirectory)
	case mode&fs.ModeSymlink != 0:
		return abi.Enum(typeSymlink)
	case mode.IsRegular():
		return abi.Enum(typeFile)
	}
	return abi.Enum(0)
}

// statValue makes a descriptor-stat.
func statValue(st sys.Stat_t, errno experimentalsys.Errno) any {
	if errno != 0 {
		return done(errno)
	}
	at := func(ns int64) any { return abi.Some(datetime(time.Unix(0, ns))) }
	return abi.OK([]any{fileType(st.Mode), st.Nlink, uint64(max(st.Size, 0)), at(st.Atim), at(st.Mtim), at(st.Ctim)})
}

// hash makes a metadata-hash-value.
func hash(st sys.Stat_t, errno experimentalsys.Errno) any {
	if errno != 0 {
		return done(errno)
	}
	return abi.OK([]any{st.Dev ^ st.Ino<<1, uint64(st.Mtim) ^ uint64(st.Size)<<1})
}

// timestamp returns a time for Utimens.
func timestamp(v any) int64 {
	switch x := v.(abi.Variant); x.Case {
	case timeNow:
		return time.Now().UnixNano()
	case timeGiven:
		d := x.Value.([]any)
		return time.Unix(int64(d[0].(uint64)), int64(d[1].(uint32))).UnixNano()
	}
	return experimentalsys.UTIME_OMIT
}

// codeOf is the function filesystem-error-code.
func codeOf(_ *abi.Call, args []any) any {
	var errno experimentalsys.Errno
	if errors.As(args[0].(*Error).Err, &errno) {
		return abi.Some(abi.Enum(errorCode(errno)))
	}
	return abi.None
}
