package proto

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// sendTimeout bounds a Send to a peer that does not read. Both sides read in a goroutine of their own, so only a
// stopped or frozen process makes anybody wait, and the arbiter must not wait for one.
const sendTimeout = time.Second

// Conn is one end of the control socket. Send and Receive may each be called by one goroutine at a time.
type Conn struct {
	c   *net.UnixConn
	buf []byte
}

// Pair makes a control socket and returns its two ends. The first becomes a Conn; the second is for the process that
// is about to be started, and its descriptor is not set non-blocking.
func Pair() (*Conn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("socketpair: %w", err)
	}
	theirs := os.NewFile(uintptr(fds[1]), "control")
	ours, err := NewConn(os.NewFile(uintptr(fds[0]), "control"))
	if err != nil {
		theirs.Close()
		return nil, nil, err
	}
	return ours, theirs, nil
}

// NewConn makes a Conn of a socket's descriptor and takes the file over.
func NewConn(f *os.File) (*Conn, error) {
	defer f.Close() // FileConn works on a duplicate
	c, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		c.Close()
		return nil, errors.New("control socket: not a unix socket")
	}
	return &Conn{c: u, buf: make([]byte, MaxMessage+1)}, nil
}

// Send sends one message. A peer that takes none for a second is an error.
func (c *Conn) Send(m Message) error {
	b, err := Encode(m)
	if err != nil {
		return err
	}
	if err := c.c.SetWriteDeadline(time.Now().Add(sendTimeout)); err != nil {
		return err
	}
	_, err = c.c.Write(b)
	return err
}

// TrySend sends one message or fails at once: with EAGAIN when the peer has read so little that the socket is full. It
// is for the arbiter, whose loop waits for nobody. One Conn uses Send or TrySend, not both: a deadline that Send left
// behind fails a later TrySend.
func (c *Conn) TrySend(m Message) error {
	b, err := Encode(m)
	if err == nil {
		err = c.TrySendPacket(b)
	}
	if err != nil {
		return fmt.Errorf("send %s: %w", m.Type, err)
	}
	return nil
}

// TrySendPacket is TrySend for bytes that mean something to somebody else.
func (c *Conn) TrySendPacket(b []byte) error {
	raw, err := c.c.SyscallConn()
	if err != nil {
		return err
	}
	var sendErr error
	err = raw.Write(func(fd uintptr) bool {
		for {
			_, sendErr = unix.SendmsgN(int(fd), b, nil, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
			if !errors.Is(sendErr, unix.EINTR) {
				return true
			}
		}
	})
	return errors.Join(err, sendErr)
}

// Receive waits for the next message. io.EOF means that the peer is gone and that everything it had sent was returned
// before. An error that wraps ErrMalformed leaves the connection usable, since packets keep their bounds.
func (c *Conn) Receive() (Message, error) {
	b, err := c.ReceivePacket()
	if err != nil {
		return Message{}, err
	}
	return Decode(b)
}

// ReceivePacket is Receive for bytes that mean something to somebody else. They are good until the next call.
func (c *Conn) ReceivePacket() ([]byte, error) {
	n, err := c.c.Read(c.buf)
	if errors.Is(err, unix.ECONNRESET) {
		// The peer closed with a message of ours unread. The kernel says so once, ahead of what the peer had sent.
		n, err = c.c.Read(c.buf)
	}
	if n == 0 && (err == nil || errors.Is(err, io.EOF)) {
		return nil, io.EOF // a zero-length read is how SEQPACKET says that the peer closed
	}
	if err != nil {
		return nil, err
	}
	return c.buf[:n], nil
}

// CloseRead makes Receive return what has arrived so far and then io.EOF, even if a process still holds the other end.
func (c *Conn) CloseRead() error { return c.c.CloseRead() }

// Close closes this end. A Receive that waits returns.
func (c *Conn) Close() error { return c.c.Close() }
