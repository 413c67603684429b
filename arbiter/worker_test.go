package arbiter

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/appserver-go/appserver/internal/fault"
	"github.com/appserver-go/appserver/internal/proto"
	"github.com/appserver-go/appserver/scoreboard"
)

// The test binary is also the worker that arbiters under test execute. modeEnv says how it behaves, fileEnv where it
// writes what it found.
const (
	modeEnv = "ARBITER_TEST_WORKER"
	fileEnv = "ARBITER_TEST_FILE"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(pidfileEnv); path != "" {
		os.Exit(holdPidfile(path))
	}
	if len(os.Args) > 1 && os.Args[1] == "worker" {
		os.Exit(workerMain(os.Getenv(modeEnv)))
	}
	os.Exit(m.Run())
}

// workerMain is a worker process. It returns the exit code.
func workerMain(mode string) int {
	report()
	signal.Ignore(syscall.SIGTERM, syscall.SIGINT)
	control := dupControl(mode)
	conn, err := proto.NewConn(os.NewFile(proto.ControlFD, "control"))
	if err != nil {
		panic(err)
	}
	board, err := scoreboard.Open(os.NewFile(proto.ScoreboardFD, "scoreboard"))
	if err != nil {
		panic(err)
	}
	say := func(m proto.Message) {
		if err := conn.Send(m); err != nil {
			panic(err)
		}
	}
	say(proto.Message{Type: proto.TypeHello, Hello: &proto.Hello{Magic: proto.Magic, Version: proto.Version}})
	start, err := conn.Receive()
	if err != nil || start.Type != proto.TypeStart {
		panic(fmt.Sprintf("%+v, %v", start, err))
	}
	say(proto.Message{Type: proto.TypeStage, Stage: &proto.Stage{Stage: "compiling"}})
	switch mode {
	case "fail":
		say(proto.Message{Type: proto.TypeFailed, Failed: &proto.Failed{
			Stage: "compiling", Message: "app.wasm: invalid magic number", Hint: "build it first", Code: fault.LoadFailed,
		}})
		return fault.LoadFailed
	case "crash":
		fmt.Fprintln(os.Stderr, strings.Repeat("noise ", 20000))
		panic("boom")
	case "orphan":
		leaveOrphan(control)
		panic("boom")
	case "garbage":
		if _, err := control.Write([]byte("nonsense")); err != nil {
			panic(err)
		}
		select {}
	case "hang":
		select {}
	}
	say(proto.Message{Type: proto.TypeReady, Ready: &proto.Ready{Guest: []proto.Fact{{Key: "slot", Value: fmt.Sprint(start.Start.Slot)}}}})
	if start.Start.Check {
		return 0
	}
	return workerServe(mode, conn, board, say)
}

// workerServe is what a worker does once it is ready.
func workerServe(mode string, conn *proto.Conn, board *scoreboard.Board, say func(proto.Message)) int {
	go func() {
		for {
			board.Beat()
			time.Sleep(10 * time.Millisecond)
		}
	}()
	switch mode {
	case "stuck":
		board.Row(0).Begin(&scoreboard.Call{ID: "r1", Method: "GET", Target: "/loop"}, time.Now())
	case "stopped":
		board.Row(0).Begin(&scoreboard.Call{ID: "r2", Method: "GET", Target: "/stop"}, time.Now())
		syscall.Kill(os.Getpid(), syscall.SIGSTOP)
	}
	for {
		m, err := conn.Receive()
		switch {
		case errors.Is(err, io.EOF):
			return 0
		case err != nil:
			panic(err)
		case m.Type == proto.TypeDrain && mode != "deaf":
			say(proto.Message{Type: proto.TypeClosed})
			return 0
		}
	}
}

// dupControl returns the control socket for modes that misuse it; a Conn keeps its own to itself.
func dupControl(mode string) *os.File {
	if mode != "garbage" && mode != "orphan" {
		return nil
	}
	fd, err := syscall.Dup(proto.ControlFD)
	if err != nil {
		panic(err)
	}
	return os.NewFile(uintptr(fd), "control")
}

// leaveOrphan starts a process that holds everything the worker has and outlives it.
func leaveOrphan(control *os.File) {
	cmd := exec.Command("sleep", "60")
	cmd.Stderr = os.Stderr
	cmd.ExtraFiles = []*os.File{control}
	if err := cmd.Start(); err != nil {
		panic(err)
	}
	if err := os.WriteFile(os.Getenv(fileEnv), []byte(fmt.Sprint(cmd.Process.Pid)), 0o600); err != nil {
		panic(err)
	}
}

// report writes down what the process was given, before Go opens anything of its own.
func report() {
	path := os.Getenv(fileEnv)
	if path == "" || os.Getenv(modeEnv) == "orphan" {
		return
	}
	var b strings.Builder
	fmt.Fprintf(&b, "args %q\ngroup %v\n", os.Args[1:], syscall.Getpgrp() == os.Getpid())
	for fd := range 32 {
		link, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
		if err != nil {
			continue
		}
		flags, _, _ := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_GETFL, 0)
		kind, _, _ := strings.Cut(link, ":[")
		fmt.Fprintf(&b, "fd %d %s nonblock=%v\n", fd, kind, flags&syscall.O_NONBLOCK != 0)
	}
	if err := os.WriteFile(path+".new", []byte(b.String()), 0o600); err != nil {
		panic(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		panic(err)
	}
}
