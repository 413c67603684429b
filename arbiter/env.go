package arbiter

import (
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/appserver-go/appserver/internal/handover"
	"github.com/appserver-go/appserver/internal/proto"
	"github.com/appserver-go/appserver/scoreboard"
	"github.com/appserver-go/appserver/sockets"
)

// env is everything the loop needs of the operating system but time, which tests take from testing/synctest.
type env interface {
	// signals begins the delivery of signals and returns how to end it.
	signals() (<-chan os.Signal, func())
	// start begins a worker process. Until the process's ended event, post gets its events, in order, from other
	// goroutines; it returns false when nobody wants them any more.
	start(s spec, post func(event) bool) (process, error)
	// execute starts a new arbiter with the sockets and the will. Until hear returns false it gets, from another
	// goroutine, what the new arbiter says; the last call has an error.
	execute(p *Program, will handover.Will, set *sockets.Set, hear func(handover.Message, error) bool) (successor, error)
	// reap returns the status of a child that has died, until there is none left. It does not wait.
	reap() (pid int, st status, ok bool)
	// terminal reports whether a person's terminal is attached.
	terminal() bool
	// oomKills returns how many processes of this container the kernel has killed for want of memory, if it is known.
	oomKills() (int64, bool)
	// memory returns the resident memory of a process in bytes, if it is known.
	memory(pid int) (bytes int64, ok bool)
	// jitter returns a random number from -1 to 1.
	jitter() float64
	// refuse lets no new connections into the queues of the listening sockets, which are about to be closed. It
	// reports whether that holds for all of them.
	refuse(set *sockets.Set) (all bool, err error)
	// closeSockets ends the listening sockets.
	closeSockets(set *sockets.Set) error
}

// process is a worker process as the loop handles it. No method waits.
type process interface {
	pid() int
	signal(sig syscall.Signal) error
	send(m proto.Message) error
	// board reads the scoreboard. It works until close, dead process or not.
	board() scoreboard.Snapshot
	// examine begins to find out what the process is doing, for as long as that may take, and posts an examined event. It
	// returns false when nobody knows how.
	examine(within time.Duration) bool
	// finish is called once the process was reaped: the events still on their way are delivered, ended last.
	finish()
	// close frees what the arbiter holds for the process. It is called after the ended event, or instead of waiting for it.
	close()
}

// event is what a worker's goroutines tell the loop.
type event struct {
	proc process
	kind eventKind
	msg  proto.Message // of a message
	err  error         // of garbage
	text string        // of examined: what the process was doing; of ended: what the process wrote to its standard error
}

type eventKind uint8

const (
	message  eventKind = iota // a message arrived
	garbage                   // something else arrived
	eof                       // the worker's end of the control socket was closed
	examined                  // what the process was doing, as far as it is known
	ended                     // the last event: everything the process left behind has been read
)

// status says how a process ended.
type status struct {
	code   int            // exit code, if it was not killed
	signal syscall.Signal // what killed it, or 0
}

func (s status) String() string {
	if s.signal != 0 {
		return "killed by " + signalName(s.signal)
	}
	return "exit code " + strconv.Itoa(s.code)
}

// spec says what process to start.
type spec struct {
	age   uint64
	slot  int
	gen   *generation
	check bool
	// shared is what workers of the generation had shared when the process was to be started.
	shared []sharedFile
}

// start returns the message that tells a worker everything. The numbers of its descriptors follow the order in which
// files lists them.
func (s *spec) start() proto.Message {
	m := proto.Start{Config: s.gen.config, Generation: s.gen.number, Age: s.age, Slot: s.slot, Check: s.check, Secrets: s.gen.secrets != nil}
	fd := proto.FirstFreeFD
	for _, name := range s.gen.sockets.SocketNames() {
		m.Listeners = append(m.Listeners, proto.Listener{FD: fd, Name: name})
		fd++
	}
	m.Stderr = fd
	if s.gen.artifact != nil {
		fd++
		m.Artifact = fd
	}
	for _, f := range s.shared {
		fd++
		m.Shared = append(m.Shared, proto.Shared{FD: fd, Name: f.name})
	}
	return proto.Message{Type: proto.TypeStart, Start: &m}
}

// argv returns the arguments of the worker process after the program's name. Those after "worker" are for readers of ps.
func (s *spec) argv(app string) []string {
	return []string{"worker", app, fmt.Sprintf("#%d", s.slot)}
}
