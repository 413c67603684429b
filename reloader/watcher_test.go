package reloader

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/appserver-go/appserver/internal/fault"
	"github.com/appserver-go/appserver/internal/texttest"
)

// patience is how long a test waits for what must happen; it is never spent when things work.
const patience = 20 * time.Second

// watching is a Watcher at work on real files.
type watching struct {
	t   *testing.T
	w   *Watcher
	dir string
	log *texttest.Buffer
}

// watch begins to watch files and globs in dir. Prepare, if not nil, may change the watcher before it runs.
func watch(t *testing.T, engine Engine, dir string, files, globs []string, prepare func(*Watcher)) *watching {
	t.Helper()
	x := &watching{t: t, dir: dir, log: &texttest.Buffer{}}
	in := func(names []string) (paths []string) {
		for _, name := range names {
			paths = append(paths, dir+"/"+name)
		}
		return paths
	}
	var err error
	x.w, err = New(in(files), in(globs), Options{
		Engine: engine, Debounce: 30 * time.Millisecond, Poll: 20 * time.Millisecond, Log: slog.New(slog.NewTextHandler(x.log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	if prepare != nil {
		prepare(x.w)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var run sync.WaitGroup
	run.Go(func() { x.w.Run(ctx) })
	t.Cleanup(func() { cancel(); run.Wait() })
	return x
}

// want receives changes until all the files have been reported, and wants no others.
func (x *watching) want(files ...string) {
	x.t.Helper()
	deadline := time.After(patience)
	seen := map[string]bool{}
	for len(seen) < len(files) {
		select {
		case c := <-x.w.C():
			for _, f := range c.Files {
				name := strings.TrimPrefix(f, x.dir+"/")
				if !slices.Contains(files, name) {
					x.t.Fatalf("%s was reported, want %v", name, files)
				}
				seen[name] = true
			}
		case <-deadline:
			x.t.Fatalf("only %v was reported, want %v\n%s", seen, files, x.log)
		}
	}
}

func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// desk does what programs do to files, and fails the test when it cannot.
type desk struct {
	t   *testing.T
	dir string
}

func (d desk) ok(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
}

func (d desk) path(name string) string { return filepath.Join(d.dir, name) }

func (d desk) write(name, content string) {
	d.t.Helper()
	d.ok(os.MkdirAll(filepath.Dir(d.path(name)), 0o755))
	d.ok(os.WriteFile(d.path(name), []byte(content), 0o644))
}

func (d desk) rename(from, to string) { d.t.Helper(); d.ok(os.Rename(d.path(from), d.path(to))) }

func (d desk) remove(name string) { d.t.Helper(); d.ok(os.RemoveAll(d.path(name))) }

func (d desk) link(target, name string) { d.t.Helper(); d.ok(os.Symlink(target, d.path(name))) }

func (d desk) age(name string) {
	d.t.Helper()
	old := time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC)
	d.ok(os.Chtimes(d.path(name), old, old))
}

// What happened between New and Run is not lost.
func TestChangeBeforeRun(t *testing.T) {
	d := desk{t, t.TempDir()}
	d.write("app.wasm", "1")
	x := watch(t, Auto, d.dir, []string{"app.wasm"}, nil, func(*Watcher) { d.write("app.wasm", "2") })
	x.want("app.wasm")
}

func TestNewRefuses(t *testing.T) {
	for _, test := range []struct {
		files, globs []string
		engine       Engine
		want         string
	}{
		{nil, nil, "", "there is nothing to watch"},
		{[]string{""}, nil, "", "cannot watch a file without a name"},
		{nil, []string{""}, "", "cannot watch a file without a name"},
		{[]string{"/"}, nil, "", `cannot watch "/": it is a directory`},
		{nil, []string{"a/[b/*.x"}, "", `cannot watch "a/[b/*.x": bad pattern "[b"`},
		{[]string{"a"}, nil, "kqueue", `there is no engine "kqueue" to watch files with`},
	} {
		_, err := New(test.files, test.globs, Options{Engine: test.engine})
		if err == nil || err.Error() != test.want || fault.Hint(err) == "" {
			t.Errorf("New(%q, %q): %v (hint %q), want %s", test.files, test.globs, err, fault.Hint(err), test.want)
		}
	}
}

// A relative path is that in the directory of New, wherever the process goes.
func TestRelativePath(t *testing.T) {
	d := desk{t, t.TempDir()}
	d.write("app.wasm", "1")
	t.Chdir(d.dir)
	w, err := New([]string{"./app.wasm"}, []string{"*.wasm"}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	cwd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := w.reported[filepath.Join(cwd, "app.wasm")]; !ok || len(w.reported) != 1 {
		t.Errorf("watches %v", w.reported)
	}
}

// Nothing is left open when Run has returned.
func TestRunCloses(t *testing.T) {
	instances := func() (n int) {
		fds, err := filepath.Glob("/proc/self/fd/*")
		if err != nil {
			t.Fatal(err)
		}
		for _, fd := range fds {
			if target, _ := os.Readlink(fd); target == "anon_inode:inotify" {
				n++
			}
		}
		return n
	}
	d := desk{t, t.TempDir()}
	d.write("app.wasm", "1")
	before := instances()
	for i := range 20 {
		w, err := New([]string{d.path("app.wasm")}, nil, Options{Debounce: time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		var run sync.WaitGroup
		run.Go(func() { w.Run(ctx) })
		d.write("app.wasm", fmt.Sprint("2.", i))
		select {
		case <-w.C():
		case <-time.After(patience):
			t.Fatal("no change")
		}
		cancel()
		run.Wait()
	}
	if after := instances(); after != before {
		t.Errorf("%d instances of inotify before, %d after", before, after)
	}
}
