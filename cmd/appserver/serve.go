package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"github.com/appserver-go/appserver/arbiter"
	"github.com/appserver-go/appserver/config"
	"github.com/appserver-go/appserver/internal/fault"
	"github.com/appserver-go/appserver/internal/handover"
	"github.com/appserver-go/appserver/internal/postmortem"
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
		Use:   "serve [flags] app.wasm [-- argument...]",
		Short: "Serve HTTP with a guest",
		Args:  guestArgs,
	}
	bindFlags(cmd.Flags())
	setSectionHelp(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		heir, environ, err := handover.Inherit(p.environ)
		if err != nil {
			return err
		}
		p.environ = environ
		if heir != nil {
			defer func() { heir.Fail(err); heir.Close() }() // the old arbiter takes the end for the end
		}
		loaded, err := loadServable(cmd.Flags(), p.environ, args)
		if err != nil {
			return err
		}
		// From here on a signal must find somebody who gives back what was taken, also before the arbiter runs.
		ctx, stop := signal.NotifyContext(cmd.Context(), unix.SIGTERM, unix.SIGINT, unix.SIGQUIT)
		defer stop()
		return serve(ctx, &server{p: p, flags: cmd.Flags(), args: args, loaded: loaded, heir: heir})
	}
	return cmd
}

// serve becomes the arbiter: it gathers all that an arbiter needs, in gunicorn's order, and gives everything back when
// the arbiter has ended.
func serve(ctx context.Context, s *server) error {
	cfg, file := &s.loaded.Config, s.loaded.File
	err := s.enter(cfg)
	if file != "" && !filepath.IsAbs(file) {
		file = filepath.Join(s.dir, file) // found before the change of directory
	}
	if err != nil {
		return err
	}
	if s.program, err = newProgram(s.p.args, s.p.environ, s.dir); err != nil {
		return err
	}
	if s.who, err = lookupOwner(cfg); err != nil {
		return err
	}
	logs, err := openLogs(cfg, s.p.stdout, s.p.stderr, s.who)
	if err != nil {
		return err
	}
	s.logs = logs
	defer logs.Close()
	report, environ := newReporter(s.p.environ, os.Getpid(), logs.Logger)
	s.p.environ = environ
	watch, err := newFileWatch(cfg, file, logs.Logger)
	if err != nil {
		return err
	}
	defer watch.stop()
	guest, err := readArtifact(cfg.Paths())
	if err != nil {
		return err
	}
	defer guest.file.Close()
	logs.Logger.Info("Starting appserver", "version", ownVersion(), "pid", os.Getpid(), "config", s.loaded.File,
		"guest", cfg.Serves(), "sha256", guest.digest()[:12])
	opts, err := arbiterOptions(cfg, logs)
	if err != nil {
		return err
	}
	opts.Artifact, opts.ShareLimit, opts.Load = guest.file, guest.shareLimit(cfg), s.next
	opts.Program, opts.HandOver = s.program, report.handOver
	s.certs.log = logs.Logger
	certs, err := s.certs.load(cfg)
	if err != nil {
		return err
	}
	opts.Secrets = certs.message()
	s.certs.adopt(certs)
	if cfg.Pidfile != "" {
		if opts.Pidfile, err = s.lockPidfile(cfg.Pidfile); err != nil {
			return err
		}
		defer opts.Pidfile.Remove() // on the ways out before the arbiter has it, which removes it itself
	}
	opts.Sockets, opts.Env, err = s.listen(ctx, cfg)
	if ctx.Err() != nil {
		logs.Logger.Info("Stopped while starting")
		return nil // Listen gives back what it had opened
	}
	if err != nil {
		return err
	}
	names := opts.Sockets.Names()
	logs.Logger.Info("Listening", "addresses", names, "worker_class", cfg.WorkerClass, "workers", cfg.Workers)
	gauge := workersGauge{statsd: logs.statsd}
	opts.Alive = func(v arbiter.Vitals) {
		report.alive(v)
		gauge.alive(v)
	}
	opts.Ready = func() {
		logs.Logger.Info("Ready", "addresses", names)
		watch.start(ctx)
	}
	return s.run(ctx, opts)
}

