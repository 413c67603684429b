package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/appserver-go/appserver/control"
	"github.com/appserver-go/appserver/internal/fault"
)

// fakeServer is a control socket with a scripted server behind it.
type fakeServer struct {
	path string
	feed *control.Feed

	mu    sync.Mutex
	calls []string
	st    control.Status
	err   error
}

func startFake(t *testing.T, dir string) *fakeServer {
	t.Helper()
	s, err := control.Listen(t.Context(), []string{dir})
	if err != nil {
		t.Fatal(err)
	}
	f := &fakeServer{path: s.Path(), feed: &control.Feed{}, st: busyStatus()}
	srv := control.Serve(s, control.Options{Backend: f, Feed: f.feed, Log: slog.New(slog.DiscardHandler)})
	t.Cleanup(func() { srv.Close() })
	return f
}

// controlDir makes an XDG_RUNTIME_DIR whose sockets have short paths, and returns it and the directory of the sockets.
func controlDir(t *testing.T) (runtime, sockets string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "run")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir, filepath.Join(dir, "appserver")
}

func (f *fakeServer) note(format string, args ...any) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, fmt.Sprintf(format, args...))
	return f.err
}

func (f *fakeServer) told() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Join(f.calls, "; ")
}

func (f *fakeServer) Status(context.Context) (*control.Status, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	st := f.st
	return &st, nil
}

func (f *fakeServer) Config(context.Context) ([]control.Setting, error) { return nil, nil }

func (f *fakeServer) Reload(context.Context) (control.Reloaded, error) {
	return control.Reloaded{Generation: 8}, f.note("reload")
}

func (f *fakeServer) Upgrade(_ context.Context, u control.Upgrade) (control.Upgraded, error) {
	return control.Upgraded{PID: 4711}, f.note("upgrade keep=%v", u.Keep)
}

func (f *fakeServer) Scale(_ context.Context, s control.Scale) (control.Scaled, error) {
	n, how := 0, "by"
	if s.Workers != nil {
		n, how = *s.Workers, "to"
	} else {
		n = *s.By
	}
	return control.Scaled{From: 2, To: 3}, f.note("scale %s %d", how, n)
}

func (f *fakeServer) Reopen(context.Context) error                 { return f.note("reopen") }
func (f *fakeServer) Drain(context.Context) error                  { return f.note("drain") }
func (f *fakeServer) Stop(_ context.Context, s control.Stop) error { return f.note("stop %v", s.Quick) }
func (f *fakeServer) Kill(_ context.Context, pid int) error        { return f.note("kill %d", pid) }

// busyStatus is a server with all sorts of workers, and with clients who try to take the terminal over.
func busyStatus() control.Status {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	hostile := "/\x1b[2J\x1b]0;owned\x07\u202egnp.\xff\r\nforged line é 漢字/" + strings.Repeat("a", 200)
	return control.Status{
		App: "shop", Guest: "/srv/shop.wasm", Version: "0.2", PID: os.Getpid(), State: "reloading", Stage: "canary", Generation: 3,
		Now: now, Started: now.Add(-3 * time.Hour), Uptime: 3 * 3600, Sockets: []string{"http://127.0.0.1:8000", "unix:/run/s"},
		Target: 3, Ready: 2, RSS: 14 << 20,
		Reload: &control.Reload{At: now.Add(-90 * time.Second), Generation: 3, Error: "guest \x1b[31mtrapped", Hint: "mend it"},
		Workers: []control.Worker{
			{
				PID: 1001, Slot: 0, Number: 7, Generation: 3, State: "ready", Age: 7200, Threads: 4, Busy: 2, Requests: 123456, RSS: 45 << 20,
				InFlight: []control.Request{
					{Worker: 1001, ID: "a", Method: "GET", Path: "/orders?page=2", Age: 0.25},
					{Worker: 1001, Row: 1, ID: "b", Method: "PROPFIND\x1b[5m", Path: hostile, Age: 29},
				},
			},
			{PID: 1002, Slot: 1, Number: 8, Generation: 3, State: "ready", Retiring: "max_requests", Age: 65, Threads: 4, Requests: 1000, RSS: 1200 << 20},
			{PID: 1003, Slot: 2, Number: 9, Generation: 4, State: "booted", Stage: "compiling", Canary: true, Age: 1.5, Threads: 4},
		},
	}
}

// cli runs a command of appserver and returns what it printed and its exit code.
func cli(t *testing.T, env []string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := command(args...)
	cmd.Env = append(cmd.Env, env...)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

var errFake = &fault.Error{Err: errors.New("guest failed to load: bad\x1b[31m"), Hint: "mend the guest", Code: fault.LoadFailed}
