package arbiter

import (
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/appserver-go/appserver/internal/handover"
	"github.com/appserver-go/appserver/sockets"
)

// Program is how to execute a new arbiter.
type Program struct {
	// Path is absolute: where the file of this program was found at its start, which may hold another version by now.
	Path string
	// Args are the arguments, the program's name first; Env is the environment, without variables that were meant for
	// this process alone; Dir is the directory to start in.
	Args []string
	Env  []string
	Dir  string
}

// successor is the process of a new arbiter as the loop handles it. No method waits.
type successor interface {
	pid() int
	signal(sig syscall.Signal) error
	send(m handover.Message) error
	// finish is called once the process was reaped: what it has said is still delivered, an error last.
	finish()
	// close is called after the error, or when nobody hears any more. It is how the process learns that this one is gone.
	close()
}

// heir is a new arbiter's process.
type heir struct {
	id      int
	conn    *handover.Conn
	reading sync.WaitGroup
}

var _ successor = (*heir)(nil)

// execute starts the program with the sockets and the will. It may gain privileges by its file, unlike a worker, and is in
// the process group of this arbiter, so that Ctrl-C at a terminal ends both.
func (*system) execute(p *Program, will handover.Will, set *sockets.Set, hear func(handover.Message, error) bool) (successor, error) {
	conn, theirs, err := handover.Pair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	h := &heir{conn: conn}
	if err = conn.Say(handover.Message{Type: handover.TypeWill, Will: &will}); err == nil {
		h.id, err = p.exec(theirs, set)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	h.reading.Go(func() {
		for {
			m, err := conn.Hear()
			if !hear(m, err) || err != nil {
				return
			}
		}
	})
	return h, nil
}

func (p *Program) exec(control *os.File, set *sockets.Set) (pid int, err error) {
	files := []holder{number(uintptr(unix.Stdin)), number(uintptr(unix.Stdout)), number(uintptr(unix.Stderr)), file(control)}
	for _, sock := range set.Sockets() {
		files = append(files, sock.Control)
	}
	err = hold(files, nil, func(fds []uintptr) error {
		var err error
		pid, err = syscall.ForkExec(p.Path, p.Args, &syscall.ProcAttr{Dir: p.Dir, Env: p.Env, Files: fds})
		return err
	})
	return pid, err
}

func (h *heir) pid() int { return h.id }

func (h *heir) signal(sig syscall.Signal) error { return unix.Kill(h.id, sig) }

func (h *heir) send(m handover.Message) error { return h.conn.Say(m) }

func (h *heir) finish() { h.conn.Finish() }

func (h *heir) close() {
	h.conn.Close() // what was sent has been sent
	h.reading.Wait()
}
