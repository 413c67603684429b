package reloader

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sys/unix"
)

// source is how a Watcher sees files. Its methods are called from one goroutine.
type source interface {
	// open begins to watch. A receive from hints says that files may have changed.
	open() (hints <-chan struct{})
	// look returns the files as they are. If open was called, a change of what it returns is hinted at.
	look() (stamps, attention)
	// read returns a file's content, and the stamp it has had all the while; a zero stamp means that it was not steady.
	read(path string) (sum, stamp, error)
	close()
}

// attention says how far hints can be relied on.
type attention struct {
	complete bool // every change will be hinted at: there is no need to look without a hint
	moved    bool // but some directories are hinted at only since this look
}

// disk is the source of production.
type disk struct {
	patterns []pattern
	ignored  ignored
	engine   Engine
	poll     time.Duration
	log      *slog.Logger
	hints    chan struct{}
	start    func(wake func()) (*inotify, error)

	inotify *inotify // nil before open, when polling, and when it failed
	failed  error    // why it did
	said    string   // the trouble last logged
	lasting bool     // the watch is running, so that trouble is worth a line
}

var _ source = (*disk)(nil)

func newDisk(patterns []pattern, o *Options) *disk {
	poll := o.Poll
	if poll <= 0 {
		poll = DefaultPoll
	}
	return &disk{
		patterns: patterns, ignored: o.Ignore, engine: o.Engine, poll: poll, log: o.Log, hints: make(chan struct{}, 1), start: startInotify,
	}
}

func (d *disk) open() <-chan struct{} {
	d.lasting = true
	if d.engine != Poll {
		d.inotify, d.failed = d.start(d.wake)
	}
	return d.hints
}

// wake leaves a hint, unless there is one that nobody has seen yet.
func (d *disk) wake() {
	select {
	case d.hints <- struct{}{}:
	default:
	}
}

func (d *disk) read(path string) (sum, stamp, error) { return readFile(path) }

func (d *disk) close() {
	if d.inotify != nil {
		d.inotify.close()
	}
}

// looks bounds how often one look follows directories that come into being while it is taken. Those that still do are
// hinted at, because the directory above them is watched by then.
const looks = 8

func (d *disk) look() (stamps, attention) {
	if d.inotify != nil && d.failed == nil {
		d.failed = d.inotify.failure()
	}
	p := survey(d.patterns, d.ignored)
	if d.inotify == nil || d.failed != nil {
		d.tell(d.failed)
		return p.files, attention{}
	}
	var att attention
	var err error
	for range looks {
		var moved bool
		moved, err = d.inotify.follow(p.dirs)
		att.moved = att.moved || moved
		if !moved {
			break
		}
		// What happened in a new directory before it was watched was not hinted at.
		p = survey(d.patterns, d.ignored)
	}
	if err == nil {
		err = p.err
	}
	if err == nil && d.engine != Inotify {
		err = remote(p.dirs)
	}
	att.complete = err == nil
	d.tell(err)
	return p.files, att
}

// tell logs the trouble that makes polling necessary when it is a new one, and its end.
func (d *disk) tell(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text == d.said || !d.lasting {
		return
	}
	d.said = text
	if err == nil {
		d.log.Info("Watching with inotify alone again")
		return
	}
	attrs := []any{"error", err, "interval", d.poll}
	if hint := advice(err); hint != "" {
		attrs = append(attrs, "hint", hint)
	}
	var far *remoteError
	if errors.As(err, &far) { // expected on such file systems, and nothing to mend
		d.log.Info("Polling files beside inotify", attrs...)
		return
	}
	d.log.Warn("Cannot rely on inotify, polling files too", attrs...)
}

// advice says what can be done about a limit of inotify(7).
func advice(err error) string {
	switch {
	case errors.Is(err, unix.ENOSPC):
		return "raise the sysctl fs.inotify.max_user_watches"
	case errors.Is(err, unix.EMFILE):
		return "raise the sysctl fs.inotify.max_user_instances or the limit on open files"
	case errors.Is(err, unix.EACCES):
		return "let the server's user read the directory"
	}
	return ""
}

// remoteError tells of a directory whose files other machines may change, which inotify does not see (inotify(7)).
type remoteError struct{ dir string }

func (e *remoteError) Error() string {
	return fmt.Sprintf("%s is on a file system whose changes the kernel may not see", e.dir)
}

// remote reports a directory that is on a network file system or shared with a virtual machine's host.
func remote(dirs map[string]*interest) error {
	for _, dir := range byWorth(dirs) {
		var st unix.Statfs_t
		if !dirs[dir].leaf || unix.Statfs(dir, &st) != nil {
			continue
		}
		switch uint32(st.Type) {
		case unix.NFS_SUPER_MAGIC, unix.SMB_SUPER_MAGIC, unix.CIFS_SUPER_MAGIC, unix.SMB2_SUPER_MAGIC, unix.CEPH_SUPER_MAGIC,
			unix.AFS_SUPER_MAGIC, unix.CODA_SUPER_MAGIC, unix.NCP_SUPER_MAGIC, unix.V9FS_MAGIC, unix.FUSE_SUPER_MAGIC, vboxsfMagic:
			return &remoteError{dir}
		}
	}
	return nil
}

// vboxsfMagic is VBOXSF_SUPER_MAGIC of the kernel's fs/vboxsf/super.c.
const vboxsfMagic = 0x786f4256

// isNotDir reports that a path leads through something that is no directory.
func isNotDir(err error) bool { return errors.Is(err, unix.ENOTDIR) }
