// Package handover is what two arbiters say to each other when one executes the other to take its place: messages and
// framing. The two may be of different versions, so unknown messages and members are ignored, and the meaning of known
// ones never changes. Packages arbiter and cmd/appserver speak it; what follows from a message is theirs to decide.
//
// The old arbiter executes the new one with a SOCK_SEQPACKET socket as descriptor 3, which the variable
// APPSERVER_HANDOVER says, and its listening sockets from descriptor 4 on.
//
//	old                                     new
//	  |  will  ------------------------>     |   what the descriptors are
//	  |  <----------------------- opened     |   has its listening sockets, and goes on with these of the old ones
//	  |  <-------------- ready | failed      |   enough workers serve, or why they never will
//	  |  serve ------------------------>     |   the new one is the service, and speaks to the service manager
//	  |  EOF  --------------------------     |   the other one is gone
package handover

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/appserver-go/appserver/internal/fault"
	"github.com/appserver-go/appserver/internal/proto"
	"github.com/appserver-go/appserver/sockets"
)

// Version is raised when an older arbiter could not be succeeded in the same way.
const Version = 1

// Variable names the descriptor of the socket to the new arbiter.
const Variable = "APPSERVER_HANDOVER"

// Descriptors of the new arbiter.
const (
	ControlFD = 3 // the socket
	SocketFD  = 4 // the first of the listening sockets
)

// Type names a message.
type Type string

// The messages.
const (
	TypeWill   Type = "will"
	TypeOpened Type = "opened"
	TypeReady  Type = "ready"
	TypeFailed Type = "failed"
	TypeServe  Type = "serve"
)

// Message is one packet. The member that Type names is set; ready and serve have none.
type Message struct {
	Type   Type    `json:"type"`
	Will   *Will   `json:"will,omitempty"`
	Opened *Opened `json:"opened,omitempty"`
	Failed *Failed `json:"failed,omitempty"`
}

// Will is what the old arbiter leaves.
type Will struct {
	Version int `json:"version"`
	PID     int `json:"pid"` // of the old arbiter
	// Sockets describe the descriptors from SocketFD on.
	Sockets []sockets.Bequest `json:"sockets"`
	// Workers is how many workers there are, and Configured how many were configured: signals may have changed it.
	Workers    int `json:"workers,omitempty"`
	Configured int `json:"configured,omitempty"`
}

// Opened says what the new arbiter listens on.
type Opened struct {
	// Kept are those of the inherited sockets that it goes on with, by index.
	Kept []int `json:"kept"`
}

// Failed says why the new arbiter will not serve.
type Failed struct {
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
	Code    int    `json:"code,omitempty"` // its exit code
}

// Conn is one end. Say and Hear may each be called by one goroutine at a time.
type Conn struct{ c *proto.Conn }

// Pair returns the old arbiter's end, and the new one's as a file for its descriptor ControlFD.
func Pair() (*Conn, *os.File, error) {
	c, theirs, err := proto.Pair()
	return &Conn{c: c}, theirs, err
}

// Say sends a message or fails at once: no arbiter waits for another.
func (c *Conn) Say(m Message) error {
	b, err := json.Marshal(m)
	if err == nil && len(b) > proto.MaxMessage {
		err = errors.New("it is too large")
	}
	if err == nil {
		err = c.c.TrySendPacket(b)
	}
	if err != nil {
		return fmt.Errorf("say %s to the other arbiter: %w", m.Type, err)
	}
	return nil
}

// Hear waits for the next message. An error means that there will be no more: the other arbiter is gone, or no arbiter.
func (c *Conn) Hear() (Message, error) {
	b, err := c.c.ReceivePacket()
	if err != nil {
		return Message{}, err
	}
	return decode(b)
}

// decode reads a message. One of a type that is not known is good, so that new ones can be added.
func decode(b []byte) (m Message, err error) {
	if err = json.Unmarshal(b, &m); err != nil {
		return Message{}, fmt.Errorf("message of another arbiter: %w", err)
	}
	missing := m.Type == "" || m.Type == TypeWill && m.Will == nil || m.Type == TypeOpened && m.Opened == nil ||
		m.Type == TypeFailed && m.Failed == nil
	if missing {
		return Message{}, fmt.Errorf("message of another arbiter: %.32q lacks its member", m.Type)
	}
	return m, nil
}

// Finish makes Hear return what has arrived and then an error, even if some process still holds the other end.
func (c *Conn) Finish() { _ = c.c.CloseRead() } // fails only where Hear has ended already

// Close closes this end.
func (c *Conn) Close() error { return c.c.Close() }

// Heir is the new arbiter's side.
type Heir struct {
	*Conn
	Will Will
}

// Inherit returns what the environment says of an arbiter that has executed this process, nil if none has, and the
// environment without it. The listening sockets stay as they are until sockets.Succeed takes them.
func Inherit(environ []string) (h *Heir, rest []string, err error) {
	value, found := "", false
	for _, entry := range environ {
		if v, ok := strings.CutPrefix(entry, Variable+"="); ok {
			value, found = v, true
			continue
		}
		rest = append(rest, entry)
	}
	if !found {
		return nil, rest, nil
	}
	const hint = "the variable is set by an arbiter that executes a new one; unset it"
	if value != strconv.Itoa(ControlFD) {
		return nil, rest, fault.New(hint, "%s: %.40q is not the descriptor of an arbiter", Variable, value)
	}
	c, err := proto.NewConn(os.NewFile(ControlFD, "handover"))
	if err != nil {
		return nil, rest, fault.New(hint, "%s: %w", Variable, err)
	}
	h = &Heir{Conn: &Conn{c: c}}
	m, err := h.Hear()
	switch {
	case err != nil:
		err = fault.New(hint, "%s: %w", Variable, err)
	case m.Type != TypeWill:
		err = fault.New(hint, "%s: an arbiter begins with %.32q", Variable, m.Type)
	case m.Will.Version != Version:
		err = fault.New("stop the old version and start this one", "the old arbiter hands over as version %d, this one inherits as version %d", m.Will.Version, Version)
	default:
		h.Will = *m.Will
		return h, rest, nil
	}
	h.Fail(err)
	return nil, rest, errors.Join(err, h.Close())
}

// Fail tells the old arbiter why this one ends. The nil *Heir, which nobody waits for, does nothing.
func (h *Heir) Fail(err error) {
	if h == nil || err == nil {
		return
	}
	// If it cannot be told, it sees the exit code.
	_ = h.Say(Message{Type: TypeFailed, Failed: &Failed{Message: err.Error(), Hint: fault.Hint(err), Code: fault.Code(err)}})
}
