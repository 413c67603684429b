package workers

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/appserver-go/appserver/internal/fault"
	"github.com/appserver-go/appserver/internal/proto"
	"github.com/appserver-go/appserver/scoreboard"
	"github.com/appserver-go/appserver/sockets"
)

// stageLoading is the stage whose failures have the exit code of a guest that does not load.
const stageLoading = "loading"

// decodeConfig reads the settings. They come from the same binary, so anything odd about them is a mistake of ours.
func (p *process) decodeConfig() error {
	d := json.NewDecoder(bytes.NewReader(p.start.Config))
	d.DisallowUnknownFields()
	if err := d.Decode(&p.config); err != nil {
		return fmt.Errorf("decode settings: %w", err)
	}
	return nil
}

// boot makes the process a worker, in the order of gunicorn's Worker.init_process where there is one: environment,
// owner, descriptors, then the guest. It returns the stage that failed. The process's name is set before its owner,
// since files in /proc belong to root afterwards. Randomness needs no reseeding: Go processes share none, and what the
// server draws comes from the kernel.
func (p *process) boot() (stage string, err error) {
	steps := []struct {
		stage string
		do    func() error
	}{
		{"scoreboard", p.openBoard},
		{"logs", p.openLogs},
		{"environment", p.applyEnv},
		{"files", p.openFiles},
		{"owner", p.changeOwner},
		{"descriptors", p.prepareDescriptors},
		{"processors", p.limitProcessors},
		{"listeners", p.adoptListeners},
		{stageLoading, p.load},
		{"starting", p.makeClass},
	}
	for _, step := range steps {
		p.stage(step.stage)
		if err := step.do(); err != nil {
			return step.stage, err
		}
	}
	return "", nil
}

// stage tells the arbiter what the worker is busy with.
func (p *process) stage(name string) {
	p.send(proto.Message{Type: proto.TypeStage, Stage: &proto.Stage{Stage: name}})
}

// share hands a sealed file to workers to come. They can do without, should it not arrive.
func (p *process) share(name string, f *os.File) {
	if !p.start.Check {
		p.send(proto.Message{Type: proto.TypeShare, Share: &proto.Share{Name: name}, File: f})
	}
}

// openBoard opens the scoreboard and begins to beat, which ends with the process.
func (p *process) openBoard() error {
	board, err := scoreboard.Open(os.NewFile(proto.ScoreboardFD, "scoreboard"))
	if err != nil {
		return err
	}
	p.env.Board = board
	go p.beat()
	return nil
}

func (p *process) openLogs() error {
	stderr := os.Stderr
	if fd := p.start.Stderr; fd >= proto.FirstFreeFD {
		stderr = os.NewFile(uintptr(fd), "stderr")
	}
	logs, err := p.o.OpenLogs(&p.config, stderr)
	if err != nil {
		return err
	}
	logs.Log = logs.Log.With("pid", os.Getpid(), "worker", p.start.Age) // as the arbiter names it in its records
	p.logs.Store(logs)
	return nil
}

func (p *process) openFiles() (err error) {
	if p.o.OpenFiles != nil {
		p.env.Files, err = p.o.OpenFiles(&p.config)
	}
	return err
}

// applyEnv sets the environment of the process. The guest's is separate and has none of it.
func (p *process) applyEnv() error {
	for _, pair := range p.config.Env {
		name, value, _ := strings.Cut(pair, "=")
		if err := os.Setenv(name, value); err != nil {
			return fault.New("env takes NAME=value", "set environment variable %q: %w", name, err)
		}
	}
	return nil
}

// adoptListeners takes the listening sockets over.
func (p *process) adoptListeners() error {
	if p.start.Check && len(p.start.Listeners) == 0 {
		return nil
	}
	var listeners []*sockets.Listener
	for _, l := range p.start.Listeners {
		adopted, err := sockets.Adopt(l.FD, l.Name)
		if err != nil {
			return fmt.Errorf("adopt listener %s: %w", l.Name, err)
		}
		listeners = append(listeners, adopted)
	}
	acceptor, err := sockets.NewAcceptor(listeners)
	if err != nil {
		return err
	}
	acceptor.SetLogger(p.log())
	p.env.Acceptor = acceptor
	p.listeners.set(acceptor)
	return nil
}

// load loads the guest. Told to stop, it waits no longer: the process exits under the loader.
func (p *process) load() error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	r := LoadRequest{
		Config: p.config, Generation: p.start.Generation, Log: p.log(), GuestLog: NewGuestLog(p.log()), Stage: p.stage,
		Inherited: map[string]*os.File{}, Share: p.share,
	}
	for _, shared := range p.start.Shared {
		f := os.NewFile(uintptr(shared.FD), shared.Name)
		defer f.Close()
		r.Inherited[shared.Name] = f
	}
	if fd := p.start.Artifact; fd >= proto.FirstFreeFD {
		r.Artifact = os.NewFile(uintptr(fd), "artifact")
		defer r.Artifact.Close()
	}
	loaded := make(chan error, 1)
	go func() {
		var err error
		p.guest, err = p.o.Load(ctx, r)
		if m, ok := p.guest.(Meter); ok && err == nil {
			p.meter.Store(&m)
		}
		loaded <- err
	}()
	select {
	case err := <-loaded:
		if err == nil {
			debug.FreeOSMemory() // compiling leaves much garbage, and an idle worker would keep it
		}
		return err
	case <-p.drain.Begun():
		return errStopped
	}
}

// makeClass makes what Run of the class will need.
func (p *process) makeClass() error {
	factory, ok := p.o.Classes[p.config.WorkerClass]
	if !ok {
		names := slices.Sorted(maps.Keys(p.o.Classes))
		return fault.New("worker classes are "+strings.Join(names, ", "), "there is no worker class %q", p.config.WorkerClass)
	}
	if p.start.Check {
		return nil
	}
	service, err := NewService(ServiceOptions{
		Config: &p.config, Guest: p.guest, Board: p.env.Board, Log: p.log(), Access: p.logs.Load().Access,
		Span: p.logs.Load().Span,
		Retire: func(reason string) {
			p.send(proto.Message{Type: proto.TypeRetire, Retire: &proto.Retire{Reason: reason}})
		},
	})
	if err != nil {
		return err
	}
	p.env.Config, p.env.Service, p.env.Drain, p.env.Log = &p.config, service, p.drain, p.log()
	if p.env.Door, err = newDoor(&p.config, &p.keys); err != nil {
		return err
	}
	p.env.Closed = func() { p.send(proto.Message{Type: proto.TypeClosed}) }
	p.class, err = factory(&p.env)
	if err == nil {
		p.env.Board.SetState(scoreboard.Serving)
	}
	return err
}
