package dev

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/appserver-go/appserver/control"
	"github.com/appserver-go/appserver/internal/fault"
)

const (
	recordMax = 1 << 20          // bytes of a line of the server's log
	wordsMax  = 64               // lines beside its log that are kept
	stopGrace = 10 * time.Second // for the server to stop
	readyText = "Ready"          // what the log says once it serves
)

// ServerOptions say how `appserver serve` is run.
type ServerOptions struct {
	// Args are the settings as arguments. Those that the Server depends on are added, so they win.
	Args []string
	// GuestArgs are the guest's arguments on the command line.
	GuestArgs []string
	// Environ is the environment.
	Environ []string
	// Stdout is where an access log on standard output goes.
	Stdout *os.File
	// Dir is a private directory for the sockets.
	Dir string
	// Record gets each record of the log. It is called from one goroutine at a time.
	Record func(r *Record)
}

// Server is `appserver serve` as a child process: one worker, on a unix socket. Its methods must be called from one
// goroutine, save for Socket and
// ControlSocket.
type Server struct {
	o    ServerOptions
	proc *serving // nil before the first Load, and after one that failed without a server
}

// serving is a process of the server.
type serving struct {
	module string
	cmd    *exec.Cmd
	ready  chan struct{} // closed when it serves
	done   chan struct{} // closed when it has ended
	words  []string      // what it said beside its log; not to be read before done
}

// NewServer makes a Server that does not run yet.
func NewServer(o ServerOptions) *Server { return &Server{o: o} }

// Socket is the path on which it serves.
func (s *Server) Socket() string { return filepath.Join(s.o.Dir, "app.sock") }

// ControlSocket is the path on which it takes commands.
func (s *Server) ControlSocket() string { return filepath.Join(s.o.Dir, "control.sock") }

// Load has the server serve what is in the file now: it starts it, or reloads one that runs. An error, a *fault.Error where
// there is more to say, tells why it does not; a server that ran before runs on with what it had.
func (s *Server) Load(ctx context.Context, module string) error {
	if s.running() && s.proc.module == module {
		client := control.NewClient(s.ControlSocket())
		defer client.Close()
		_, err := client.Reload(ctx)
		return err
	}
	s.Stop()
	if err := s.start(module); err != nil {
		return err
	}
	select {
	case <-s.proc.ready:
		return nil
	case <-s.proc.done:
		return s.proc.failure()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (s *Server) running() bool {
	if s.proc == nil {
		return false
	}
	select {
	case <-s.proc.done:
		return false
	default:
		return true
	}
}

// Ended returns a channel that is closed when the present process ends, by itself or by Stop.
func (s *Server) Ended() <-chan struct{} {
	if s.proc == nil {
		return nil
	}
	return s.proc.done
}

// Stop ends the server and waits for that. It does not wait for requests.
func (s *Server) Stop() {
	if !s.running() {
		return
	}
	_ = s.proc.cmd.Process.Signal(unix.SIGINT) // it may just have ended
	late := time.NewTimer(stopGrace)
	defer late.Stop()
	select {
	case <-s.proc.done:
		return
	case <-late.C:
	}
	_ = unix.Kill(-s.proc.cmd.Process.Pid, unix.SIGKILL) // with its workers
	<-s.proc.done
}

// args is the whole command line.
func (s *Server) args(module string) []string {
	args := append([]string{os.Args[0], "serve"}, s.o.Args...)
	// Between this process and the server there is plain HTTP, whatever clients are to speak in production.
	args = append(args, "--certfile=", "--keyfile=", "--ca-certs=", "--cert-reqs=none", "--proxy-protocol=off", "--http2-cleartext=off")
	args = append(args, "--bind", "unix:"+s.Socket(), "--control-socket", s.ControlSocket(), "--workers", "1", "--min-ready", "0",
		"--listen-mode", "shared", "--log-format", "json", "--error-log", "-", "--reload=false", module)
	if len(s.o.GuestArgs) > 0 {
		args = append(append(args, "--"), s.o.GuestArgs...)
	}
	return args
}

// start starts the process. It gets a process group of its own, because Ctrl-C at the terminal is for this process,
// which then stops it; and the kernel stops it when this process is killed.
func (s *Server) start(module string) error {
	cmd := &exec.Cmd{Path: "/proc/self/exe", Args: s.args(module), Env: s.o.Environ, Stdout: s.o.Stdout}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	log, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	p := &serving{module: module, cmd: cmd, ready: make(chan struct{}), done: make(chan struct{})}
	started := make(chan error)
	go func() { // ends with the process
		runtime.LockOSThread() // the kernel takes the end of this thread for the end of the parent
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		s.follow(p, log)
		_ = cmd.Wait() // why it ended is in its words
		close(p.done)
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("start the server: %w", err)
	}
	s.proc = p
	return nil
}

// follow reads the log of a process to its end.
func (s *Server) follow(p *serving, log io.Reader) {
	lines := bufio.NewReaderSize(log, recordMax)
	isReady := false
	for {
		line, err := lines.ReadSlice('\n')
		if r, ok := parseRecord(line); ok {
			if r.Message == readyText && !isReady {
				isReady = true
				close(p.ready)
			}
			s.o.Record(&r)
		} else if text := strings.TrimRight(string(line), "\n"); text != "" && len(p.words) < wordsMax {
			p.words = append(p.words, text)
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return
		}
	}
}

// failure is why a process has ended, in its own words where it had some.
func (p *serving) failure() error {
	f := &fault.Error{Code: fault.Failed}
	var said []string
	for _, line := range p.words {
		if text, ok := strings.CutPrefix(line, "appserver: hint: "); ok {
			f.Hint = text
			continue
		}
		said = append(said, strings.TrimPrefix(line, "appserver: error: "))
	}
	f.Err = errors.New(strings.Join(said, "\n"))
	if len(said) == 0 {
		f.Err = fmt.Errorf("the server has ended: %s", p.cmd.ProcessState)
	}
	return f
}
