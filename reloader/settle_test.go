package reloader

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// fakeFiles is a source without files, on the clock of a synctest bubble.
type fakeFiles struct {
	mu       sync.Mutex
	hints    chan struct{}
	content  map[string]string
	stamps   stamps
	broken   map[string]error
	blind    bool // changes are not hinted at
	moved    bool // the next look finds a new directory
	looks    int
	reads    int
	whenRead func() // called in the middle of a read
}

func newFakeFiles(files ...string) *fakeFiles {
	f := &fakeFiles{hints: make(chan struct{}, 1), content: map[string]string{}, stamps: stamps{}, broken: map[string]error{}}
	for _, name := range files {
		f.put(name, "first")
	}
	return f
}

// put writes a file; empty content removes it.
func (f *fakeFiles) put(name, content string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if content == "" {
		delete(f.content, name)
		delete(f.stamps, name)
	} else {
		f.content[name] = content
		f.stamps[name] = stamp{inode: 1, size: int64(len(content)), changed: time.Now()}
	}
	f.hint()
}

func (f *fakeFiles) hint() {
	if f.blind {
		return
	}
	select {
	case f.hints <- struct{}{}:
	default:
	}
}

func (f *fakeFiles) open() <-chan struct{} { return f.hints }

func (f *fakeFiles) close() {}

func (f *fakeFiles) look() (stamps, attention) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.looks++
	now := stamps{}
	for name, s := range f.stamps {
		now[name] = s
	}
	att := attention{complete: !f.blind, moved: f.moved}
	f.moved = false
	return now, att
}

