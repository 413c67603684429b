package arbiter

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/appserver-go/appserver/internal/proto"
)

// memfd makes a file in memory with a size and seals.
func memfd(t *testing.T, size int64, seals int) *os.File {
	t.Helper()
	fd, err := unix.MemfdCreate("test", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "test")
	t.Cleanup(func() { f.Close() })
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals); err != nil {
		t.Fatal(err)
	}
	return f
}

const allSeals = unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE | unix.F_SEAL_SEAL

// closed reports whether a file was closed.
func closed(f *os.File) bool {
	_, err := f.Stat()
	return errors.Is(err, os.ErrClosed)
}

// sharing makes an arbiter with a worker that boots, and a way for it to share.
func sharing(t *testing.T) (a *Arbiter, w *worker, share func(name string, f *os.File)) {
	o := testOptions()
	o.ShareLimit = 1 << 20
	if err := o.check(); err != nil {
		t.Fatal(err)
	}
	a = newArbiter(o, nopEnv{})
	f := &fake{sim: newSim(), post: func(event) bool { return true }}
	w = &worker{proc: f, state: booted, log: o.Log, spec: spec{gen: a.gen}}
	a.workers = []*worker{w}
	return a, w, func(name string, file *os.File) {
		a.handleEvent(event{proc: f, kind: message, msg: proto.Message{
			Type: proto.TypeShare, Share: &proto.Share{Name: name}, File: file,
		}})
	}
}

// What a worker shares goes to the workers that are started later, under the descriptors that they are told.
func TestSharedFilesGoToLaterWorkers(t *testing.T) {
	a, w, share := sharing(t)
	image, code := memfd(t, 4096, allSeals), memfd(t, 1<<20, allSeals)
	before := spec{gen: a.gen, shared: a.gen.shared}
	share("image", image)
	share("code", code)
	if w.state != booted || len(a.gen.shared) != 2 || closed(image) {
		t.Fatalf("the worker is %s, %d files are shared", w.state, len(a.gen.shared))
	}
	a.gen.artifact = memfd(t, 1, 0)
	after := spec{gen: a.gen, shared: a.gen.shared}
	if m := before.start().Start; len(m.Shared) != 0 {
		t.Errorf("a worker that was started before is told of %v", m.Shared)
	}
	m := after.start().Start
	if len(m.Shared) != 2 || m.Shared[0] != (proto.Shared{FD: m.Artifact + 1, Name: "image"}) || m.Shared[1].FD != m.Artifact+2 {
		t.Errorf("told of artifact %d, shared %v", m.Artifact, m.Shared)
	}
	a.gen.closeFiles()
	if !closed(image) || !closed(code) || !closed(a.gen.artifact) {
		t.Error("files of a generation that is over are open")
	}
}

// A file that is not kept is closed, and does a worker no harm that sends it in good faith.
func TestSharedFilesThatAreNotKept(t *testing.T) {
	for name, prepare := range map[string]func(a *Arbiter, w *worker){
		"draining":                   func(_ *Arbiter, w *worker) { w.state = draining },
		"ready":                      func(_ *Arbiter, w *worker) { w.state = ready },
		"of a past generation":       func(a *Arbiter, _ *worker) { a.gen = newGeneration(2, &a.opts.Settings) },
		"of a generation given up":   func(a *Arbiter, w *worker) { w.spec.gen = newGeneration(2, &a.opts.Settings) },
		"while the server goes down": func(a *Arbiter, _ *worker) { a.halt = &halt{} },
		"of a check":                 func(_ *Arbiter, w *worker) { w.spec.check = true },
		"too large":                  func(a *Arbiter, _ *worker) { a.gen.limits.share = 4095 },
		"unknown worker":             func(a *Arbiter, _ *worker) { a.workers = nil },
		"one too many": func(a *Arbiter, _ *worker) {
			a.gen.shared = make([]sharedFile, maxShared)
		},
		"the second of its name": func(a *Arbiter, _ *worker) {
			a.gen.shared = []sharedFile{{name: "image"}}
		},
	} {
		a, w, share := sharing(t)
		prepare(a, w)
		was, state := len(w.spec.gen.shared), w.state
		f := memfd(t, 4096, allSeals)
		share("image", f)
		if !closed(f) || len(w.spec.gen.shared) != was || w.state != state {
			t.Errorf("%s: closed %v, %d files are shared, the worker is %s", name, closed(f), len(w.spec.gen.shared), w.state)
		}
	}
}

// The canary's files belong to its generation while it boots.
func TestCanaryShares(t *testing.T) {
	a, w, share := sharing(t)
	next := newGeneration(2, &a.opts.Settings)
	w.spec.gen, a.reload = next, &reload{gen: next, canary: w, cancel: func() {}, began: time.Now()}
	f := memfd(t, 1, allSeals)
	share("image", f)
	if len(next.shared) != 1 || len(a.gen.shared) != 0 {
		t.Errorf("%d and %d files are shared", len(next.shared), len(a.gen.shared))
	}
	a.dropReload(errHalting)
	if !closed(f) {
		t.Error("the reload was given up, and the file is open")
	}
}

// A worker that shares what others could be harmed with is no worker of ours.
func TestSharedFilesThatCanChangeKillTheWorker(t *testing.T) {
	regular, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	_, pipe, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	for name, f := range map[string]*os.File{
		"regular file": regular, "pipe": pipe, "no seals": memfd(t, 1, 0),
		"no seal on writing":   memfd(t, 1, allSeals&^unix.F_SEAL_WRITE),
		"no seal on shrinking": memfd(t, 1, allSeals&^unix.F_SEAL_SHRINK),
	} {
		a, w, share := sharing(t)
		share("image", f)
		if w.state != killed || !closed(f) || len(a.gen.shared) != 0 {
			t.Errorf("%s: the worker is %s, closed %v", name, w.state, closed(f))
		}
	}
}
