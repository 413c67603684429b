package main

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/appserver-go/appserver/arbiter"
	"github.com/appserver-go/appserver/config"
	"github.com/appserver-go/appserver/internal/fault"
	"github.com/appserver-go/appserver/sockets"
)

// bindRetries and bindDelay are gunicorn's: an address in use is tried five times, a second apart. A server that is
// being replaced needs a moment to let go of its port.
const (
	bindRetries = 4
	bindDelay   = time.Second
)

func newServe(p process) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve [flags] app.wasm",
		Short: "Serve HTTP with a guest",
		Args:  maxArgs(1),
	}
	bindFlags(cmd.Flags())
	setSectionHelp(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		loaded, err := loadConfig(cmd.Flags(), p.environ, args)
		if err == nil {
			err = loaded.Config.RequireApp()
		}
		if err != nil {
			return err
		}
		// From here on a signal must find somebody who gives back what was taken, also before the arbiter runs.
		ctx, stop := signal.NotifyContext(cmd.Context(), unix.SIGTERM, unix.SIGINT, unix.SIGQUIT)
		defer stop()
		return serve(ctx, p, loaded)
	}
	return cmd
}

// serve becomes the arbiter: it gathers all that an arbiter needs, in gunicorn's order, and gives everything back when
// the arbiter has ended.
func serve(ctx context.Context, p process, loaded *Loaded) error {
	cfg, file := &loaded.Config, loaded.File
	if file != "" { // found before the change of directory
		var err error
		if file, err = filepath.Abs(file); err != nil {
			return err
		}
	}
	if err := enter(cfg); err != nil {
		return err
	}
	who, err := lookupOwner(cfg)
	if err != nil {
		return err
	}
	logs, err := openLogs(cfg, p.stdout, p.stderr, who)
	if err != nil {
		return err
	}
	defer logs.Close()
	report, environ := newReporter(p.environ, os.Getpid(), logs.Logger)
	p.environ = environ
	watch, err := newFileWatch(cfg, file, logs.Logger)
	if err != nil {
		return err
	}
	defer watch.stop()
	guest, err := readArtifact(cfg.App)
	if err != nil {
		return err
	}
	defer guest.file.Close()
	logs.Logger.Info("Starting appserver", "version", ownVersion(), "pid", os.Getpid(), "config", loaded.File,
		"guest", cfg.App, "sha256", guest.digest[:12])
	opts, err := arbiterOptions(cfg, logs)
	if err != nil {
		return err
	}
	opts.Artifact = guest.file
	if cfg.Pidfile != "" {
		if opts.Pidfile, err = arbiter.LockPidfile(cfg.Pidfile); err != nil {
			return err
		}
		defer opts.Pidfile.Remove() // on the ways out before the arbiter has it, which removes it itself
	}
	opts.Sockets, opts.Env, err = listen(ctx, p, cfg, who, logs.Logger)
	if ctx.Err() != nil {
		logs.Logger.Info("Stopped while starting")
		return nil // Listen gives back what it had opened
	}
	if err != nil {
		return err
	}
	logs.Logger.Info("Listening", "addresses", opts.Sockets.Names(), "worker_class", cfg.WorkerClass, "workers", cfg.Workers)
	opts.Alive = report.alive
	opts.Ready = func() {
		logs.Logger.Info("Ready", "addresses", opts.Sockets.Names())
		watch.start(ctx)
	}
	a, err := arbiter.New(opts)
	if err != nil {
		return errors.Join(err, opts.Sockets.Close(true))
	}
	return a.Run(ctx)
}

// enter applies the settings that concern the process as a whole.
func enter(cfg *config.Config) error {
	unix.Umask(int(cfg.Umask))
	if cfg.Chdir == "" {
		return nil
	}
	if err := os.Chdir(cfg.Chdir); err != nil {
		return fault.New("create the directory, or mend the setting", "chdir: cannot change to %s: %w", cfg.Chdir, errors.Unwrap(err))
	}
	return nil
}

// listen opens the sockets, or adopts those a service manager has opened, and returns the environment without what was
// meant for this process alone.
func listen(ctx context.Context, p process, cfg *config.Config, who owner, log *slog.Logger) (*sockets.Set, []string, error) {
	opts := sockets.Options{
		Backlog: cfg.Backlog, Mode: os.FileMode(cfg.SocketMode), UID: who.uid, GID: who.gid,
		Retries: bindRetries, RetryDelay: bindDelay, Log: log,
	}
	if cfg.ListenMode == "slots" {
		opts.Slots = cfg.Workers
	}
	fds, environ, err := sockets.Inherit(p.environ, os.Getpid())
	if err != nil {
		return nil, nil, err
	}
	if len(fds) > 0 {
		set, err := sockets.ListenInherited(fds, opts)
		return set, environ, err
	}
	addrs, err := parseBinds(cfg.Bind)
	if err != nil {
		return nil, nil, err
	}
	set, err := sockets.Listen(ctx, addrs, opts)
	return set, environ, err
}

// arbiterOptions are the settings as the arbiter takes them.
func arbiterOptions(cfg *config.Config, logs *logs) (arbiter.Options, error) {
	settings, err := json.Marshal(cfg)
	if err != nil {
		return arbiter.Options{}, err
	}
	return arbiter.Options{
		Workers: cfg.Workers, MinReady: cfg.MinReady, Threads: slotsOf(cfg),
		Timeout: cfg.Timeout, AbortGrace: cfg.AbortGrace, WorkerTimeout: cfg.WorkerTimeout,
		BootTimeout: cfg.BootTimeout, GracefulTimeout: cfg.GracefulTimeout,
		Config: settings, AppName: appName(cfg),
		Log: logs.Logger, ReopenLogs: logs.Reopen, Lost: logs.lost,
	}, nil
}

// slotsOf returns how many requests a worker of the class can have at once.
func slotsOf(cfg *config.Config) int {
	if cfg.WorkerClass == "sync" {
		return 1
	}
	return cfg.Threads
}

// appName is what process titles say.
func appName(cfg *config.Config) string {
	if cfg.ProcName != "" {
		return cfg.ProcName
	}
	return filepath.Base(cfg.App)
}
