// Package workertest runs worker classes inside a test's process, over a real listener and with a guest that is a
// function. Only tests use it.
package workertest

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/appserver-go/appserver/config"
	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/internal/load"
	"github.com/appserver-go/appserver/scoreboard"
	"github.com/appserver-go/appserver/sockets"
	"github.com/appserver-go/appserver/workers"
)

// Patience is how long the helpers wait for what must happen.
const Patience = 20 * time.Second

// Config returns settings for tests: 4 threads, timeouts that no healthy test meets.
func Config() *config.Config {
	return &config.Config{
		Workers: 1, Threads: 4, WorkerConnections: 100, QueueLimit: 100,
		Timeout: Patience, GracefulTimeout: Patience, Keepalive: Patience, HeaderTimeout: Patience, StallTimeout: Patience,
		WorkerTimeout: Patience, AbortGrace: Patience,
		LimitRequestLine: 8190, LimitRequestFields: 100, LimitRequestFieldSize: 8190, LimitRequestBody: 10 << 20,
		ForwardedAllowIPs: []string{"127.0.0.1"}, SecureSchemeHeaders: []string{"X-Forwarded-Proto=https", "X-Forwarded-Ssl=on"},
	}
}

// Port is a listening socket that several workers can share.
type Port struct {
	Addr string
	file *os.File

	boards []*scoreboard.Board // closed when no request can be in them any more
}

// Listen opens a port on the loopback interface. At the end of the test it checks that no worker left a goroutine behind.
func Listen(t *testing.T) *Port {
	t.Helper()
	return listen(t, "tcp", "127.0.0.1:0")
}

// ListenUnix is Listen with a unix socket.
func ListenUnix(t *testing.T) *Port {
	t.Helper()
	return listen(t, "unix", filepath.Join(t.TempDir(), "sock"))
}

func listen(t *testing.T, network, addr string) *Port {
	t.Helper()
	var lc net.ListenConfig
	lc.SetMultipathTCP(false)
	l, err := lc.Listen(t.Context(), network, addr)
	if err != nil {
		t.Fatal(err)
	}
	p := &Port{Addr: l.Addr().String()}
	if u, ok := l.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false)
		p.Addr = "unix:" + p.Addr
	}
	defer l.Close()
	p.file, err = l.(interface{ File() (*os.File, error) }).File()
	if err != nil {
		t.Fatal(err)
	}
	file := p.file
	t.Cleanup(func() {
		file.Close()
		NoGoroutines(t) // the workers, which were started later, have ended by now
		for _, b := range p.boards {
			b.Close()
		}
	})
	return p
}

// Close closes the port itself; workers keep their descriptors.
func (p *Port) Close() { p.file.Close() }

