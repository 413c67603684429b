package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"

	"github.com/appserver-go/appserver/arbiter"
	"github.com/appserver-go/appserver/control"
	"github.com/appserver-go/appserver/internal/hooks"
)

// eventQueue is how many of the arbiter's events may wait for the desk, which only passes them on.
const eventQueue = 1024

// desk is what the arbiter's process has for its operators: the control socket, the stream of events and the hooks.
type desk struct {
	log    *slog.Logger
	hooks  *hooks.Runner
	feed   control.Feed
	socket *control.Socket // nil without one
	server *control.Server // nil until attach, and without a socket
	pump   sync.WaitGroup
	env    []string // of the hooks, without the path of the socket
	path   string   // where promote moves the socket; "" if it stays

	mu     sync.Mutex
	loaded *Loaded // in force
}

// openDesk opens the control socket, if there is to be one. Environ is the environment of the hooks. An heir has another
// arbiter beside it: until it is promoted, its socket is beside the path that was chosen, as path.2.
func openDesk(ctx context.Context, loaded *Loaded, environ []string, log *slog.Logger, heir bool) (*desk, error) {
	suffix := ""
	if heir {
		suffix = ".2"
	}
	socket, why, err := openControl(ctx, loaded, environ, suffix)
	if err != nil {
		return nil, err
	}
	d := &desk{log: log, socket: socket, loaded: loaded}
	d.env = append(environ[:len(environ):len(environ)], loaded.Config.Env...)
	switch {
	case socket != nil:
		log.Info("Control socket", "path", socket.Path())
		d.path, _ = strings.CutSuffix(socket.Path(), suffix)
	case why != nil:
		log.Info("No place for a control socket, running without", "reason", why)
	}
	d.hooks = hooks.New(hooks.Options{
		Commands: loaded.Config.HookCommands(), Timeout: loaded.Config.HookTimeout, Env: d.hookEnv(), Log: log,
	})
	return d, nil
}

// hookEnv is the environment of the hooks, in which appserver means this server.
func (d *desk) hookEnv() []string {
	environ := d.env[:len(d.env):len(d.env)]
	if d.socket != nil {
		environ = append(environ, controlEnv()+"="+d.socket.Path())
	}
	return (&exec.Cmd{Env: environ}).Environ() // of two values the last; whoever reads it would take the first
}

// promote takes over the path of the control socket from an arbiter that is gone.
func (d *desk) promote() {
	if d.socket == nil || d.path == d.socket.Path() {
		return
	}
	if err := d.socket.Move(d.path); err != nil {
		d.log.Warn("Could not take over the control socket", "error", err)
		return
	}
	d.log.Info("Control socket", "path", d.path)
	d.hooks.SetEnv(d.hookEnv())
}

// openControl opens the control socket that the settings ask for. It returns nil where there is none to be, or where
// there is no place for one and nobody has asked for it. Suffix goes to the end of a path that was chosen.
func openControl(ctx context.Context, loaded *Loaded, environ []string, suffix string) (socket *control.Socket, why error, err error) {
	switch path := loaded.Config.ControlSocket; path {
	case "", controlOff:
		return nil, nil, nil
	case controlAuto:
		env := environment(environ)
		socket, why = control.Listen(ctx, control.Dirs(func(name string) string { return env[name] }))
		return socket, why, nil
	default:
		socket, err = control.ListenAt(ctx, path+suffix)
		return socket, nil, err
	}
}

// attach begins to answer on the socket and to follow events. The arbiter must be run after it.
func (d *desk) attach(a *arbiter.Arbiter) {
	events := a.Subscribe(eventQueue)
	d.pump.Go(func() { d.follow(events) })
	if d.socket != nil {
		d.server = control.Serve(d.socket, control.Options{Backend: &backend{arbiter: a, desk: d}, Feed: &d.feed, Log: d.log})
	}
}

// adopt takes over the configuration of a new generation.
func (d *desk) adopt(loaded *Loaded) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.loaded = loaded
	d.hooks.Update(loaded.Config.HookCommands(), loaded.Config.HookTimeout)
}

func (d *desk) inForce() *Loaded {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.loaded
}

// Close passes on the last events and closes the socket, and gives the last hooks their time. An arbiter that was
// attached must have been run to its end.
func (d *desk) Close() {
	d.pump.Wait()
	switch {
	case d.server != nil:
		if err := d.server.Close(); err != nil {
			d.log.Warn("Could not close the control socket cleanly", "error", err)
		}
	case d.socket != nil:
		d.socket.Close() // on the way out before there was a server; nobody used it
	}
	d.hooks.Close()
}

// follow passes events on until the arbiter's last.
func (d *desk) follow(events *arbiter.Subscription) {
	lost := 0
	for ev := range events.C() {
		if n := events.Dropped(); n > lost {
			d.log.Warn("Events were dropped", "dropped", n-lost)
			lost = n
		}
		d.pass(eventOf(ev))
	}
}

// pass hands an event to everybody: the log, the readers on the socket, the hooks.
func (d *desk) pass(ev control.Event) {
	attrs := []any{"event", ev.Event, "generation", ev.Generation}
	key := ""
	if ev.Worker != nil {
		key = strconv.FormatUint(ev.Worker.Number, 10)
		attrs = append(attrs, "worker", ev.Worker.Number, "slot", ev.Worker.Slot, "pid", ev.Worker.PID)
	}
	if ev.NewPID != 0 {
		attrs = append(attrs, "new_pid", ev.NewPID)
	}
	if ev.Reason != "" {
		attrs = append(attrs, "reason", ev.Reason)
	}
	d.log.Debug("Event", attrs...)
	d.feed.Publish(ev)
	if !d.hooks.Wants(ev.Event) {
		return
	}
	data, err := json.Marshal(ev)
	if err != nil {
		d.log.Error("Could not encode an event", "event", ev.Event, "error", err)
		return
	}
	d.hooks.Run(ev.Event, key, data)
}

// eventOf is an event as operators see it.
func eventOf(ev arbiter.Event) control.Event {
	out := control.Event{
		Event: string(ev.Name), Time: ev.Time, PID: os.Getpid(), Generation: ev.Generation, Reason: ev.Reason,
	}
	if ev.Age != 0 {
		out.Worker = &control.EventWorker{PID: ev.PID, Slot: ev.Slot, Number: ev.Age}
	}
	out.NewPID = ev.NewPID
	if ev.Name == arbiter.NworkersChanged {
		out.From, out.To = &ev.OldWorkers, &ev.Workers
	}
	return out
}
