package reloader

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Files beside the watched ones, and what is read, do not wake anybody.
func TestNeighboursDoNotWake(t *testing.T) {
	d := desk{t, t.TempDir()}
	d.write("app.wasm", "1")
	d.write("web/index.html", "1")
	patterns, _, err := parsePatterns([]string{d.path("app.wasm")}, []string{d.path("web/*.html"), d.path("src/**/*.go")})
	if err != nil {
		t.Fatal(err)
	}
	d.write("src/a/b.go", "1")
	wakes := make(chan struct{}, 1000)
	n, err := startInotify(func() { wakes <- struct{}{} })
	if err != nil {
		t.Fatal(err)
	}
	defer n.close()
	if _, err := n.follow(survey(patterns, nil).dirs); err != nil {
		t.Fatal(err)
	}
	for i := range 200 {
		d.write("access.log", strings.Repeat("GET /\n", i))
		d.write(".app.wasm.swp", fmt.Sprint(i))
		d.write("app.wasm.log", fmt.Sprint(i))
		d.write("web/error.log", fmt.Sprint(i))
		d.write("web/.hidden.html", fmt.Sprint(i))
		d.write("src/a/b.go.orig", fmt.Sprint(i))
		d.ok(os.Rename(d.path("access.log"), d.path("access.log.1")))
		if _, err := os.ReadFile(d.path("app.wasm")); err != nil {
			t.Fatal(err)
		}
		survey(patterns, nil)
		if _, err := n.follow(survey(patterns, nil).dirs); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chtimes(d.path("src/a/b.go"), time.Unix(1, 0), time.Unix(1, 0)); err != nil { // one event, and the last one
		t.Fatal(err)
	}
	<-wakes
	if n := len(wakes); n != 0 {
		t.Errorf("woken %d times by neighbours", n)
	}
}

// An event that wakes is one by name, or one about the directory itself.
func TestWhatMatters(t *testing.T) {
	n := &inotify{watched: map[int][]*interest{
		7: {{names: map[string]bool{"app.wasm": true}, parts: []part{{"*.html", true}}}},
		8: {{tree: true}},
	}}
	event := func(wd int32, mask uint32, name string) []byte {
		padded := make([]byte, (len(name)+16)/16*16)
		copy(padded, name)
		var b []byte
		b = binary.NativeEndian.AppendUint32(b, uint32(wd))
		b = binary.NativeEndian.AppendUint32(b, mask)
		b = binary.NativeEndian.AppendUint32(b, 0)
		b = binary.NativeEndian.AppendUint32(b, uint32(len(padded)))
		return append(b, padded...)
	}
	for _, test := range []struct {
		wd   int32
		mask uint32
		name string
		want bool
	}{
		{7, unix.IN_MODIFY, "app.wasm", true},
		{7, unix.IN_CREATE, "x.html", true},
		{7, unix.IN_CREATE, ".x.html", false},
		{7, unix.IN_MODIFY, "app.wasm2", false},
		{7, unix.IN_ATTRIB, "", false},
		{7, unix.IN_DELETE_SELF, "", true},
		{7, unix.IN_MOVE_SELF, "", true},
		{7, unix.IN_IGNORED, "", false},
		{7, unix.IN_UNMOUNT, "", true},
		{8, unix.IN_CREATE | unix.IN_ISDIR, "sub", true},
		{8, unix.IN_CREATE, "file", false},
		{9, unix.IN_MODIFY, "app.wasm", false},
		{-1, unix.IN_Q_OVERFLOW, "", true},
	} {
		if got := n.matter(event(test.wd, test.mask, test.name)); got != test.want {
			t.Errorf("wd %d, mask %#x, name %q: %v, want %v", test.wd, test.mask, test.name, got, test.want)
		}
		both := append(event(7, unix.IN_MODIFY, "other"), event(test.wd, test.mask, test.name)...)
		if got := n.matter(both); got != test.want {
			t.Errorf("as the second of two: wd %d, mask %#x, name %q: %v, want %v", test.wd, test.mask, test.name, got, test.want)
		}
	}
	if n.matter(event(7, unix.IN_MODIFY, "app.wasm")[:20]) {
		t.Error("half an event matters")
	}
}

// fails makes the disk's next inotify say err for every directory that bad accepts, while on.
func fails(w *Watcher, on *atomic.Bool, err error) {
	d := w.src.(*disk)
	d.start = func(wake func()) (*inotify, error) {
		n, startErr := startInotify(wake)
		if startErr != nil {
			return nil, startErr
		}
		real := n.add
		n.add = func(dir string, mask uint32) (int, error) {
			if on.Load() {
				return 0, err
			}
			return real(dir, mask)
		}
		return n, nil
	}
}

// When the kernel has no more watches, files are polled, and the log says so; also that it is over.
func TestWatchLimit(t *testing.T) {
	for _, test := range []struct {
		errno syscall.Errno
		hint  string
	}{{unix.ENOSPC, "max_user_watches"}, {unix.EACCES, "read the directory"}, {unix.EMFILE, "max_user_instances"}} {
		t.Run(test.errno.Error(), func(t *testing.T) {
			d := desk{t, t.TempDir()}
			d.write("app.wasm", "1")
			var on atomic.Bool
			on.Store(true)
			x := watch(t, Auto, d.dir, []string{"app.wasm"}, nil, func(w *Watcher) { fails(w, &on, test.errno) })
			eventually(t, "the limit is logged", func() bool { return strings.Contains(x.log.String(), test.hint) })
			for i := range 5 {
				d.write("app.wasm", fmt.Sprint("poll ", i))
				x.want("app.wasm")
			}
			if n := strings.Count(x.log.String(), "\n"); n != 1 {
				t.Errorf("%d lines of log, want one:\n%s", n, x.log)
			}
			on.Store(false)
			eventually(t, "the recovery is logged", func() bool { return strings.Contains(x.log.String(), "again") })
			d.write("app.wasm", "inotify")
			x.want("app.wasm")
		})
	}
}

// Without inotify at all, or when its descriptor breaks later, polling takes over.
func TestInotifyBreaks(t *testing.T) {
	for name, start := range map[string]func(wake func()) (*inotify, error){
		"at the start": func(func()) (*inotify, error) { return nil, os.NewSyscallError("inotify_init1", unix.EMFILE) },
		"later": func(wake func()) (*inotify, error) {
			r, w, err := os.Pipe()
			if err != nil {
				return nil, err
			}
			n := &inotify{file: r, wake: wake, watched: map[int][]*interest{}, add: func(string, uint32) (int, error) { return 1, nil }}
			n.read = sync.WaitGroup{}
			n.read.Go(n.readAll)
			return n, w.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := desk{t, t.TempDir()}
			d.write("app.wasm", "1")
			x := watch(t, Inotify, d.dir, []string{"app.wasm"}, nil, func(w *Watcher) { w.src.(*disk).start = start })
			eventually(t, "the failure is logged", func() bool { return strings.Contains(x.log.String(), "polling") })
			for i := range 3 {
				d.write("app.wasm", fmt.Sprint(i))
				x.want("app.wasm")
			}
		})
	}
}

// A file that cannot be read is complained of once, and reported when it can be.
func TestUnreadable(t *testing.T) {
	d := desk{t, t.TempDir()}
	d.write("app.wasm", "1")
	x := watch(t, Inotify, d.dir, []string{"app.wasm"}, nil, func(w *Watcher) { w.src = &unreadable{source: w.src} })
	src := x.w.src.(*unreadable)
	src.on.Store(true)
	d.write("app.wasm", "2")
	eventually(t, "the complaint is logged", func() bool { return strings.Contains(x.log.String(), "Cannot read a watched file") })
	d.write("app.wasm", "3")
	src.on.Store(false)
	d.write("app.wasm", "4")
	x.want("app.wasm")
	if n := strings.Count(x.log.String(), "Cannot read"); n != 1 {
		t.Errorf("%d complaints:\n%s", n, x.log)
	}
}

type unreadable struct {
	source
	on atomic.Bool
}

func (u *unreadable) read(path string) (sum, stamp, error) {
	if u.on.Load() {
		return sum{}, stamp{}, errors.New("permission denied")
	}
	return u.source.read(path)
}