// acceptor returns a worker's way to the port.
func (p *Port) acceptor(t *testing.T) *sockets.Acceptor {
	t.Helper()
	raw, err := p.file.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	fd := -1
	if err := raw.Control(func(f uintptr) { fd, err = unix.FcntlInt(f, unix.F_DUPFD_CLOEXEC, 3) }); err != nil || fd < 0 {
		t.Fatal("cannot duplicate the listener")
	}
	l, err := sockets.Adopt(fd, "test")
	if err != nil {
		t.Fatal(err)
	}
	a, err := sockets.NewAcceptor([]*sockets.Listener{l})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// Worker is a class at work.
type Worker struct {
	Board   *scoreboard.Board
	Drain   *workers.Drain
	Closed  atomic.Int32 // how often the class said that it accepts no more
	Retired atomic.Int32
	Served  atomic.Int32 // requests the guest was asked
	done    chan struct{}
	err     error
}

// Options are what Start varies.
type Options struct {
	Config *config.Config
	Guest  exchange.HandlerFunc
	Log    *slog.Logger
	Access workers.AccessFunc
	Span   workers.SpanFunc
}

// Start runs a worker of a class on a port until the test ends.
func Start(t *testing.T, p *Port, factory workers.Factory, o Options) *Worker {
	t.Helper()
	board, err := scoreboard.Create(max(o.Config.Threads, 1))
	if err != nil {
		t.Fatal(err)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	w := &Worker{Board: board, Drain: workers.NewDrain(), done: make(chan struct{})}
	service, err := workers.NewService(workers.ServiceOptions{
		Config: o.Config, Board: board, Log: o.Log, Access: o.Access, Span: o.Span,
		Guest: exchange.HandlerFunc(func(ctx context.Context, x *exchange.Exchange) error {
			w.Served.Add(1)
			return o.Guest(ctx, x)
		}),
		Retire: func(string) { w.Retired.Add(1) },
	})
	if err != nil {
		t.Fatal(err)
	}
	class, err := factory(&workers.Env{
		Config: o.Config, Acceptor: p.acceptor(t), Board: board, Service: service, Drain: w.Drain,
		Closed: func() { w.Closed.Add(1) }, Log: o.Log,
	})
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(w.done)
		w.err = class.Run(context.Background())
	}()
	t.Cleanup(func() {
		w.Drain.Begin(workers.Order{})
		if err := w.Wait(t); !errors.Is(err, workers.ErrCutOff) {
			p.boards = append(p.boards, board) // one with a request still in it stays mapped
		}
	})
	return w
}

// Wait waits until Run has returned and returns its error.
func (w *Worker) Wait(t *testing.T) error {
	t.Helper()
	select {
	case <-w.done:
		return w.err
	case <-time.After(Patience):
		t.Fatal("the worker does not end")
		return nil
	}
}

// Running reports whether Run has not returned.
func (w *Worker) Running() bool {
	select {
	case <-w.done:
		return false
	default:
		return true
	}
}

// Busy waits until n requests are in slots.
func (w *Worker) Busy(t *testing.T, n int) {
	t.Helper()
	WaitFor(t, "busy slots", func() bool { s := w.Board.Snapshot(); return s.Busy() == n })
}

// WaitFor waits until cond holds.
func WaitFor(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(Patience); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited too long for %s", what)
		}
	}
}

// NoGoroutines checks that no goroutine of the server's packages is left but the test's own.
func NoGoroutines(t *testing.T) {
	t.Helper()
	var left string
	for end := time.Now().Add(Patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if left = serving(); left == "" {
			return
		}
	}
	t.Errorf("goroutines are left:\n%s", left)
}

// serving returns the stacks of goroutines that serve connections or run a class.
func serving() string {
	buf := make([]byte, 1<<20)
	buf = buf[:runtime.Stack(buf, true)]
	var left []string
	for stack := range strings.SplitSeq(string(buf), "\n\n") {
		for _, mark := range []string{"http1.(*conn)", "http1.(*Server)", "workers.(*Front)", "workers.(*gate)", "workers.(*clients)"} {
			if strings.Contains(stack, mark) {
				left = append(left, stack)
				break
			}
		}
	}
	return strings.Join(left, "\n\n")
}

// Dial connects to the port.
func (p *Port) Dial(t *testing.T) *load.Conn {
	t.Helper()
	c, err := load.Dial(t.Context(), p.Addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// Do sends a raw request on a new connection and returns the one response.
func (p *Port) Do(t *testing.T, raw string) *load.Response {
	t.Helper()
	r, err := p.Dial(t).Do([]byte(raw), strings.HasPrefix(raw, "HEAD "))
	if err != nil {
		t.Fatalf("%.80q: %v", raw, err)
	}
	return r
}

// Get sends a GET on a new connection and returns the one response.
func (p *Port) Get(t *testing.T, target string) *load.Response {
	t.Helper()
	return p.Do(t, Raw(target))
}

// Raw returns the text of a GET.
func Raw(target string) string { return "GET " + target + " HTTP/1.1\r\nHost: test\r\n\r\n" }

// Send sends a GET on a new connection and does not wait for the response.
func (p *Port) Send(t *testing.T, target string) *load.Conn {
	t.Helper()
	c := p.Dial(t)
	if err := c.Send([]byte(Raw(target))); err != nil {
		t.Fatal(err)
	}
	return c
}
