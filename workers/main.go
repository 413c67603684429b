package workers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/appserver-go/appserver/config"
	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/internal/fault"
	"github.com/appserver-go/appserver/internal/proto"
)

// byHand is what somebody reads who starts a worker without an arbiter.
const byHand = "appserver worker is started by appserver serve and cannot be run by hand"

// Guest is a loaded guest.
type Guest interface {
	exchange.Handler
	// Close releases the guest. No request runs then.
	Close() error
	// Describe returns facts for status and `appserver check`.
	Describe() []proto.Fact
}

// Files answers requests for files, which need no guest.
type Files interface {
	exchange.Handler
	// Has reports whether a request with this path, still escaped, is for a file.
	Has(path string) bool
	// Close gives back what was opened. No request runs then.
	Close() error
}

// LoadRequest is what a guest is loaded by.
type LoadRequest struct {
	// Config is the worker's settings.
	Config config.Config
	// Artifact holds the guest's bytes in a sealed memfd; nil when the guest is to be opened by its path. The loader
	// does not close it.
	Artifact *os.File
	// Generation counts the configurations that the arbiter has loaded.
	Generation uint64
	// Inherited are the files that earlier workers of the generation have shared, by name. The loader does not close them.
	Inherited map[string]*os.File
	// Share hands a sealed memfd to later workers of the generation, under a name of lower-case letters. The file stays
	// the caller's.
	Share func(name string, f *os.File)
	// Log is the worker's log.
	Log *slog.Logger
	// GuestLog takes what the guest prints.
	GuestLog *GuestLog
	// Stage tells the arbiter what the loader is busy with, like "compiling".
	Stage func(stage string)
}

// Logs are a worker's logs.
type Logs struct {
	// Log is the server's log.
	Log *slog.Logger
	// Access writes the access log; nil writes none.
	Access AccessFunc
	// Span takes the spans of requests that are traced; nil traces none.
	Span SpanFunc
	// Reopen opens the files anew, after a rotation; nil does nothing.
	Reopen func() error
	// Dropped returns how many records were dropped so far because the reader was slow; nil if none ever is.
	Dropped func() uint64
	// StatsdDropped and SpansDropped return how many lines for statsd and spans of traces were dropped so far; nil if
	// none ever is.
	StatsdDropped, SpansDropped func() uint64
	// Close writes out what is left; nil does nothing.
	Close func() error
}

// Options are what Main needs from the command.
type Options struct {
	// Classes are the worker classes by the names the worker_class setting knows.
	Classes map[string]Factory
	// Load loads the guest. Its context ends when the worker is told to stop while it boots.
	Load func(ctx context.Context, r LoadRequest) (Guest, error)
	// OpenFiles opens what answers requests for files; nil, or nil returned, has none. It is called before the worker changes its
	// user.
	OpenFiles func(c *config.Config) (Files, error)
	// OpenLogs opens the logs. It is called before the worker changes its user. stderr is where "-" of the error log
	// goes; descriptor 2 of a worker is for what the Go runtime prints when it crashes.
	OpenLogs func(c *config.Config, stderr *os.File) (*Logs, error)
	// Stderr is told when the process was not started by an arbiter.
	Stderr io.Writer
}

// Main runs a worker process on the descriptors of internal/proto and returns its exit code. It changes the process as
// a whole and is called once.
func Main(o Options) int {
	conn, err := adoptControl()
	if err != nil {
		fmt.Fprintf(o.Stderr, "appserver: error: %s\nappserver: hint: run `appserver serve app.wasm`\n", byHand)
		return fault.Usage
	}
	p := &process{o: o, control: conn, drain: NewDrain()}
	p.logs.Store(&Logs{Log: slog.New(slog.DiscardHandler)})
	defer conn.Close()
	return p.live()
}

// adoptControl takes descriptor 3 over if it is a control socket.
func adoptControl() (*proto.Conn, error) {
	domain, err := unix.GetsockoptInt(proto.ControlFD, unix.SOL_SOCKET, unix.SO_DOMAIN)
	if err != nil {
		return nil, err
	}
	kind, err := unix.GetsockoptInt(proto.ControlFD, unix.SOL_SOCKET, unix.SO_TYPE)
	if err != nil {
		return nil, err
	}
	if domain != unix.AF_UNIX || kind != unix.SOCK_SEQPACKET {
		return nil, errors.New("descriptor 3 is no control socket")
	}
	return proto.NewConn(os.NewFile(proto.ControlFD, "control"))
}

