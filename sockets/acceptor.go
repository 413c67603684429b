package sockets

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// sweepInterval is how often a waiting Acceptor looks into the queues unasked. The kernel wakes one waiter for each
	// connection; when that one dies or freezes before it accepts, this is how long the connection waits for another.
	sweepInterval = 500 * time.Millisecond

	// Bounds of the pause after running out of descriptors or memory, as in net/http.
	minPause = 5 * time.Millisecond
	maxPause = time.Second

	// logInterval is the shortest time between two records about such pauses.
	logInterval = time.Second
)

// ErrNoPending says that no connection waits to be accepted.
var ErrNoPending = errors.New("no pending connection")

// ErrInterrupted is returned by an Accept that Interrupt broke off. The next one works.
var ErrInterrupted = errors.New("accept interrupted")

// wakeEvent is the epoll data of the eventfd; listeners have their index.
const wakeEvent = -1

// Acceptor accepts connections from several listening sockets that it shares with other processes. It waits in an epoll
// instance of its own instead of Go's netpoller: with EPOLLEXCLUSIVE (epoll_ctl(2)) a connection wakes one process, not
// all of them, and a process that is not in Accept is not woken at all. After each connection it goes to the end of the
// socket's wait queue, so that idle processes take turns; the kernel would wake the first of the queue every time.
//
// One goroutine calls Accept. A worker that is busy just does not call it. Acceptor is a net.Listener.
type Acceptor struct {
	listeners []*Listener
	log       *slog.Logger
	stopped   atomic.Bool

	armMu  sync.Mutex // held for moments, to change what is in epoll
	chosen []bool     // whether to accept from the listener of that index
	armed  []bool     // whether it is in epoll

	wakeMu sync.Mutex // guards wake against its closing
	wake   int        // eventfd that becomes readable for ever at Stop, or -1

	mu      sync.Mutex // held by Accept and AcceptPending, so Close waits for them
	epoll   int        // or -1
	pause   time.Duration
	logged  time.Time
	closing error // what Close returned
}

// NewAcceptor makes an Acceptor, which owns the listeners from now on. On an error they stay the caller's.
func NewAcceptor(listeners []*Listener) (*Acceptor, error) {
	if len(listeners) == 0 {
		return nil, errors.New("accept connections: no listeners")
	}
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("accept connections: %w", os.NewSyscallError("epoll_create1", err))
	}
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		unix.Close(epoll)
		return nil, fmt.Errorf("accept connections: %w", os.NewSyscallError("eventfd2", err))
	}
	a := &Acceptor{
		listeners: listeners, log: slog.New(slog.DiscardHandler),
		wake: wake, epoll: epoll, armed: make([]bool, len(listeners)), chosen: make([]bool, len(listeners)),
	}
	for i := range listeners {
		a.chosen[i] = true
	}
	err = unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, wake, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: wakeEvent})
	for i := range listeners {
		if err == nil {
			err = a.arm(i)
		}
	}
	if err != nil {
		unix.Close(wake)
		unix.Close(epoll)
		return nil, fmt.Errorf("accept connections: %w", os.NewSyscallError("epoll_ctl", err))
	}
	return a, nil
}

// SetLogger makes log the receiver of warnings about exhausted descriptors or memory. Call it before Accept.
func (a *Acceptor) SetLogger(log *slog.Logger) { a.log = log }

// Addr returns the address of the first listener.
func (a *Acceptor) Addr() net.Addr { return a.listeners[0].Addr() }

// Accept waits for a connection and returns it, a *Conn. When descriptors or memory run out it pauses, logs and goes on.
// After Stop it returns ErrClosed; only a connection that had already woken it is still returned, because nobody else
// was woken for that one. Any other error is final: a listening socket is broken.
func (a *Acceptor) Accept() (net.Conn, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for !a.stopped.Load() {
		first, end, err := a.wait()
		if err != nil {
			return nil, err
		}
		for i := first; i < end; i++ {
			if !a.isChosen(i) {
				continue
			}
			conn, err := a.listeners[i].accept()
			switch {
			case err == nil:
				a.pause = 0
				a.rotate(i)
				return conn, nil
			case errors.Is(err, ErrNoPending): // another process was faster
			case exhausted(err):
				a.rest(err)
			default:
				return nil, err
			}
		}
	}
	return nil, ErrClosed
}

