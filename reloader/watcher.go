package reloader

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/appserver-go/appserver/internal/fault"
)

// Engine says how changes are noticed.
type Engine string

// The engines, named as in gunicorn's reload_engine.
const (
	// Auto is Inotify, and Poll beside it for file systems whose changes may be made by other machines.
	Auto Engine = "auto"
	// Inotify has the kernel tell of changes. Where it cannot, the log says why, and Poll helps out.
	Inotify Engine = "inotify"
	// Poll looks at every file in an interval.
	Poll Engine = "poll"
)

// The defaults of Options.
const (
	DefaultDebounce = 100 * time.Millisecond
	DefaultPoll     = time.Second
)

// Options says how to watch. The zero value has the defaults.
type Options struct {
	// Debounce is how long files must have stood still before a change is reported; 0 means DefaultDebounce.
	Debounce time.Duration
	// Poll is the interval of polling, where there is any; 0 means DefaultPoll.
	Poll time.Duration
	// Engine is how changes are noticed; empty means Auto.
	Engine Engine
	// Ignore are files and directories that no wildcard finds: absolute paths without symbolic links, or patterns of
	// path/filepath.Match for names anywhere. What is named without a wildcard is watched all the same.
	Ignore []string
	// Log is told what hinders the watch. Nil discards it.
	Log *slog.Logger
}

// Change tells of files that have settled with content other than that last reported.
type Change struct {
	// Files are the paths, absolute and sorted: those given to New, and those that a glob matches. Among them are files
	// that a glob has newly found, and those it no longer finds. A file given by its name is not reported when it
	// vanishes, because there is nothing to load, but when it is back with other content.
	Files []string
}

// Watcher watches a set of files. Make one with New and let Run do the work.
type Watcher struct {
	opts Options
	src  source
	log  *slog.Logger
	out  chan Change

	named    map[string]bool // files whose disappearance is not reported
	reported map[string]sum  // what the reader of C knows
	settled  map[string]sum  // what there is
	last     stamps          // of the last look
	cached   map[string]known
	unread   map[string]string // files that cannot be read, and why, as was logged
}

// known is a file's content at a time.
type known struct {
	stamp stamp
	sum   sum
	at    time.Time
}

