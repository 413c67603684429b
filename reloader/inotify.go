package reloader

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// entryEvents are what happens to the entries of a directory; fileEvents happen to the files.
const (
	entryEvents = unix.IN_CREATE | unix.IN_DELETE | unix.IN_MOVED_FROM | unix.IN_MOVED_TO | unix.IN_DELETE_SELF | unix.IN_MOVE_SELF |
		unix.IN_ATTRIB
	fileEvents = unix.IN_MODIFY | unix.IN_CLOSE_WRITE
	// addFlags: a directory that became something else meanwhile is not watched, nor files that have no name any more;
	// and one that is reached on two ways, through a bind mount, keeps what it is watched for already.
	addFlags = unix.IN_ONLYDIR | unix.IN_EXCL_UNLINK | unix.IN_MASK_ADD
	// selfEvents concern the watched directory itself, or all of them.
	selfEvents = unix.IN_DELETE_SELF | unix.IN_MOVE_SELF | unix.IN_UNMOUNT | unix.IN_Q_OVERFLOW
)

// inotify is an instance of inotify(7) that calls wake for events in directories, by the names that matter there.
type inotify struct {
	file *os.File
	wake func()
	add  func(dir string, mask uint32) (int, error)
	read sync.WaitGroup

	mu      sync.Mutex
	watched map[int][]*interest // by watch descriptor; several if directories are the same by a bind mount
	broken  error
}

// startInotify makes an instance and a goroutine that reads its events.
func startInotify(wake func()) (*inotify, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("inotify_init1", err)
	}
	n := &inotify{file: os.NewFile(uintptr(fd), "inotify"), wake: wake, watched: map[int][]*interest{}}
	n.add = n.addWatch
	n.read.Go(n.readAll)
	return n, nil
}

// close ends the reading goroutine. It may be called twice.
func (n *inotify) close() {
	n.file.Close()
	n.read.Wait()
}

// failure returns why no more events will come, or nil.
func (n *inotify) failure() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.broken
}

// follow makes dirs what is watched. Each is added anew, which changes nothing for a directory that is the same as before;
// a path may have become another directory. It reports whether there is something that was not watched for before. The
// error tells of a directory that cannot be watched, and is no reason not to use the others.
func (n *inotify) follow(dirs map[string]*interest) (moved bool, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	before := n.watched
	n.watched = make(map[int][]*interest, len(dirs))
	for _, dir := range byWorth(dirs) {
		i, mask := dirs[dir], uint32(entryEvents|addFlags)
		if i.leaf {
			mask |= fileEvents
		}
		wd, addErr := n.add(dir, mask)
		switch {
		case errors.Is(addErr, unix.ENOENT) || errors.Is(addErr, unix.ENOTDIR):
			moved = true // it vanished since the survey, which was too early
		case addErr != nil:
			if err == nil {
				err = fmt.Errorf("watch directory %s: %w", dir, addErr)
			}
		default:
			moved = moved || !slices.ContainsFunc(before[wd], i.equal)
			n.watched[wd] = append(n.watched[wd], i)
		}
	}
	for wd := range before {
		if _, ok := n.watched[wd]; !ok {
			n.remove(wd)
		}
	}
	return moved, err
}

// byWorth returns directories in the order in which they are to be watched while there are watches left: those of files
// before those on the way to them.
func byWorth(dirs map[string]*interest) []string {
	rank := func(dir string) int {
		if dirs[dir].leaf {
			return 0
		}
		return 1
	}
	return slices.SortedFunc(maps.Keys(dirs), func(a, b string) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a, b))
	})
}

func (n *inotify) addWatch(dir string, mask uint32) (wd int, err error) {
	ctlErr := n.control(func(fd int) { wd, err = unix.InotifyAddWatch(fd, dir, mask) })
	return wd, errors.Join(err, ctlErr)
}

// remove ends a watch. The kernel has ended it already if the directory is gone.
func (n *inotify) remove(wd int) {
	_ = n.control(func(fd int) { _, _ = unix.InotifyRmWatch(fd, uint32(wd)) })
}

// control lends the descriptor; File.Fd would make it blocking.
func (n *inotify) control(use func(fd int)) error {
	raw, err := n.file.SyscallConn()
	if err != nil {
		return err
	}
	return raw.Control(func(fd uintptr) { use(int(fd)) })
}

// readAll wakes for events until the file is closed. Should reading fail, it says so and wakes for the last time.
func (n *inotify) readAll() {
	buf := make([]byte, 64<<10)
	for {
		size, err := n.file.Read(buf)
		if errors.Is(err, os.ErrClosed) {
			return
		}
		if err != nil {
			n.mu.Lock()
			n.broken = fmt.Errorf("read inotify events: %w", err)
			n.mu.Unlock()
			n.wake()
			return
		}
		if n.matter(buf[:size]) {
			n.wake()
		}
	}
}

// matter reports whether an event among those in buf is worth a look.
func (n *inotify) matter(buf []byte) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	for len(buf) >= unix.SizeofInotifyEvent {
		wd := int(int32(binary.NativeEndian.Uint32(buf[0:])))
		mask := binary.NativeEndian.Uint32(buf[4:])
		length := binary.NativeEndian.Uint32(buf[12:])
		end := min(unix.SizeofInotifyEvent+int(length), len(buf))
		name := string(bytes.TrimRight(buf[unix.SizeofInotifyEvent:end], "\x00"))
		buf = buf[end:]
		if n.worthALook(wd, mask, name) {
			return true
		}
	}
	return false
}

func (n *inotify) worthALook(wd int, mask uint32, name string) bool {
	if mask&unix.IN_Q_OVERFLOW != 0 {
		return true
	}
	for _, i := range n.watched[wd] {
		if mask&selfEvents != 0 || name != "" && i.cares(name, mask&unix.IN_ISDIR != 0) {
			return true
		}
	}
	return false
}
