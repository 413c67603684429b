package control

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/appserver-go/appserver/internal/fault"
	"github.com/appserver-go/appserver/sockets"
)

// backlog is the kernel's queue of the socket. Where it is full, connect fails at once (EAGAIN).
const backlog = 2 * maxConns

// Socket is the open control socket. Clients may connect from now on; they are answered once Serve has it.
type Socket struct {
	mu    sync.Mutex
	path  string
	set   *sockets.Set
	inner net.Listener
	close func() error
}

// ListenAt opens the socket at a path somebody chose. Its directory must exist. Errors are faults with a hint.
func ListenAt(ctx context.Context, path string) (*Socket, error) {
	if strings.HasPrefix(path, "@") {
		return nil, fault.New("give it a path: the files of abstract sockets have no permissions",
			"control_socket: %q is an abstract socket", path)
	}
	s, err := listen(ctx, path)
	if err != nil {
		return nil, &fault.Error{Err: fmt.Errorf("control_socket: %w", err), Hint: fault.Hint(err)}
	}
	return s, nil
}

// Listen opens the socket PID.sock in the first of dirs where that is possible, and removes what dead servers left
// there. The error says for each why it was not.
func Listen(ctx context.Context, dirs []string) (*Socket, error) {
	var errs []error
	for _, dir := range dirs {
		err := prepare(ctx, dir)
		if err == nil {
			var s *Socket
			if s, err = listen(ctx, filepath.Join(dir, strconv.Itoa(os.Getpid())+".sock")); err == nil {
				return s, nil
			}
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// listen opens the socket. Package sockets makes the file with its mode, without a moment of wider permissions, and
// unlinks only what it made.
func listen(ctx context.Context, path string) (*Socket, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	addr, err := sockets.Parse("unix:" + path)
	if err != nil {
		return nil, err
	}
	set, err := sockets.Listen(ctx, []sockets.Addr{addr}, sockets.Options{Backlog: backlog, Mode: 0o600, UID: -1, GID: -1})
	if err != nil {
		return nil, err
	}
	inner, err := set.Sockets()[0].NetListener()
	if err != nil {
		return nil, errors.Join(err, set.Close(true))
	}
	return &Socket{
		path: path, set: set, inner: inner,
		close: sync.OnceValue(func() error { return errors.Join(set.Close(true), inner.Close()) }),
	}, nil
}

// Path returns the absolute path of the socket.
func (s *Socket) Path() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.path
}

// Move gives the socket another absolute path in the same directory, and replaces the file there: clients that connect in
// the meantime reach whoever had it before, or this one.
func (s *Socket) Move(path string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.set.Sockets()[0].MoveFile(path); err != nil {
		return fmt.Errorf("control socket: %w", err)
	}
	s.path = path
	return nil
}

// Close closes the socket and removes its file, unless another server has replaced it. Only the first call does
// anything. A Server closes its Socket by itself.
func (s *Socket) Close() error { return s.close() }
