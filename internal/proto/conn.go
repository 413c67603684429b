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
	oob []byte
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
	return &Conn{c: u, buf: make([]byte, MaxMessage+1), oob: make([]byte, unix.CmsgSpace(4))}, nil
}

// Send sends one message, with its file if it has one, which stays the caller's. A peer that takes none for a second is
// an error.
func (c *Conn) Send(m Message) error {
	b, err := Encode(m)
	if err != nil {
		return err
	}
	if err := c.c.SetWriteDeadline(time.Now().Add(sendTimeout)); err != nil {
		return err
	}
	if m.File == nil {
		_, err = c.c.Write(b)
		return err
	}
	raw, err := m.File.SyscallConn()
	if err != nil {
		return err
	}
	var sendErr error
	err = raw.Control(func(fd uintptr) { _, _, sendErr = c.c.WriteMsgUnix(b, unix.UnixRights(int(fd)), nil) })
	return errors.Join(err, sendErr)
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
	b, file, err := c.receive()
	if err != nil {
		return Message{}, err
	}
	m, err := Decode(b)
	if err == nil && (file != nil) != (m.Type == TypeShare) {
		err = fmt.Errorf("%w: wrong descriptors for type %s", ErrMalformed, m.Type)
	}
	if err != nil {
		closeFile(file)
		return Message{}, err
	}
	m.File = file
	return m, nil
}

// ReceivePacket is Receive for bytes that mean something to somebody else. They are good until the next call.
func (c *Conn) ReceivePacket() ([]byte, error) {
	b, file, err := c.receive()
	closeFile(file)
	return b, err
}

// receive waits for the next packet, which is good until the next call, and the descriptor that came with it.
func (c *Conn) receive() ([]byte, *os.File, error) {
	n, file, err := c.read()
	if errors.Is(err, unix.ECONNRESET) {
		// The peer closed with a message of ours unread. The kernel says so once, ahead of what the peer had sent.
		n, file, err = c.read()
	}
	if n == 0 && (err == nil || errors.Is(err, io.EOF)) {
		err = io.EOF // a zero-length read is how SEQPACKET says that the peer closed
	}
	if err != nil {
		closeFile(file)
		return nil, nil, err
	}
	return c.buf[:n], file, nil
}

// read reads once. There is room for hardly more than one descriptor: the kernel closes what else was sent.
func (c *Conn) read() (n int, file *os.File, err error) {
	n, oobn, _, _, err := c.c.ReadMsgUnix(c.buf, c.oob)
	if err != nil || oobn == 0 {
		return n, nil, err
	}
	messages, err := unix.ParseSocketControlMessage(c.oob[:oobn])
	if err != nil {
		return n, nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	for i := range messages {
		fds, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			continue // something else that a socket can carry
		}
		for _, fd := range fds {
			closeFile(file)
			file = os.NewFile(uintptr(fd), "shared")
		}
	}
	return n, file, nil
}

// closeFile closes a descriptor that nobody wants, if there is one.
func closeFile(f *os.File) {
	if f != nil {
		f.Close()
	}
}

// CloseRead makes Receive return what has arrived so far and then io.EOF, even if a process still holds the other end.
func (c *Conn) CloseRead() error { return c.c.CloseRead() }

// Close closes this end. A Receive that waits returns.
func (c *Conn) Close() error { return c.c.Close() }
