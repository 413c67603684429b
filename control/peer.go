package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// maxConns bounds the connections that are open at once.
	maxConns = 64
	// refuseTime is how long a client that is refused has to send its request: it would rather hear of a broken pipe than
	// read the answer.
	refuseTime = time.Second
	// maxRefused bounds the refused clients that are given that time.
	maxRefused = 8
)

// door lets in who may use the socket, and no more than maxConns of them.
type door struct {
	net.Listener
	uid  uint32 // who may, beside root
	room chan struct{}
	log  *slog.Logger

	refused  chan struct{}  // a value for each that is given time
	refusing sync.WaitGroup // their goroutines, which end within refuseTime
}

func newDoor(l net.Listener, log *slog.Logger) *door {
	return &door{
		Listener: l, uid: uint32(os.Geteuid()), log: log,
		room: make(chan struct{}, maxConns), refused: make(chan struct{}, maxRefused),
	}
}

// Accept returns the next connection that may come in. Others get an answer that says why not.
func (d *door) Accept() (net.Conn, error) {
	for {
		c, err := d.Listener.Accept()
		if err != nil {
			return nil, err
		}
		cred, err := peerOf(c)
		switch {
		case err != nil:
			d.log.Warn("Could not find out who connected to the control socket", "error", err)
			d.refuse(c, http.StatusForbidden, Error{Error: "the user of the client is unknown"})
			continue
		case cred.Uid != 0 && cred.Uid != d.uid:
			d.log.Warn("Refused a connection to the control socket", "peer_uid", cred.Uid, "peer_pid", cred.Pid)
			d.refuse(c, http.StatusForbidden, Error{
				Error: fmt.Sprintf("user %d may not control this server", cred.Uid),
				Hint:  fmt.Sprintf("run it as user %d or as root", d.uid),
			})
			continue
		}
		select {
		case d.room <- struct{}{}:
			return &guestConn{Conn: c, leave: sync.OnceFunc(func() { <-d.room })}, nil
		default:
			d.refuse(c, http.StatusServiceUnavailable, Error{
				Error: "too many connections to the control socket", Hint: "close some: `appserver top` and `events` hold one each",
			})
		}
	}
}

// guestConn gives its place back when it is closed.
type guestConn struct {
	net.Conn
	leave func()
}

// Close closes the connection.
func (c *guestConn) Close() error {
	defer c.leave()
	return c.Conn.Close()
}

// peerOf asks the kernel who connected.
func peerOf(c net.Conn) (*unix.Ucred, error) {
	uc, ok := c.(*net.UnixConn)
	if !ok {
		return nil, fmt.Errorf("%T is no unix socket", c)
	}
	raw, err := uc.SyscallConn()
	if err != nil {
		return nil, err
	}
	var cred *unix.Ucred
	ctrlErr := raw.Control(func(fd uintptr) {
		cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	return cred, errors.Join(ctrlErr, os.NewSyscallError("getsockopt", err))
}

// refuse answers a connection whose request nobody will read, and closes it. Errors are the client's loss.
func (d *door) refuse(c net.Conn, status int, e Error) {
	body, err := json.Marshal(e)
	if err != nil {
		body = []byte("{}")
	}
	_ = c.SetDeadline(time.Now().Add(refuseTime))
	fmt.Fprintf(c, "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
		status, http.StatusText(status), len(body), body) // a fresh socket's buffer has room for it
	select {
	case d.refused <- struct{}{}:
		d.refusing.Go(func() {
			_, _ = io.Copy(io.Discard, io.LimitReader(c, maxHead+maxBody))
			c.Close()
			<-d.refused
		})
	default:
		c.Close()
	}
}