// run is the arbiter until its end, with a desk for its operators.
func (s *server) run(ctx context.Context, opts arbiter.Options) (err error) {
	if s.desk, err = openDesk(ctx, s.loaded, opts.Env, s.logs.Logger, s.heir != nil); err != nil {
		return errors.Join(err, opts.Sockets.Close(true))
	}
	defer s.desk.Close()
	if s.heir != nil {
		opts.Predecessor, opts.Will, opts.Promoted = s.heir, s.heir.Will, s.desk.promote
	}
	monitor, err := openMonitor(ctx, s)
	if err != nil {
		return errors.Join(err, opts.Sockets.Close(true))
	}
	defer monitor.Close()
	a, err := arbiter.New(opts)
	if err != nil {
		return errors.Join(err, opts.Sockets.Close(true))
	}
	if err := monitor.attach(a); err != nil {
		return errors.Join(err, opts.Sockets.Close(true))
	}
	s.desk.attach(a)
	s.certs.renew = a.Renew
	watched, end := context.WithCancel(ctx)
	s.certs.start(watched)
	defer s.certs.stop()
	defer end()
	return a.Run(ctx)
}

// server is what the arbiter's process keeps of its start for the next generations.
type server struct {
	p         process
	flags     *pflag.FlagSet
	args      []string
	dir       string // where it was started
	who       owner
	logs      *logs
	inherited bool    // the sockets came from a service manager
	loaded    *Loaded // the configuration of the present generation
	desk      *desk
	program   *arbiter.Program // what an upgrade executes
	heir      *handover.Heir   // of the arbiter that has executed this one, or nil
	certs     certificates
}

// enter changes to the working directory and remembers the one before.
func (s *server) enter(cfg *config.Config) error {
	dir, err := os.Getwd()
	if err != nil {
		return fault.New("start the server in a directory that exists", "find the working directory: %w", err)
	}
	s.dir = dir
	return enter(cfg)
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
func (s *server) listen(ctx context.Context, cfg *config.Config) (*sockets.Set, []string, error) {
	opts := s.socketOptions(cfg)
	opts.Retries, opts.RetryDelay = bindRetries, bindDelay
	if s.heir != nil {
		set, err := s.succeed(ctx, cfg, opts)
		return set, s.p.environ, err
	}
	fds, environ, err := sockets.Inherit(s.p.environ, os.Getpid())
	if err != nil {
		return nil, nil, err
	}
	if s.inherited = len(fds) > 0; s.inherited {
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

// socketOptions are the settings as package sockets takes them.
func (s *server) socketOptions(cfg *config.Config) sockets.Options {
	opts := sockets.Options{
		Backlog: cfg.Backlog, Mode: os.FileMode(cfg.SocketMode), UID: s.who.uid, GID: s.who.gid, Log: s.logs.Logger,
		TLS: cfg.Certfile != "",
	}
	if cfg.ListenMode == "slots" {
		opts.Slots = cfg.Workers
	}
	return opts
}

// arbiterOptions are the settings as the arbiter takes them.
func arbiterOptions(cfg *config.Config, logs *logs) (arbiter.Options, error) {
	settings, err := arbiterSettings(cfg)
	return arbiter.Options{
		Settings: settings, MinReady: cfg.MinReady, AppName: appName(cfg), Log: logs.Logger, ReopenLogs: logs.Reopen, Lost: logs.lost,
		Examine: postmortem.Examine,
	}, err
}

// arbiterSettings are those that generations can have different.
func arbiterSettings(cfg *config.Config) (arbiter.Settings, error) {
	encoded, err := json.Marshal(cfg)
	if err != nil {
		return arbiter.Settings{}, err
	}
	return arbiter.Settings{
		Workers: cfg.Workers, ReloadBatch: cfg.ReloadBatch, Threads: slotsOf(cfg),
		Timeout: cfg.Timeout, AbortGrace: cfg.AbortGrace, WorkerTimeout: cfg.WorkerTimeout,
		BootTimeout: cfg.BootTimeout, GracefulTimeout: cfg.GracefulTimeout,
		AutoUpgrade: cfg.Upgrade == "auto",
		MaxMemory:   int64(cfg.MaxWorkerMemory), MaxAge: cfg.MaxAge,
		Config: encoded,
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
	return filepath.Base(cfg.Serves())
}
