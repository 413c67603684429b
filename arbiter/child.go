package arbiter

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/appserver-go/appserver/internal/proto"
	"github.com/appserver-go/appserver/scoreboard"
)

// child is a worker process of this machine and the arbiter's ends of what connects the two.
type child struct {
	id     int
	conn   *proto.Conn
	sb     *scoreboard.Board
	stderr *os.File
	crash  crashLog

	readers sync.WaitGroup // the goroutines that read conn and stderr, or examine the process

	post     func(event) bool
	examiner func(ctx context.Context, pid int) string // nil if there is none
	alive    context.Context                           // done once the process was reaped
	buried   context.CancelFunc
}

var _ process = (*child)(nil)

// start spawns a worker in a process group of its own, so that Ctrl-C at a terminal reaches the arbiter alone. There is
// no parent-death signal: a worker whose arbiter vanished sees the end of its control socket and finishes its requests.
func (s *system) start(sp spec, post func(event) bool) (process, error) {
	c := &child{post: post, examiner: s.examine}
	c.alive, c.buried = context.WithCancel(context.Background())
	var err error
	if c.sb, err = scoreboard.Create(sp.gen.threads); err != nil {
		return nil, err
	}
	if err := s.spawn(c, &sp); err != nil {
		c.close()
		return nil, err
	}
	var stderrRead sync.WaitGroup
	stderrRead.Go(func() { c.crash.readFrom(c.stderr) })
	c.readers.Go(func() {
		c.receive(post)
		stderrRead.Wait()
		post(event{proc: c, kind: ended, text: c.crash.String()})
	})
	return c, nil
}

// spawn makes the connections and executes /proc/self/exe, which is this program even when its file was replaced.
func (s *system) spawn(c *child, sp *spec) error {
	conn, control, err := proto.Pair()
	if err != nil {
		return err
	}
	defer control.Close()
	c.conn = conn
	stderr, crash, err := crashPipe()
	if err != nil {
		return err
	}
	defer crash.Close()
	c.stderr = stderr
	null, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	defer null.Close()
	files := []holder{file(null), number(uintptr(unix.Stdout)), file(crash), file(control), file(c.sb.File())}
	for _, sock := range sp.gen.sockets.Sockets() {
		files = append(files, sock.Control)
	}
	files = append(files, number(uintptr(unix.Stderr)))
	if sp.gen.artifact != nil {
		files = append(files, file(sp.gen.artifact))
	}
	for _, f := range sp.shared {
		files = append(files, file(f.file))
	}
	return hold(files, nil, func(fds []uintptr) error {
		var err error
		c.id, err = execWorker(append(os.Args[:1:1], sp.argv(s.app)...), &syscall.ProcAttr{
			Env: s.environ, Files: fds, Sys: &syscall.SysProcAttr{Setpgid: true},
		})
		if err != nil {
			return fmt.Errorf("execute worker: %w", err)
		}
		return nil
	})
}

// execWorker starts this program again as a process that can gain no privileges by executing a file (no_new_privs,
// prctl(2)). The flag belongs to a thread, is inherited by what the thread executes and cannot be taken back, so a
// thread is made for it that ends with it. The worker could set it only for one of the threads it has by then.
func execWorker(argv []string, attr *syscall.ProcAttr) (pid int, err error) {
	var thread sync.WaitGroup
	thread.Go(func() {
		runtime.LockOSThread() // and not unlocked: the thread ends with the goroutine
		// A kernel without the flag starts workers all the same.
		_ = unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
		pid, err = syscall.ForkExec("/proc/self/exe", argv, attr)
	})
	thread.Wait()
	return pid, err
}

// holder lends a descriptor for the time of a call. os.File.Fd would set the file blocking, in every process that
// shares it.
type holder func(use func(fd uintptr)) error

func number(fd uintptr) holder {
	return func(use func(uintptr)) error { use(fd); return nil }
}

func file(f *os.File) holder {
	return func(use func(uintptr)) error {
		raw, err := f.SyscallConn()
		if err != nil {
			return err
		}
		return raw.Control(use)
	}
}

// hold calls use with the descriptors of all holders at once.
func hold(holders []holder, fds []uintptr, use func([]uintptr) error) error {
	if len(holders) == 0 {
		return use(fds)
	}
	var inner error
	err := holders[0](func(fd uintptr) { inner = hold(holders[1:], append(fds, fd), use) })
	return errors.Join(err, inner)
}

// receive posts what the worker says until the end of the control socket.
func (c *child) receive(post func(event) bool) {
	for {
		m, err := c.conn.Receive()
		ev := event{proc: c, kind: message, msg: m}
		switch {
		case errors.Is(err, proto.ErrMalformed):
			ev = event{proc: c, kind: garbage, err: err}
		case err != nil:
			post(event{proc: c, kind: eof})
			return
		}
		if !post(ev) {
			closeFile(m.File)
			return
		}
	}
}

func (c *child) pid() int { return c.id }

func (c *child) signal(sig syscall.Signal) error { return unix.Kill(c.id, sig) }

// examine looks at the process in a goroutine. The process may not end meanwhile, or its id would be somebody else's.
func (c *child) examine(within time.Duration) bool {
	if c.examiner == nil {
		return false
	}
	c.readers.Go(func() {
		ctx, cancel := context.WithTimeout(c.alive, within)
		defer cancel()
		c.post(event{proc: c, kind: examined, text: c.examiner(ctx, c.id)})
	})
	return true
}

func (c *child) send(m proto.Message) error { return c.conn.TrySend(m) }

func (c *child) board() scoreboard.Snapshot { return c.sb.Snapshot() }

// finish makes the readers stop after what the dead process has left. Without it they would wait for as long as any
// process it started holds the other ends.
func (c *child) finish() {
	c.buried()
	// Neither can fail in a way that matters: the readers then end with the process's descriptors.
	_ = c.conn.CloseRead()
	_ = c.stderr.SetReadDeadline(time.Unix(1, 0))
}

func (c *child) close() {
	c.buried()
	if c.conn != nil {
		c.conn.Close()
	}
	if c.stderr != nil {
		c.stderr.Close()
	}
	c.readers.Wait()
	c.sb.Close()
}
