package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/appserver-go/appserver/config"
	"github.com/appserver-go/appserver/reloader"
)

// fileWatch asks the arbiter for a reload when files change. The nil *fileWatch is that of a server without --reload.
type fileWatch struct {
	w       *reloader.Watcher
	log     *slog.Logger
	cancel  context.CancelFunc
	running sync.WaitGroup
}

// newFileWatch notes the content of the guests, the configuration file (an absolute path, or none) and reload_extra_files,
// so it comes before the guests are read. Nothing is reported before start.
func newFileWatch(cfg *config.Config, file string, log *slog.Logger) (*fileWatch, error) {
	if !cfg.Reload {
		return nil, nil
	}
	files := cfg.Paths()
	if file != "" {
		files = append(files, file)
	}
	w, err := reloader.New(files, cfg.ReloadExtraFiles, reloader.Options{Engine: reloader.Engine(cfg.ReloadEngine), Log: log})
	if err != nil {
		return nil, err
	}
	return &fileWatch{w: w, log: log, cancel: func() {}}, nil
}

// start begins to watch, and sends the arbiter, which must be handling signals by now, SIGHUP for each change.
func (f *fileWatch) start(ctx context.Context) {
	if f == nil {
		return
	}
	ctx, f.cancel = context.WithCancel(ctx)
	f.running.Go(func() { f.w.Run(ctx) })
	f.running.Go(func() {
		// Without a handler the signal would end the process, in the moment between the arbiter's end and stop.
		handled := make(chan os.Signal, 1)
		signal.Notify(handled, unix.SIGHUP)
		defer signal.Stop(handled)
		for {
			select {
			case c := <-f.w.C():
				f.log.Info("Files changed", "files", c.Files)
				_ = unix.Kill(os.Getpid(), unix.SIGHUP) // it cannot fail for a signal to oneself
			case <-ctx.Done():
				return
			}
		}
	})
}

// stop ends the watch and waits for that.
func (f *fileWatch) stop() {
	if f == nil {
		return
	}
	f.cancel()
	f.running.Wait()
}