// wait returns the range of listeners to try: one that is ready, or all of them at a sweep, or none at Stop.
func (a *Acceptor) wait() (first, end int, err error) {
	a.rearm()
	var events [1]unix.EpollEvent
	n, err := unix.EpollWait(a.epoll, events[:], int(sweepInterval.Milliseconds()))
	switch {
	case err == unix.EINTR:
		return 0, 0, nil
	case err != nil:
		return 0, 0, os.NewSyscallError("epoll_wait", err)
	case n == 0:
		return 0, len(a.listeners), nil
	case events[0].Fd == wakeEvent && !a.stopped.Load():
		var count [8]byte
		_, _ = unix.Read(a.wake, count[:]) // Stop writes again, so nothing of it is lost
		if a.stopped.Load() {
			return 0, 0, nil
		}
		return 0, 0, ErrInterrupted
	case events[0].Fd == wakeEvent:
		return 0, 0, nil
	default:
		return int(events[0].Fd), int(events[0].Fd) + 1, nil
	}
}

// rearm enters the listeners into epoll that are chosen and not there.
func (a *Acceptor) rearm() {
	a.armMu.Lock()
	defer a.armMu.Unlock()
	for i, armed := range a.armed {
		if a.chosen[i] && !armed {
			_ = a.arm(i) // for want of memory, if it fails: the sweep still serves this listener
		}
	}
}

func (a *Acceptor) isChosen(i int) bool {
	a.armMu.Lock()
	defer a.armMu.Unlock()
	return a.chosen[i]
}

// Choose makes Accept and AcceptPending take connections from the listeners of these indices only, at once, even while
// Accept waits. Connections in the queues of the others wait for somebody else. All are chosen at first. Indices that do
// not exist are ignored. It may be called by any goroutine.
func (a *Acceptor) Choose(indices []int) {
	a.wakeMu.Lock() // Close takes it before it closes epoll
	defer a.wakeMu.Unlock()
	a.armMu.Lock()
	defer a.armMu.Unlock()
	for i := range a.listeners {
		a.chosen[i] = slices.Contains(indices, i)
		switch {
		case a.wake < 0:
		case a.chosen[i] && !a.armed[i]:
			_ = a.arm(i) // wait tries again
		case !a.chosen[i] && a.armed[i]:
			// It cannot fail: the listener is there.
			a.armed[i] = unix.EpollCtl(a.epoll, unix.EPOLL_CTL_DEL, a.listeners[i].fd, nil) != nil
		}
	}
}

// arm enters the listener into epoll, at the end of the socket's wait queue. Events that are there already count. The
// caller holds armMu.
func (a *Acceptor) arm(i int) error {
	event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLEXCLUSIVE, Fd: int32(i)}
	err := unix.EpollCtl(a.epoll, unix.EPOLL_CTL_ADD, a.listeners[i].fd, &event)
	a.armed[i] = err == nil
	return err
}

// rotate moves the Acceptor from the head of a socket's wait queue to its end. EPOLL_CTL_MOD would not, and is not
// allowed for exclusive entries.
func (a *Acceptor) rotate(i int) {
	a.armMu.Lock()
	defer a.armMu.Unlock()
	if a.armed[i] && unix.EpollCtl(a.epoll, unix.EPOLL_CTL_DEL, a.listeners[i].fd, nil) == nil {
		_ = a.arm(i) // wait tries again
	}
}

// rest waits before the next try to accept, longer each time, and no longer than until Stop.
func (a *Acceptor) rest(cause error) {
	a.pause = min(max(2*a.pause, minPause), maxPause)
	if now := time.Now(); now.Sub(a.logged) >= logInterval {
		a.logged = now
		a.log.Warn("Cannot accept connections, trying again", "error", cause.Error(), "pause", a.pause)
	}
	// Of the errors of poll, a signal's interruption is harmless and the others shorten the pause.
	_, _ = unix.Poll([]unix.PollFd{{Fd: int32(a.wake), Events: unix.POLLIN}}, int(a.pause.Milliseconds()))
}