func (f *fakeFiles) read(path string) (sum, stamp, error) {
	f.mu.Lock()
	f.reads++
	when := f.whenRead
	f.whenRead = nil
	if err := f.broken[path]; err != nil {
		f.mu.Unlock()
		return sum{}, stamp{}, err
	}
	var content sum
	copy(content[:], f.content[path])
	f.mu.Unlock()
	if when != nil {
		when()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return content, f.stamps[path], nil
}

func (f *fakeFiles) counts() (looks, reads int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.looks, f.reads
}

// observer runs a Watcher over fake files and notes when it reports what.
type observer struct {
	t     *testing.T
	files *fakeFiles
	began time.Time
	w     *Watcher
}

func observe(t *testing.T, f *fakeFiles, o Options, test func(*observer)) {
	synctest.Test(t, func(t *testing.T) {
		for name, s := range f.stamps { // made outside of the bubble
			s.changed = time.Now().Add(-time.Hour)
			f.stamps[name] = s
		}
		f.hints = make(chan struct{}, 1)
		w := newWatcher(f, o)
		w.named = map[string]bool{"/app": true}
		w.last, _ = f.look()
		w.hash(w.last)
		w.deliver()
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() { w.Run(ctx); close(done) }()
		time.Sleep(time.Second)
		test(&observer{t: t, files: f, began: time.Now(), w: w})
		cancel()
		<-done
	})
}

// want receives a change, at the time after the beginning when it must come.
func (o *observer) want(at time.Duration, files ...string) {
	o.t.Helper()
	select {
	case c := <-o.w.C():
		if !slices.Equal(c.Files, files) || time.Since(o.began) != at {
			o.t.Errorf("reported %v after %v, want %v after %v", c.Files, time.Since(o.began), files, at)
		}
	case <-time.After(time.Minute):
		o.t.Errorf("%v was not reported", files)
	}
}

// wantNothing lets a minute pass without a change.
func (o *observer) wantNothing() {
	o.t.Helper()
	select {
	case c := <-o.w.C():
		o.t.Errorf("reported %v after %v", c.Files, time.Since(o.began))
	case <-time.After(time.Minute):
	}
}

const ms = time.Millisecond

func TestSettling(t *testing.T) {
	for name, test := range map[string]func(*observer){
		"one write": func(o *observer) {
			o.files.put("/app", "second")
			o.want(100*ms, "/app")
			o.wantNothing()
		},
		"byte by byte": func(o *observer) {
			for i := range 50 {
				o.files.put("/app", strings.Repeat("x", i+1))
				time.Sleep(90 * ms)
			}
			o.want(49*90*ms+100*ms, "/app")
			o.wantNothing()
		},
		"same content": func(o *observer) {
			o.files.put("/app", "first")
			o.wantNothing()
		},
		"there and back": func(o *observer) {
			o.files.put("/app", "second")
			time.Sleep(50 * ms)
			o.files.put("/app", "first")
			o.wantNothing()
		},
		"gone and back with the same": func(o *observer) {
			o.files.put("/app", "")
			o.wantNothing()
			o.files.put("/app", "first")
			o.wantNothing()
		},
		"gone and back with another": func(o *observer) {
			o.files.put("/app", "")
			o.wantNothing()
			o.files.put("/app", "second")
			o.want(60*time.Second+100*ms, "/app")
		},
		"a file of a glob vanishes and is back": func(o *observer) {
			o.files.put("/extra", "")
			o.want(100*ms, "/extra")
			o.files.put("/extra", "first")
			o.want(200*ms, "/extra")
			o.wantNothing()
		},
		"several at once": func(o *observer) {
			o.files.put("/extra", "second")
			time.Sleep(20 * ms)
			o.files.put("/app", "second")
			time.Sleep(20 * ms)
			o.files.put("/new", "first")
			o.want(140*ms, "/app", "/extra", "/new")
		},
		"gathered while nobody receives": func(o *observer) {
			o.files.put("/app", "second")
			time.Sleep(time.Second)
			o.files.put("/extra", "second")
			time.Sleep(time.Second)
			o.want(2*time.Second, "/app", "/extra")
			o.wantNothing()
		},
		"taken back while nobody receives": func(o *observer) {
			o.files.put("/app", "second")
			time.Sleep(time.Second)
			o.files.put("/app", "first")
			time.Sleep(time.Second)
			o.wantNothing()
		},
		"not reported while a newer one settles": func(o *observer) {
			o.files.put("/app", "second")
			time.Sleep(time.Second)
			o.files.put("/app", "third")
			synctest.Wait()
			o.want(1100*ms, "/app")
			o.wantNothing()
		},
		"changed while it was read": func(o *observer) {
			o.files.mu.Lock()
			o.files.whenRead = func() { o.files.put("/app", "third, complete") }
			o.files.mu.Unlock()
			o.files.put("/app", "second")
			o.want(200*ms, "/app")
			synctest.Wait()
			if got := o.w.reported["/app"]; !strings.HasPrefix(string(got[:]), "third") {
				o.t.Errorf("what was reported is %q", got)
			}
			o.wantNothing()
		},
		"in a directory that was not watched": func(o *observer) {
			o.files.mu.Lock()
			o.files.moved = true
			o.files.mu.Unlock()
			o.files.put("/app", "second")
			o.want(200*ms, "/app")
		},
		"unreadable": func(o *observer) {
			o.files.mu.Lock()
			o.files.broken["/app"] = errors.New("no")
			o.files.mu.Unlock()
			o.files.put("/app", "second")
			o.wantNothing()
			o.files.mu.Lock()
			delete(o.files.broken, "/app")
			o.files.hint()
			o.files.mu.Unlock()
			o.want(60*time.Second+100*ms, "/app")
		},
		"hinted at once more": func(o *observer) { // the same stamp, within what a file system can tell apart
			o.files.put("/app", "second")
			o.want(100*ms, "/app")
			o.files.mu.Lock()
			o.files.content["/app"] = "SECOND"
			o.files.hint()
			o.files.mu.Unlock()
			o.want(200*ms, "/app")
		},
	} {
		t.Run(name, func(t *testing.T) { observe(t, newFakeFiles("/app", "/extra"), Options{}, test) })
	}
}

func TestPolling(t *testing.T) {
	blind := func() *fakeFiles {
		f := newFakeFiles("/app", "/extra")
		f.blind = true
		return f
	}
	// The watch is a second old when a test begins, and looked for the second time after 100 ms; so ticks come at 100 ms.
	for name, test := range map[string]func(*observer){
		"one write": func(o *observer) {
			o.files.put("/app", "second")
			o.want(200*ms, "/app")
			o.wantNothing()
		},
		"while it is written": func(o *observer) {
			for i := range 50 {
				o.files.put("/app", strings.Repeat("x", i+1))
				time.Sleep(90 * ms)
			}
			o.want(4500*ms+100*ms, "/app")
		},
		"older": func(o *observer) {
			o.files.mu.Lock()
			o.files.content["/app"] = "older"
			o.files.stamps["/app"] = stamp{inode: 2, size: 5, modified: time.Unix(1, 0), changed: time.Now()}
			o.files.mu.Unlock()
			o.want(200*ms, "/app")
		},
		"without a trace in the stamp": func(o *observer) {
			o.files.put("/app", "second")
			o.want(200*ms, "/app")
			o.files.mu.Lock()
			o.files.content["/app"] = "SECOND"
			o.files.mu.Unlock()
			o.want(1300*ms, "/app")
			o.wantNothing()
		},
	} {
		t.Run(name, func(t *testing.T) { observe(t, blind(), Options{Poll: time.Second}, test) })
	}
	t.Run("more often than the debounce", func(t *testing.T) {
		observe(t, blind(), Options{Poll: 30 * ms}, func(o *observer) {
			time.Sleep(time.Minute)
			o.began = time.Now()
			o.files.put("/app", "second")
			select {
			case c := <-o.w.C():
				if !slices.Equal(c.Files, []string{"/app"}) || time.Since(o.began) > 130*ms {
					t.Errorf("reported %v after %v", c.Files, time.Since(o.began))
				}
			case <-time.After(time.Minute):
				t.Error("nothing was reported")
			}
		})
	})
}

// A watch on which nothing happens does nothing; polling looks once in an interval and reads nothing.
func TestIdle(t *testing.T) {
	for name, test := range map[string]struct {
		blind bool
		looks int
	}{"inotify": {false, 0}, "poll": {true, 1800}} {
		t.Run(name, func(t *testing.T) {
			f := newFakeFiles("/app", "/extra")
			f.blind = test.blind
			observe(t, f, Options{Poll: 2 * time.Second}, func(o *observer) {
				time.Sleep(time.Minute)
				looks, reads := f.counts()
				time.Sleep(time.Hour)
				looksLater, readsLater := f.counts()
				if n := looksLater - looks; n != test.looks || readsLater != reads {
					t.Errorf("%d looks and %d reads in an hour, want %d and 0", n, readsLater-reads, test.looks)
				}
			})
		})
	}
}