// New notes the content of files and of all that globs match; changes count from then on, so it is best called before
// the files are read by anybody else. Files are names and may hold any character. Globs have * ? and [ as in
// path/filepath.Match, for one part of a path each, and ** for any number of directories; as in a shell, a wildcard does
// not match a name that begins with a dot, and ** does not follow links. Nothing needs to exist yet. Relative paths are
// taken from the present directory. The error is a *fault.Error about a path or pattern that cannot be.
func New(files, globs []string, o Options) (*Watcher, error) {
	patterns, named, err := parsePatterns(files, globs)
	if err != nil {
		return nil, err
	}
	if len(patterns) == 0 {
		return nil, fault.New("name a file", "there is nothing to watch")
	}
	if !slices.Contains([]Engine{"", Auto, Inotify, Poll}, o.Engine) {
		return nil, fault.New("it is auto, inotify or poll", "there is no engine %q to watch files with", o.Engine)
	}
	if err := ignored(o.Ignore).check(); err != nil {
		return nil, err
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	w := newWatcher(newDisk(patterns, &o), o)
	w.named = named
	for range settleTries {
		w.last, _ = w.src.look()
		if w.hash(w.last) {
			break
		}
	}
	w.reported = maps.Clone(w.settled)
	return w, nil
}

// settleTries bounds how often New reads files that change under its eyes. If they still do, Run reports them later.
const settleTries = 5

func newWatcher(src source, o Options) *Watcher {
	if o.Debounce <= 0 {
		o.Debounce = DefaultDebounce
	}
	if o.Poll <= 0 {
		o.Poll = DefaultPoll
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Watcher{
		opts: o, src: src, log: o.Log, out: make(chan Change),
		reported: map[string]sum{}, settled: map[string]sum{}, cached: map[string]known{}, unread: map[string]string{},
	}
}

// C returns the channel of changes. While nobody receives, changes gather in one: a receiver learns of all files that
// differ from what it was last told, and of none that has changed back meanwhile. The channel is never closed.
func (w *Watcher) C() <-chan Change { return w.out }

// Run watches until ctx is done. Nothing else ends it: what goes wrong is logged, and polling takes over. It must be
// called once; all that it opens is closed when it returns.
func (w *Watcher) Run(ctx context.Context) {
	hints := w.src.open()
	defer w.src.close()
	quiet, poll := stoppedTimer(), stoppedTimer()
	defer quiet.Stop()
	defer poll.Stop()
	unrest := true // something may have changed since the files were last seen settled
	_, complete := w.glance(unrest)
	quiet.Reset(w.opts.Debounce)
	for {
		if complete {
			poll.Stop()
		}
		change := Change{Files: w.differences()}
		var out chan<- Change
		if len(change.Files) > 0 && !unrest {
			out = w.out
		}
		select {
		case <-ctx.Done():
			return
		case <-hints:
			unrest = true
			quiet.Reset(w.opts.Debounce)
		case <-poll.C:
			var fresh bool
			if fresh, complete = w.glance(unrest); fresh {
				unrest = true
				quiet.Reset(w.opts.Debounce)
			}
			if !complete {
				poll.Reset(w.opts.Poll)
			}
		case <-quiet.C:
			var still bool
			if still, complete = w.settle(); !still {
				quiet.Reset(w.opts.Debounce)
			}
			unrest = !still
			if !complete {
				poll.Reset(w.opts.Poll)
			}
		case out <- change:
			w.deliver()
		}
	}
}

// stoppedTimer returns a timer that waits for its Reset.
func stoppedTimer() *time.Timer {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return t
}

// glance looks at the files between events. Fresh unrest is that they differ from the last look; or, when there was none, that
// they may differ unseen.
func (w *Watcher) glance(unrest bool) (fresh, complete bool) {
	now, att := w.src.look()
	fresh = !now.equal(w.last) || !unrest && w.doubtful(now)
	w.last = now
	return fresh, att.complete
}

// settle is called when no event came for the debounce. The files have settled if events would have told of any change,
// or else if they look as they did a debounce ago, and if they did not change while they were read.
func (w *Watcher) settle() (still, complete bool) {
	now, att := w.src.look()
	still = now.equal(w.last) || att.complete && !att.moved
	w.last = now
	return still && w.hash(now), att.complete
}

// coarsest is the coarsest time stamp of file systems in use, FAT's. A file read within that time of its last change
// may have been changed again without a trace in its stamp.
const coarsest = 2 * time.Second

// trusted reports whether a file with the stamp must have the content that is known.
func (k known) trusted(s stamp) bool {
	return k.stamp == s && k.at.Sub(s.changed) > coarsest
}

// doubtful reports whether some file was read so soon after its change that its stamp proves nothing.
func (w *Watcher) doubtful(now stamps) bool {
	for path, s := range now {
		if k, ok := w.cached[path]; ok && k.stamp == s && !k.trusted(s) {
			return true
		}
	}
	return false
}

// hash finds the content of files where it may be new. It reports whether they stood still.
func (w *Watcher) hash(now stamps) bool {
	settled := make(map[string]sum, len(now))
	for path, s := range now {
		k, ok := w.cached[path]
		if !ok || !k.trusted(s) {
			at := time.Now()
			content, read, err := w.src.read(path)
			w.complain(path, err)
			if err != nil {
				if old, ok := w.settled[path]; ok {
					settled[path] = old // it is still there, whatever it holds
				}
				continue
			}
			if read != s {
				return false
			}
			k = known{stamp: s, sum: content, at: at}
			w.cached[path] = k
		}
		settled[path] = k.sum
	}
	w.settled = settled
	maps.DeleteFunc(w.cached, func(path string, _ known) bool { _, ok := now[path]; return !ok })
	maps.DeleteFunc(w.unread, func(path, _ string) bool { _, ok := now[path]; return !ok })
	return true
}

// complain logs why a file cannot be read, once for each reason.
func (w *Watcher) complain(path string, err error) {
	if err == nil {
		delete(w.unread, path)
		return
	}
	if why := err.Error(); w.unread[path] != why {
		w.unread[path] = why
		w.log.Warn("Cannot read a watched file", "file", path, "error", err)
	}
}

// differences returns the files that are not as reported, sorted.
func (w *Watcher) differences() []string {
	var files []string
	for path, s := range w.settled {
		if old, ok := w.reported[path]; !ok || old != s {
			files = append(files, path)
		}
	}
	for path := range w.reported {
		if _, ok := w.settled[path]; !ok && !w.named[path] {
			files = append(files, path)
		}
	}
	slices.Sort(files)
	return files
}

// deliver takes note that the reader of C knows what there is now.
func (w *Watcher) deliver() {
	for path := range w.reported {
		if _, ok := w.settled[path]; !ok && !w.named[path] {
			delete(w.reported, path)
		}
	}
	maps.Copy(w.reported, w.settled)
}
