package main

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"github.com/appserver-go/appserver/config"
	"github.com/appserver-go/appserver/dev"
	"github.com/appserver-go/appserver/internal/fault"
	"github.com/appserver-go/appserver/reloader"
	"github.com/appserver-go/appserver/sockets"
)

// devAddress is where dev listens unless it is told otherwise. It is not serve's, so that both can run.
const devAddress = "127.0.0.1:8080"

// buildFlag is the only flag of dev that is no setting, beside --config.
const buildFlag = "build"

func newDev(p process) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dev [flags] [app.wasm | directory] [-- argument...]",
		Short: "Build and serve a guest, again after each change",
		Long: "Build the guest in a directory, by default this one, and serve it on " + devAddress + ". After each change it is built and\n" +
			"loaded again, and pages in browsers reload themselves. What is wrong is shown there and here: the compiler's\n" +
			"output, or the guest's stack. Go modules, Cargo packages, AssemblyScript packages and C with a Makefile are known;\n" +
			"--build is for everything else. A module that is named without --build is served as others build it.",
		Args: guestArgs,
	}
	bindFlags(cmd.Flags())
	cmd.Flags().String(buildFlag, "", "shell `command` that builds the guest")
	setSectionHelp(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		loaded, err := loadConfig(cmd.Flags(), p.environ, args)
		if err != nil {
			return err
		}
		ctx, stop := signal.NotifyContext(cmd.Context(), unix.SIGTERM, unix.SIGINT, unix.SIGQUIT, unix.SIGHUP)
		defer stop()
		_, guest := splitArgs(cmd.Flags(), args)
		return develop(ctx, p, cmd.Flags(), loaded, guest)
	}
	return cmd
}

// develop runs dev until ctx is done, and gives everything back. Guest are the guest's arguments from the command line.
func develop(ctx context.Context, p process, flags *pflag.FlagSet, loaded *Loaded, guest []string) error {
	cfg := &loaded.Config
	scratch, err := os.MkdirTemp("", "appserver-dev-")
	if err != nil {
		return fault.New("set TMPDIR to a directory that can be written to", "make a directory for what is built: %w", err)
	}
	defer os.RemoveAll(scratch)
	build, err := flags.GetString(buildFlag)
	if err != nil {
		return err
	}
	project, err := devProject(cfg, build, scratch)
	if err != nil {
		return err
	}
	listeners, err := devListen(ctx, loaded)
	if err != nil {
		return err
	}
	defer closeAll(listeners)
	console := newDevConsole(p.stderr, cfg)
	hub, journal := dev.NewHub(), dev.NewJournal()
	server := dev.NewServer(dev.ServerOptions{
		Args: devArgs(flags, cfg), GuestArgs: guest, Environ: devEnviron(p.environ), Stdout: p.stdout, Dir: scratch,
		Record: func(r *dev.Record) { journal.Add(r); console.record(r) },
	})
	session, err := dev.NewSession(dev.SessionOptions{
		Project: project, Server: server, Hub: hub, Journal: journal, Settings: devSettings(loaded), Extra: cfg.ReloadExtraFiles,
		Engine: reloader.Engine(cfg.ReloadEngine), Log: console.log, Tell: console.tell,
	})
	if err != nil {
		return err
	}
	front := dev.NewFront(dev.FrontOptions{
		Project: project, Socket: server.Socket(), IDField: devIDField(cfg), Hub: hub, Journal: journal, Public: isPublic(listeners),
		Log: console.log, Tell: console.tell,
	})
	console.log.Info("Developing", "addresses", urls(listeners), "project", project.Kind, "directory", project.Dir,
		"control_socket", server.ControlSocket())
	return console.run(ctx, cfg, session, front, listeners)
}

// run serves until ctx is done or a listener fails.
func (c *devConsole) run(ctx context.Context, cfg *config.Config, session *dev.Session, front http.Handler, listeners []net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	web := &http.Server{Handler: front, ReadHeaderTimeout: cfg.HeaderTimeout, ErrorLog: c.debugLogger()}
	var running sync.WaitGroup
	failed := make(chan error, len(listeners))
	for _, l := range listeners {
		running.Go(func() {
			if err := web.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				failed <- err
				cancel()
			}
		})
	}
	session.Run(ctx)
	err := web.Close()
	running.Wait()
	select {
	case err := <-failed:
		return fault.New("", "accept connections: %w", err)
	default:
	}
	c.log.Info("Stopped")
	return err
}