// process is a worker process.
type process struct {
	o       Options
	control *proto.Conn
	sending sync.Mutex // Conn.Send is for one goroutine at a time
	drain   *Drain
	start   proto.Start
	config  config.Config
	logs    atomic.Pointer[Logs] // opened while other goroutines run
	env     Env
	class   Class
	guest   Guest

	meter     atomic.Pointer[Meter] // the guest, if it is one
	measuring sync.Mutex            // for the counters that measure sets
	listeners listeners
	keys      keys
}

// errStopped means that the worker was told to stop before it was ready.
var errStopped = errors.New("stopped while booting")

// live is the worker's life.
func (p *process) live() int {
	p.send(proto.Message{Type: proto.TypeHello, Hello: &proto.Hello{Magic: proto.Magic, Version: proto.Version}})
	if err := p.awaitStart(); err != nil {
		return p.fail("starting", err)
	}
	defer p.closeLogs()
	signals := p.handleSignals()
	defer signals.stop()
	go p.listen() // ends with the control socket, which Main closes last
	if stage, err := p.boot(); err != nil {
		if errors.Is(err, errStopped) {
			return fault.OK
		}
		return p.fail(stage, err)
	}
	p.send(proto.Message{Type: proto.TypeReady, Ready: &proto.Ready{Guest: p.guest.Describe()}})
	if p.start.Check {
		return p.closeGuest()
	}
	p.log().Debug("Worker serves", "generation", p.start.Generation, "slot", p.start.Slot)
	err := p.class.Run(context.Background())
	switch {
	case errors.Is(err, ErrCutOff):
		p.log().Warn("Worker exits with unfinished requests", "error", err.Error())
		return fault.OK
	case err != nil:
		p.log().Error("Worker fails", "error", err.Error())
		p.closeGuest()
		return fault.Failed
	}
	p.log().Debug("Worker exits")
	return p.closeGuest()
}

// awaitStart waits for the arbiter's first message.
func (p *process) awaitStart() error {
	m, err := p.control.Receive()
	switch {
	case err != nil:
		return fmt.Errorf("receive settings: %w", err)
	case m.Type != proto.TypeStart:
		return fmt.Errorf("receive settings: the arbiter sent %s", m.Type)
	}
	p.start = *m.Start
	if err := p.decodeConfig(); err != nil || !p.start.Secrets {
		return err
	}
	switch m, err = p.control.Receive(); {
	case err != nil:
		return fmt.Errorf("receive secrets: %w", err)
	case m.Type != proto.TypeSecrets:
		return fmt.Errorf("receive secrets: the arbiter sent %s", m.Type)
	}
	return p.keys.set(&p.config, m.Secrets.Data)
}

// fail reports why the worker will not serve, and returns its exit code.
func (p *process) fail(stage string, err error) int {
	code := fault.BootFailed
	if stage == stageLoading {
		code = fault.LoadFailed
	}
	p.send(proto.Message{Type: proto.TypeFailed, Failed: &proto.Failed{
		Stage: stage, Message: err.Error(), Hint: fault.Hint(err), Code: code,
	}})
	return code
}

// send sends a message. An arbiter that is gone or takes none is noticed by listen or outlived.
func (p *process) send(m proto.Message) {
	p.sending.Lock()
	defer p.sending.Unlock()
	if err := p.control.Send(m); err != nil {
		p.log().Debug("Cannot send to the arbiter", "message", string(m.Type), "error", err.Error())
	}
}

func (p *process) closeGuest() int {
	p.measure()
	if p.env.Files != nil {
		_ = p.env.Files.Close() // directories, which nothing was written to
	}
	if err := p.guest.Close(); err != nil {
		p.log().Warn("Cannot close the guest", "error", err.Error())
	}
	return fault.OK
}

// log returns the worker's log, which discards everything until the logs are open.
func (p *process) log() *slog.Logger { return p.logs.Load().Log }

func (p *process) closeLogs() {
	l := p.logs.Load()
	if l.Close == nil {
		return
	}
	_ = l.Close() // there is no log left to tell
	if p.env.Board != nil {
		p.measure() // what was dropped at the end counts, too
	}
}
