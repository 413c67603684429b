package sockets

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/appserver-go/appserver/internal/fault"
)

// Defaults of Options, all gunicorn's.
const (
	DefaultBacklog    = 2048
	DefaultRetryDelay = time.Second
)

// Options says how to listen. They apply to every address of a call.
type Options struct {
	// Backlog is the length of the kernel's queue of connections not yet accepted; 0 means DefaultBacklog. The kernel
	// caps it at net.core.somaxconn.
	Backlog int
	// Mode is the permission bits of unix socket files, exactly: the umask has no part in it.
	Mode os.FileMode
	// UID and GID own the unix socket files; -1 leaves what the process creates.
	UID, GID int
	// Slots is the number of SO_REUSEPORT sockets for each TCP address, one for each worker slot. 0 opens one for
	// everybody. Unix and inherited sockets are always for everybody.
	Slots int
	// TLS makes names start with https.
	TLS bool
	// Retries is how often an address in use is tried again, RetryDelay apart (0 means DefaultRetryDelay). Gunicorn's
	// five tries are Retries 4.
	Retries    int
	RetryDelay time.Duration
	// Log is told about retries and a capped backlog; nil discards.
	Log *slog.Logger
}

func (o Options) withDefaults() Options {
	if o.Backlog <= 0 {
		o.Backlog = DefaultBacklog
	}
	if o.RetryDelay <= 0 {
		o.RetryDelay = DefaultRetryDelay
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// Listen opens the addresses. It is all or nothing: on an error everything opened so far is closed and its files are
// removed, descriptors of fd:// addresses included. Errors are faults with a hint.
//
// A unix socket's file that nobody answers on is replaced; a live one and any other file are refused. An address in use
// is tried again as Options say, until ctx is done.
func Listen(ctx context.Context, addrs []Addr, opts Options) (*Set, error) {
	if len(addrs) == 0 {
		return nil, fault.New(grammarHint, "no address to listen on")
	}
	plans, err := resolve(ctx, addrs)
	if err != nil {
		return nil, err
	}
	set := &Set{}
	for _, p := range plans {
		b, err := p.bind(ctx, opts)
		if err != nil {
			return nil, errors.Join(err, set.Close(true))
		}
		set.binds = append(set.binds, b)
	}
	warnCapped(opts.withDefaults())
	return set, nil
}

// bind opens one address, or adopts the socket it names.
func (p plan) bind(ctx context.Context, opts Options) (b bind, err error) {
	if p.addr.Network == FD {
		b, err = adoptShared(p.addr.FD, opts) // without defaults: the backlog is only changed on request
	} else {
		b.sockets, err = p.openRetrying(ctx, opts.withDefaults())
	}
	b.given, b.addr, b.v6only = p.given, p.addr, p.v6only
	return b, err
}

// openRetrying opens one address and tries again while another socket has it.
func (p plan) openRetrying(ctx context.Context, opts Options) ([]*Socket, error) {
	for try := 1; ; try++ {
		b, err := p.open(ctx, opts)
		if err == nil {
			return b, nil
		}
		if !errors.Is(err, unix.EADDRINUSE) {
			return nil, p.explain(err)
		}
		if try > opts.Retries {
			return nil, p.explainInUse(err, try)
		}
		opts.Log.Warn("Address is in use, trying again", "address", p.given.String(), "error", err.Error(),
			"try", try, "of", opts.Retries+1, "delay", opts.RetryDelay)
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("listen on %s: %w", p.given, context.Cause(ctx))
		case <-time.After(opts.RetryDelay):
		}
	}
}

func (p plan) open(ctx context.Context, opts Options) ([]*Socket, error) {
	if p.addr.Network == Unix {
		s, err := openUnix(ctx, p.addr, opts)
		if err != nil {
			return nil, err
		}
		return []*Socket{s}, nil
	}
	return openTCP(p.addr, p.v6only, opts)
}

// inUseError is EADDRINUSE with what is known about the other socket.
type inUseError struct{ by string }

func (e *inUseError) Error() string { return "address is in use" + e.by }

func (e *inUseError) Is(target error) bool { return target == unix.EADDRINUSE }

func (p plan) explainInUse(err error, tries int) error {
	hint := "stop the other server or choose another address with --bind; `ss -ltnp` shows who listens"
	if p.addr.Network == Unix {
		hint = "stop the other server or choose another path with --bind"
	}
	if !errors.As(err, new(*inUseError)) {
		err = &inUseError{}
	}
	after := ""
	if tries > 1 {
		after = " (tried " + strconv.Itoa(tries) + " times)"
	}
	return fault.New(hint, "listen on %s: %w%s", p.given, err, after)
}

// explain makes a fault of an error that trying again does not mend.
func (p plan) explain(err error) error {
	hint := fault.Hint(err)
	file := p.addr.Network == Unix && !p.addr.abstract()
	switch {
	case hint != "":
	case errors.Is(err, unix.EADDRNOTAVAIL):
		hint = "this machine has no such address; 0.0.0.0 and [::] mean all of them"
	case file && (errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR)):
		hint = "create the directory of the socket first"
	case file && (errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.EROFS)):
		hint = "choose a directory that this user may write to"
	case errors.Is(err, unix.EACCES):
		hint = "ports below 1024 need root or CAP_NET_BIND_SERVICE; choose a higher one or use socket activation"
	case errors.Is(err, unix.EAFNOSUPPORT):
		hint = "the kernel of this machine or container lacks this kind of address; bind another one"
	case errors.Is(err, unix.ENODEV):
		hint = "`ip link` shows the network interfaces"
	case errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE):
		hint = "raise the limit on open files (ulimit -n)"
	}
	return fault.New(hint, "listen on %s: %w", p.given, err)
}

// warnCapped says when the kernel will not grant the backlog: it does so silently (listen(2)).
func warnCapped(opts Options) {
	text, err := os.ReadFile("/proc/sys/net/core/somaxconn")
	if err != nil {
		return
	}
	limit, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err == nil && opts.Backlog > limit {
		opts.Log.Warn("Backlog is capped by the kernel, raise net.core.somaxconn to get it",
			"backlog", opts.Backlog, "net.core.somaxconn", limit)
	}
}
