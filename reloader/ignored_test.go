package reloader

import (
	"context"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/appserver-go/appserver/internal/texttest"
)

// What is ignored is neither reported nor a reason to look, whatever is written there and however often.
func TestIgnored(t *testing.T) {
	for _, engine := range []Engine{Inotify, Poll} {
		t.Run(string(engine), func(t *testing.T) {
			t.Parallel()
			dir, err := filepath.EvalSymlinks(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			d := desk{t, dir}
			d.write("src/main.c", "1")
			d.write("named/target/app.wasm", "1")
			w, err := New([]string{d.path("named/target/app.wasm")}, []string{d.path("**/*")}, Options{
				Engine: engine, Debounce: 30 * time.Millisecond, Poll: 20 * time.Millisecond,
				Ignore: []string{"target", "*.o", d.path("data")},
			})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(context.Background())
			var run sync.WaitGroup
			run.Go(func() { w.Run(ctx) })
			t.Cleanup(func() { cancel(); run.Wait() })
			x := &watching{t: t, w: w, dir: dir, log: &texttest.Buffer{}}
			stop := make(chan struct{})
			run.Go(func() { // a build that never ends must not keep sources from settling
				for n := 0; ; n++ {
					d.write("src/main.o", strings.Repeat("x", n))
					d.write("target/debug/deps", strings.Repeat("x", n))
					d.write("src/target/x", strings.Repeat("x", n))
					d.write("data/db", strings.Repeat("x", n))
					select {
					case <-stop:
						return
					case <-time.After(time.Millisecond):
					}
				}
			})
			d.write("src/main.c", "2")
			x.want("src/main.c")
			d.write("src/data/new", "1") // only the directory at the top is named
			x.want("src/data/new")
			d.write("named/target/app.wasm", "2")
			x.want("named/target/app.wasm")
			close(stop)
		})
	}
}

func TestIgnoreIsChecked(t *testing.T) {
	for _, bad := range []string{"", "[", "a/b", "./a"} {
		if _, err := New([]string{"x"}, nil, Options{Ignore: []string{bad}}); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
