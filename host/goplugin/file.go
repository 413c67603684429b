package goplugin

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/appserver-go/appserver/internal/fault"
)

// dirPrefix begins the names of the directories that plugins are loaded from.
const dirPrefix = "appserver-plugin-"

// staleAge is how old a directory must be before another process may take it for forgotten: older than the moment
// between making and locking it.
const staleAge = 10 * time.Second

// tempFile is a plugin as a file. The loader needs a real path: it resolves links, so neither a memfd nor a name in
// /proc will do. The file lives in a directory that only this user can enter, and only until the plugin is loaded; a
// directory that a dying process left is swept away by the next one. The directory is locked while it is in use.
type tempFile struct {
	dir  *os.File
	path string
}

// writeTemp writes a plugin into a new directory below the first of parents that can hold programs.
func writeTemp(content []byte, parents []string) (*tempFile, error) {
	var errs []error
	for _, parent := range parents {
		if parent == "" {
			continue
		}
		f, err := writeTempIn(content, parent)
		if err == nil {
			return f, nil
		}
		errs = append(errs, err)
	}
	return nil, fault.WithCode(fault.LoadFailed, "let TMPDIR name a directory on a file system mounted without noexec (env = [\"TMPDIR=/path\"])",
		"there is nowhere to put the plugin for loading: %s", strings.ReplaceAll(errors.Join(errs...).Error(), "\n", "; "))
}

func writeTempIn(content []byte, parent string) (*tempFile, error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(parent, &fs); err != nil {
		return nil, fmt.Errorf("%s: %w", parent, err)
	}
	if fs.Flags&unix.ST_NOEXEC != 0 {
		return nil, fmt.Errorf("%s is mounted noexec", parent)
	}
	sweep(parent)
	name, err := os.MkdirTemp(parent, dirPrefix) // with mode 0700
	if err != nil {
		return nil, err
	}
	f := &tempFile{path: filepath.Join(name, "plugin.so")}
	f.dir, err = os.Open(name)
	if err == nil {
		err = lock(f.dir)
	}
	if err == nil {
		err = os.WriteFile(f.path, content, 0o500)
	}
	if err != nil {
		f.remove()
		return nil, err
	}
	return f, nil
}

// remove removes the file and its directory. What is mapped stays.
func (f *tempFile) remove() {
	_ = os.RemoveAll(filepath.Dir(f.path)) // the next sweep tries again
	if f.dir != nil {
		f.dir.Close()
	}
}

// sweep removes directories of processes that died while they loaded.
func sweep(parent string) {
	dirs, _ := filepath.Glob(filepath.Join(parent, dirPrefix+"*"))
	for _, name := range dirs {
		info, err := os.Lstat(name)
		if err != nil || !info.IsDir() || time.Since(info.ModTime()) < staleAge || !ours(name) {
			continue
		}
		dir, err := os.Open(name)
		if err != nil {
			continue
		}
		if lock(dir) == nil {
			_ = os.RemoveAll(name)
		}
		dir.Close()
	}
}

// lock locks a directory until it is closed, or fails at once.
func lock(dir *os.File) error {
	raw, err := dir.SyscallConn()
	if err != nil {
		return err
	}
	var lockErr error
	if err := raw.Control(func(fd uintptr) { lockErr = unix.Flock(int(fd), unix.LOCK_EX|unix.LOCK_NB) }); err != nil {
		return err
	}
	return lockErr
}

// ours reports whether a file belongs to this user.
func ours(name string) bool {
	var st unix.Stat_t
	return unix.Lstat(name, &st) == nil && int(st.Uid) == os.Geteuid()
}