// devProject finds out what to build and to serve.
func devProject(cfg *config.Config, build, scratch string) (*dev.Project, error) {
	base, err := filepath.Abs(cfg.Chdir)
	if err != nil {
		return nil, fault.New("start it in a directory that exists", "find the working directory: %w", err)
	}
	absolute := func(path string) string {
		if !filepath.IsAbs(path) {
			path = filepath.Join(base, path)
		}
		if real, err := filepath.EvalSymlinks(path); err == nil {
			return real
		}
		return path
	}
	o := dev.Options{Scratch: scratch, Protocol: cfg.Guest.Protocol}
	for _, path := range append(writableDirs(cfg), cfg.AccessLog, cfg.ErrorLog, cfg.Pidfile) {
		if path != "" && path != "-" {
			o.Ignore = append(o.Ignore, absolute(path))
		}
	}
	target := absolute(cmp.Or(cfg.App, "."))
	info, err := os.Stat(target)
	isDir := err == nil && info.IsDir() || err != nil && !slices.Contains([]string{".wasm", ".so"}, filepath.Ext(target))
	switch {
	case build != "" && isDir:
		return dev.Command(target, build, "", o), nil
	case build != "":
		return dev.Command(absolute("."), build, target, o), nil
	case isDir:
		return dev.Recognise(target, o)
	default:
		return dev.Module(target), nil
	}
}

// writableDirs are the directories that the guest writes to.
func writableDirs(cfg *config.Config) []string {
	var paths []string
	for _, text := range cfg.Guest.Dirs {
		if dir, err := config.ParseDir(text); err == nil && dir.Writable {
			paths = append(paths, dir.Host)
		}
	}
	return paths
}

// devListen opens the addresses.
func devListen(ctx context.Context, loaded *Loaded) ([]net.Listener, error) {
	bind := loaded.Config.Bind
	if loaded.Sources["bind"].Kind == config.FromDefault {
		bind = []string{devAddress}
	}
	addrs, err := parseBinds(bind)
	if err != nil {
		return nil, err
	}
	var listeners []net.Listener
	for _, a := range addrs {
		network, address := "tcp", net.JoinHostPort(a.Host, strconv.Itoa(a.Port))
		switch a.Network {
		case sockets.Unix:
			network, address = "unix", a.Path
		case sockets.FD:
			return nil, errors.Join(fault.New("bind an address", "dev takes no sockets from others"), closeAll(listeners))
		}
		l, err := (&net.ListenConfig{}).Listen(ctx, network, address)
		if err != nil {
			return nil, errors.Join(fault.New("choose another with --bind", "listen: %w", err), closeAll(listeners))
		}
		listeners = append(listeners, l)
	}
	return listeners, nil
}

func closeAll(listeners []net.Listener) error {
	for _, l := range listeners {
		l.Close() // nothing is lost with it
	}
	return nil
}

// isPublic reports whether somebody on another machine, or behind a proxy, may be a client.
func isPublic(listeners []net.Listener) bool {
	return slices.ContainsFunc(listeners, func(l net.Listener) bool {
		addr, err := netip.ParseAddrPort(l.Addr().String())
		return err != nil || !addr.Addr().IsLoopback()
	})
}

// urls are the addresses for people.
func urls(listeners []net.Listener) []string {
	var out []string
	for _, l := range listeners {
		scheme := "http://"
		if l.Addr().Network() == "unix" {
			scheme = "unix:"
		}
		out = append(out, scheme+l.Addr().String())
	}
	return out
}

// devArgs are the settings of the command line for the server, but for what dev has taken for itself.
func devArgs(flags *pflag.FlagSet, cfg *config.Config) []string {
	var args []string
	flags.Visit(func(f *pflag.Flag) {
		if f.Name == configFlag {
			args = append(args, "--"+f.Name+"="+f.Value.String())
		}
		if v, ok := f.Value.(*flagValue); ok && f.Name != "bind" {
			for _, text := range v.texts {
				args = append(args, "--"+f.Name+"="+text)
			}
		}
	})
	if level := cfg.LogLevel; level != "debug" {
		args = append(args, "--log-level=info") // dev reads it, and then shows as much as it was asked for
	}
	return append(args, "--request-id-header="+devIDField(cfg))
}

// devIDField is the header field with the names of requests: dev finds in the log what it is told by them.
func devIDField(cfg *config.Config) string { return cmp.Or(cfg.RequestIDHeader, "X-Request-Id") }

// devEnviron is the environment without what a service manager has meant for this process.
func devEnviron(environ []string) []string {
	ours := []string{"NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"}
	return slices.DeleteFunc(slices.Clone(environ), func(pair string) bool {
		name, _, _ := strings.Cut(pair, "=")
		return slices.Contains(ours, name)
	})
}

// devSettings are the files that the server reads beside the guest.
func devSettings(loaded *Loaded) []string {
	if loaded.File == "" {
		return nil
	}
	if abs, err := filepath.Abs(loaded.File); err == nil {
		return []string{abs}
	}
	return []string{loaded.File}
}