// AcceptPending returns a connection that already waits in a queue, or ErrNoPending. It is for a worker that nobody
// succeeds: after Stop, and once Accept has returned ErrClosed, it empties the queues before the sockets go away. It
// never waits; when descriptors or memory run out it returns a temporary *net.OpError. After Close it returns ErrClosed.
func (a *Acceptor) AcceptPending() (net.Conn, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.epoll < 0 {
		return nil, ErrClosed
	}
	for i, l := range a.listeners {
		if !a.isChosen(i) {
			continue
		}
		conn, err := l.accept()
		if err == nil {
			return conn, nil
		}
		if !errors.Is(err, ErrNoPending) {
			return nil, err
		}
	}
	return nil, ErrNoPending
}

// WaitPending waits for a connection that AcceptPending would return, but no longer than patience. Others may take it
// first.
func (a *Acceptor) WaitPending(patience time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var fds []unix.PollFd
	for _, l := range a.listeners {
		fds = append(fds, unix.PollFd{Fd: int32(l.fd), Events: unix.POLLIN})
	}
	if a.epoll >= 0 {
		_, _ = unix.Poll(fds, int(patience.Milliseconds())) // any end of it is an end
	}
}

// Stop makes a waiting Accept, and all later ones, return ErrClosed. It may be called by any goroutine, repeatedly, and
// does not wait. The listeners stay open until Close.
func (a *Acceptor) Stop() {
	if !a.stopped.Swap(true) {
		a.signal()
	}
}

// Interrupt makes a waiting Accept, or if none waits the next, return ErrInterrupted; a worker that has become busy stops
// waiting for connections with it, which go to others then. It may be called by any goroutine and does not wait.
func (a *Acceptor) Interrupt() { a.signal() }

// signal makes wake readable.
func (a *Acceptor) signal() {
	a.wakeMu.Lock()
	defer a.wakeMu.Unlock()
	if a.wake >= 0 {
		_, _ = unix.Write(a.wake, binary.NativeEndian.AppendUint64(nil, 1)) // the first write to an eventfd never fails
	}
}

// Close stops the Acceptor, waits until Accept has returned, and closes the listeners. Further calls return the same.
func (a *Acceptor) Close() error {
	a.Stop()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.epoll < 0 {
		return a.closing
	}
	a.wakeMu.Lock()
	defer a.wakeMu.Unlock()
	errs := []error{
		os.NewSyscallError("close", unix.Close(a.epoll)),
		os.NewSyscallError("close", unix.Close(a.wake)),
	}
	a.epoll, a.wake = -1, -1
	for _, l := range a.listeners {
		errs = append(errs, l.Close())
	}
	a.closing = errors.Join(errs...)
	return a.closing
}

// accept takes one connection without waiting; ErrNoPending if there is none. Connections that died in the queue are
// skipped.
func (l *Listener) accept() (*Conn, error) {
	for {
		fd, sa, err := unix.Accept4(l.fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		switch {
		case err == nil:
			conn, err := newConn(fd, l, sa)
			if err != nil {
				return nil, l.opError(err)
			}
			return conn, nil
		case err == unix.EAGAIN:
			return nil, ErrNoPending
		case !passing(err):
			return nil, l.opError(os.NewSyscallError("accept4", err))
		}
	}
}

func (l *Listener) opError(err error) error {
	return &net.OpError{Op: "accept", Net: l.addr.Network(), Addr: l.addr, Err: err}
}

// passing reports whether an error of accept concerns one connection that is gone with it (accept(2), "Error handling").
func passing(err error) bool {
	switch err {
	case unix.EINTR, unix.ECONNABORTED, unix.EPROTO, unix.ENOPROTOOPT, unix.ENETDOWN, unix.ENETUNREACH,
		unix.EHOSTDOWN, unix.EHOSTUNREACH, unix.ENONET, unix.EPERM:
		return true
	}
	return false
}

// exhausted reports whether an error will pass when descriptors or memory are freed.
func exhausted(err error) bool {
	return errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) ||
		errors.Is(err, unix.ENOBUFS) || errors.Is(err, unix.ENOMEM)
}
