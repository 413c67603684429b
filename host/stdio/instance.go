package stdio

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/host/engine"
)

// endGrace is how long a guest that is not needed any more has to end by itself after it was told, by the end of its
// stdin, before it is interrupted.
const endGrace = time.Second

// instance is a running guest with a connection on its standard streams. The goroutine that took it from the pool uses
// it; the guest runs on one of its own.
type instance struct {
	in, out  *pipe         // its stdin and its stdout
	limit    *limitReader  // of out
	response *bufio.Reader // of limit

	ready     chan struct{} // closed when the guest reads for the first time: it has started
	readyOnce sync.Once
	request   atomic.Pointer[context.Context] // of the request in hand, nil between requests

	interrupt context.CancelCauseFunc
	done      chan struct{} // closed when the guest has ended
	err       error         // how it ended, after done; nil when _start returned
}

// start makes an instance and returns when the guest reads its stdin for the first time: whatever it does at its start
// is done then. Errors are *engine.Trap, of the engine, or errEnded.
func (g *Guest) start(ctx context.Context) (*instance, error) {
	i := &instance{in: newPipe(), out: newPipe(), ready: make(chan struct{}), done: make(chan struct{})}
	i.limit = &limitReader{r: i.out}
	i.response = bufio.NewReaderSize(i.limit, readBuffer)
	life, interrupt := context.WithCancelCause(context.Background())
	i.interrupt = interrupt
	stderr := engine.NewLineWriter(func(line string) { g.opts.Stderr(i.context(), line) })
	module, err := g.module.Instantiate(ctx, engine.Spec{
		Args: g.args, Env: g.env, Dirs: g.opts.Dirs, Stdin: stdin{i}, Stdout: i.out, Stderr: stderr,
	})
	if err != nil {
		interrupt(nil)
		return nil, err
	}
	go func() {
		defer close(i.done)
		i.err = module.Call(&lifetime{life, i}, module.Function(entry), nil)
		stderr.Flush()
		i.in.cut()
		i.out.end()
		if err := module.Close(); err != nil {
			g.opts.Log.Error("Guest instance not closed", "error", err)
		}
	}()
	select {
	case <-i.ready:
		return i, nil
	case <-i.done:
		interrupt(nil)
		return nil, i.ended()
	case <-ctx.Done():
		i.stop(context.Cause(ctx))
		return nil, i.ended()
	}
}

// stdin is what the guest reads.
type stdin struct{ *instance }

func (s stdin) Read(p []byte) (int, error) {
	s.readyOnce.Do(func() { close(s.ready) })
	return s.in.Read(p)
}

// context returns the context of the request in hand.
func (i *instance) context() context.Context {
	if ctx := i.request.Load(); ctx != nil {
		return *ctx
	}
	return context.Background()
}

// lifetime is the context of a guest's run. It lasts as long as the guest does, and has the values of the request in hand.
type lifetime struct {
	context.Context
	instance *instance
}

// Value implements context.Context.
func (l *lifetime) Value(key any) any {
	if v := l.Context.Value(key); v != nil {
		return v
	}
	return l.instance.context().Value(key)
}

// errEnded is the error of a guest whose _start returned.
var errEnded = errors.New("the guest has ended")

// ended says how the guest ended. It may be called once done is closed.
func (i *instance) ended() error {
	var trap *engine.Trap
	if i.err == nil || errors.As(i.err, &trap) && trap.Kind == engine.KindExit && trap.Code == 0 {
		return errEnded
	}
	return i.err
}

// fit reports whether the instance can take a request: it waits for one, and has said nothing that was not asked for.
// It waits for a guest that is still busy with what it does after a response.
func (i *instance) fit(ctx context.Context) bool {
	quit := context.AfterFunc(ctx, i.in.cut)
	waits := i.in.wanted()
	return quit() && waits && i.quiet()
}

// quiet reports whether everything the guest wrote has been read.
func (i *instance) quiet() bool { return i.response.Buffered() == 0 && i.out.empty() }

// stop interrupts the guest and waits for its end.
func (i *instance) stop(cause error) {
	i.interrupt(cause)
	i.in.cut()
	i.out.cut()
	<-i.done
}

// end lets an idle guest end by itself, for a moment.
func (i *instance) end() {
	i.in.end()
	t := time.NewTimer(endGrace)
	defer t.Stop()
	select {
	case <-i.done:
	case <-t.C:
	}
	i.stop(errEnded)
}

// limitReader lets through as many bytes as it is told to, so that a head cannot be endless.
type limitReader struct {
	r    io.Reader
	left int64 // negative for any number
}

// errHeadTooLong is the error of a head that does not end.
var errHeadTooLong = fmt.Errorf("the head is longer than %d bytes", exchange.MaxResponseHeadBytes)

func (l *limitReader) Read(p []byte) (int, error) {
	if l.left < 0 {
		return l.r.Read(p)
	}
	if l.left == 0 {
		return 0, errHeadTooLong
	}
	n, err := l.r.Read(p[:min(int64(len(p)), l.left)])
	l.left -= int64(n)
	return n, err
}
