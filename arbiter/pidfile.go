package arbiter

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/appserver-go/appserver/internal/fault"
)

// Pidfile is a file with the arbiter's process id, locked for as long as it lives. The lock, not the number, says
// whether a server runs: a number left behind by a crash, or by now some other process's, hinders nobody.
type Pidfile struct {
	path  string
	final string   // where Promote moves it; "" if it is there
	file  *os.File // nil after Remove
}

// LockPidfile locks the file at path, creating it if needed, and writes the id of this process. It fails with a
// *fault.Error when another server holds the file, when it is a symbolic link, or when it cannot be written.
func LockPidfile(path string) (*Pidfile, error) {
	for {
		file, err := openLocked(path)
		if err != nil {
			return nil, err
		}
		p := &Pidfile{path: path, file: file}
		// Whoever held the lock may have removed the file while this process waited to open and lock it.
		if !p.ours() {
			file.Close()
			continue
		}
		if err := p.write(); err != nil {
			return nil, fault.New("choose another pidfile", "write pidfile: %w", errors.Join(err, p.Remove()))
		}
		return p, nil
	}
}

// LockSuccessorPidfile is LockPidfile for an arbiter whose predecessor still has the file at path: until Promote it is at
// path.2.
func LockSuccessorPidfile(path string) (*Pidfile, error) {
	p, err := LockPidfile(path + ".2")
	if err == nil {
		p.final = path
	}
	return p, err
}

// Promote moves the file of LockSuccessorPidfile to where the predecessor, which is gone, had its own. It fails when yet
// another server has locked that one; then the file stays where it is. Calling it again does nothing.
func (p *Pidfile) Promote() error {
	if p.final == "" || p.file == nil {
		return nil
	}
	free, err := openLocked(p.final) // or somebody else's would be replaced
	if err != nil {
		return err
	}
	if err = os.Rename(p.path, p.final); err == nil {
		p.path, p.final = p.final, ""
	}
	return errors.Join(err, free.Close())
}

func openLocked(path string) (*os.File, error) {
	// The descriptor is close-on-exec: a worker that inherited it would hold the lock after the arbiter's end.
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o644)
	if errors.Is(err, unix.ELOOP) {
		return nil, fault.New("remove the link or choose another pidfile", "pidfile %s is a symbolic link", path)
	}
	if err != nil {
		return nil, fault.New("the directory must exist and be writable", "open pidfile: %w", err)
	}
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		file.Close()
		return nil, fault.New("choose another pidfile", "pidfile %s is not a regular file", path)
	}
	switch err := flock(file); {
	case errors.Is(err, unix.EWOULDBLOCK):
		pid := readPID(file)
		file.Close()
		return nil, fault.New("stop it first, or give this one another pidfile", "already running on pid %s (pidfile %s)", pid, path)
	case err != nil:
		file.Close()
		return nil, fault.New("choose a pidfile on a local file system", "lock pidfile %s: %w", path, err)
	}
	return file, nil
}

func flock(file *os.File) error {
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var lockErr error
	err = raw.Control(func(fd uintptr) { lockErr = unix.Flock(int(fd), unix.LOCK_EX|unix.LOCK_NB) })
	return errors.Join(err, lockErr)
}

// readPID returns the number in the file, for a message.
func readPID(file *os.File) string {
	b, err := io.ReadAll(io.LimitReader(file, 32))
	pid := strings.TrimSpace(string(b))
	if _, convErr := strconv.ParseUint(pid, 10, 32); err != nil || convErr != nil {
		return "unknown" // the other one has locked the file and not written it yet
	}
	return pid
}

func (p *Pidfile) write() error {
	if err := p.file.Truncate(0); err != nil {
		return err
	}
	_, err := p.file.WriteAt(fmt.Appendf(nil, "%d\n", os.Getpid()), 0)
	return err
}

// ours reports whether the path still names the locked file.
func (p *Pidfile) ours() bool {
	held, err := p.file.Stat()
	if err != nil {
		return false
	}
	found, err := os.Lstat(p.path)
	return err == nil && os.SameFile(held, found)
}

// Remove removes the file, unless somebody has put another in its place, and gives up the lock. Calling it again does
// nothing. It is for one goroutine at a time.
func (p *Pidfile) Remove() error {
	if p.file == nil {
		return nil
	}
	var err error
	if p.ours() {
		err = os.Remove(p.path) // before the lock goes, or it could be the next one's file
	}
	err = errors.Join(err, p.file.Close())
	p.file = nil
	return err
}
