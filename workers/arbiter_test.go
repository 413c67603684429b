package workers_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/appserver-go/appserver/config"
	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/internal/fault"
	"github.com/appserver-go/appserver/internal/load"
	"github.com/appserver-go/appserver/internal/proto"
	"github.com/appserver-go/appserver/scoreboard"
	"github.com/appserver-go/appserver/workers"
	syncworker "github.com/appserver-go/appserver/workers/sync"
	"github.com/appserver-go/appserver/workers/threaded"
	"github.com/appserver-go/appserver/workers/workertest"
)

// workerEnv makes the test binary a worker.
const workerEnv = "APPSERVER_TEST_WORKER"

func TestMain(m *testing.M) {
	if os.Getenv(workerEnv) == "" {
		os.Exit(m.Run())
	}
	os.Exit(workers.Main(workers.Options{
		Classes: map[string]workers.Factory{"sync": syncworker.New, "threaded": threaded.New},
		Load:    loadTestGuest, Stderr: os.Stderr,
		OpenLogs: func(_ *config.Config, stderr *os.File) (*workers.Logs, error) {
			log := slog.New(slog.NewTextHandler(stderr, nil))
			return &workers.Logs{
				Log:     log,
				Reopen:  func() error { log.Info("logs reopened"); return nil },
				Dropped: func() uint64 { return 7 },
			}, nil
		},
	}))
}

// testGuest answers with what it knows of its process.
type testGuest struct{ facts []proto.Fact }

func (g *testGuest) Close() error           { return nil }
func (g *testGuest) Describe() []proto.Fact { return g.facts }

func (g *testGuest) Serve(ctx context.Context, x *exchange.Exchange) error {
	switch x.Request.Path() {
	case "/block":
		<-ctx.Done()
		return ctx.Err()
	case "/slow":
		time.Sleep(50 * time.Millisecond) // what a drain must wait for
	case "/spin":
		for n := 0; ; n++ { // keeps a processor and never looks at its context
			runtime.KeepAlive(n)
		}
	}
	_, err := fmt.Fprintf(&x.Response, "TEST_NAME=%s", os.Getenv("TEST_NAME"))
	return err
}

func loadTestGuest(ctx context.Context, r workers.LoadRequest) (workers.Guest, error) {
	r.Stage("compiling")
	r.GuestLog.Line(slog.LevelInfo, "stderr", "", "hello from the guest")
	switch r.Config.App {
	case "broken.wasm":
		return nil, fault.WithCode(fault.LoadFailed, "build it again", "the module is truncated")
	case "endless.wasm":
		<-ctx.Done()
		time.Sleep(time.Hour) // a loader that does not watch its context
	}
	text, err := io.ReadAll(r.Artifact)
	if err != nil {
		return nil, err
	}
	return &testGuest{facts: []proto.Fact{{Key: "artifact", Value: string(text)}}}, nil
}

// arbiter stands in for the arbiter of one worker process.
type arbiter struct {
	*proto.Conn
	cmd    *exec.Cmd
	board  *scoreboard.Board
	port   string
	log    *bytes.Buffer // complete once the process has exited
	exited chan error
}

// spawn starts a worker process and sends it its settings.
func spawn(t *testing.T, cfg *config.Config, check bool) *arbiter {
	t.Helper()
	conn, theirs, err := proto.Pair()
	if err != nil {
		t.Fatal(err)
	}
	board, err := scoreboard.Create(4)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	socket, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	a := &arbiter{Conn: conn, board: board, port: l.Addr().String(), log: new(bytes.Buffer), exited: make(chan error, 1)}
	a.cmd = exec.Command(os.Args[0])
	a.cmd.Env = append(os.Environ(), workerEnv+"=1", "GOMAXPROCS=")
	a.cmd.ExtraFiles = []*os.File{theirs, board.File(), socket, memfd(t, "the guest's bytes")}
	a.cmd.Stderr = a.log
	if err := a.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	socket.Close()
	go func() { a.exited <- a.cmd.Wait() }()
	t.Cleanup(func() {
		_ = a.cmd.Process.Kill()
		conn.Close()
		board.Close()
	})
	if m := a.receive(t); m.Type != proto.TypeHello || m.Hello.Magic != proto.Magic || m.Hello.Version != proto.Version {
		t.Fatalf("the worker said %+v first", m)
	}
	settings, err := json.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	a.send(t, proto.Message{Type: proto.TypeStart, Start: &proto.Start{
		Config: settings, Generation: 1, Age: 1, Artifact: 6, Check: check,
		Listeners: []proto.Listener{{FD: 5, Name: "http://" + a.port}},
	}})
	return a
}

func memfd(t *testing.T, text string) *os.File {
	t.Helper()
	fd, err := unix.MemfdCreate("artifact", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "artifact")
	t.Cleanup(func() { f.Close() })
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	return f
}

func processConfig() *config.Config {
	cfg := workertest.Config()
	cfg.WorkerClass, cfg.App, cfg.Env = "threaded", "ok.wasm", []string{"TEST_NAME=value=1"}
	return cfg
}

func (a *arbiter) send(t *testing.T, m proto.Message) {
	t.Helper()
	if err := a.Send(m); err != nil {
		t.Fatal(err)
	}
}

func (a *arbiter) receive(t *testing.T) proto.Message {
	t.Helper()
	type result struct {
		m   proto.Message
		err error
	}
	c := make(chan result, 1)
	go func() { m, err := a.Receive(); c <- result{m, err} }()
	select {
	case r := <-c:
		if r.err != nil {
			t.Fatalf("the worker's end of the control socket: %v", r.err)
		}
		return r.m
	case <-time.After(workertest.Patience):
		t.Fatal("the worker says nothing")
	}
	return proto.Message{}
}

// until returns the first message that is not a stage, and the stages before it.
func (a *arbiter) until(t *testing.T) (proto.Message, []string) {
	t.Helper()
	var stages []string
	for {
		m := a.receive(t)
		if m.Type != proto.TypeStage {
			return m, stages
		}
		stages = append(stages, m.Stage.Stage)
	}
}

// ready waits until the worker serves.
func (a *arbiter) ready(t *testing.T) {
	t.Helper()
	if m, _ := a.until(t); m.Type != proto.TypeReady {
		t.Fatalf("the worker said %s: %+v", m.Type, m.Failed)
	}
}

// exit waits for the process and returns its status.
func (a *arbiter) exit(t *testing.T) syscall.WaitStatus {
	t.Helper()
	select {
	case err := <-a.exited:
		var exitErr *exec.ExitError
		if err != nil && !errors.As(err, &exitErr) {
			t.Fatal(err)
		}
	case <-time.After(workertest.Patience):
		t.Fatal("the worker does not exit")
	}
	status, _ := a.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return status
}

func (a *arbiter) get(t *testing.T, target string) *load.Response {
	t.Helper()
	r, err := load.Do(t.Context(), a.port, workertest.Raw(target))
	if err != nil {
		t.Fatal(err)
	}
	return r
}
