// Package proto is the protocol between the arbiter and its workers: descriptor layout, message types and framing.
// Only arbiter, workers and the commands that start a worker process use it.
//
// The two ends are a socketpair of type SOCK_SEQPACKET, descriptor 3 in the worker. One message is one packet of JSON.
// The end of the stream means that the other side is gone.
//
//	arbiter                                worker
//	   |  <------------------------ hello     |   magic and version
//	   |  start  ------------------------>    |   settings, descriptors, slot, generation
//	   |  <------------------- stage ...      |   loading, compiled, …: what it is busy with
//	   |  <------------------- share ...      |   a descriptor for later workers of its generation
//	   |  <------------------ ready | failed  |   serving, or why it never will
//	   |  secrets ----------------------->    |   TLS keys: right after start, and whenever they change
//	   |  reopen ------------------------>    |   reopen the log files (USR1)
//	   |  accept ------------------------>    |   take connections from these listeners only (listen_mode=slots)
//	   |  <----------------------- retire     |   wants a replacement: max_requests and the like
//	   |  drain  ------------------------>    |   stop accepting, finish, exit
//	   |  <----------------------- closed     |   accepts no more: the listeners may go
//	   |  <------------------------- EOF      |   exited
package proto

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"
)

// Version changes whenever a message does. Arbiter and worker are one binary, so a mismatch means a mistake.
const Version = 2

// Magic is what a worker says first, so that the arbiter knows it is not talking to something else.
const Magic = "appserver-worker"

// Descriptors of a worker process. Listeners and artifacts follow; Start names their numbers.
const (
	ControlFD    = 3 // the worker's end of the socketpair
	ScoreboardFD = 4 // the scoreboard's memfd
	FirstFreeFD  = 5 // the first descriptor that Start may name
)

// MaxMessage is the size of the largest message in bytes. A packet must fit a socket buffer, whose default is 208 KiB.
const MaxMessage = 128 << 10

// Type names a message.
type Type string

// The messages, in the order of a worker's life.
const (
	TypeHello   Type = "hello"
	TypeStart   Type = "start"
	TypeSecrets Type = "secrets"
	TypeStage   Type = "stage"
	TypeShare   Type = "share"
	TypeReady   Type = "ready"
	TypeFailed  Type = "failed"
	TypeReopen  Type = "reopen"
	TypeAccept  Type = "accept"
	TypeRetire  Type = "retire"
	TypeDrain   Type = "drain"
	TypeClosed  Type = "closed"
)

// Message is one packet. Exactly the member that Type names is set; reopen and closed have none.
type Message struct {
	Type    Type     `json:"type"`
	Hello   *Hello   `json:"hello,omitempty"`
	Start   *Start   `json:"start,omitempty"`
	Secrets *Secrets `json:"secrets,omitempty"`
	Stage   *Stage   `json:"stage,omitempty"`
	Share   *Share   `json:"share,omitempty"`
	Ready   *Ready   `json:"ready,omitempty"`
	Failed  *Failed  `json:"failed,omitempty"`
	Accept  *Accept  `json:"accept,omitempty"`
	Retire  *Retire  `json:"retire,omitempty"`
	Drain   *Drain   `json:"drain,omitempty"`

	// File is the descriptor that goes with share, and with nothing else. Who receives one closes it.
	File *os.File `json:"-"`
}

// Hello is a worker's first message.
type Hello struct {
	Magic   string `json:"magic"`
	Version int    `json:"version"`
}

// Start is everything a worker needs. It never reads a configuration file, so all workers of a generation agree.
type Start struct {
	// Config is the settings, opaque to the arbiter.
	Config json.RawMessage `json:"config"`
	// Generation counts the configurations loaded since the arbiter started, from 1.
	Generation uint64 `json:"generation"`
	// Age counts the workers ever spawned, from 1; it names this one in logs.
	Age uint64 `json:"age"`
	// Slot is the worker's place, from 0; it is taken over by the worker's replacement.
	Slot int `json:"slot"`
	// Listeners are the listening sockets, in the order of the bind setting.
	Listeners []Listener `json:"listeners,omitempty"`
	// Artifact is the descriptor of a sealed memfd with the guest's bytes, or 0 when the worker opens the guest itself.
	Artifact int `json:"artifact,omitempty"`
	// Shared are what earlier workers of the generation have shared.
	Shared []Shared `json:"shared,omitempty"`
	// Stderr is the descriptor of the arbiter's standard error, for logs. The worker's own descriptor 2 is a pipe to the
	// arbiter that carries what the Go runtime prints when the process crashes. 0 means that there is none.
	Stderr int `json:"stderr,omitempty"`
	// Secrets says that a message with secrets follows this one.
	Secrets bool `json:"secrets,omitempty"`
	// Check asks the worker to load the guest, report it with ready, and exit.
	Check bool `json:"check,omitempty"`
}

// Secrets are what a worker must know and logs must not. They take the place of those before.
type Secrets struct {
	// Data is opaque to the arbiter.
	Data json.RawMessage `json:"data"`
}

// Listener is a listening socket handed to a worker.
type Listener struct {
	FD   int    `json:"fd"`
	Name string `json:"name"` // as the arbiter prints it, like "http://127.0.0.1:8000"
}

// Shared is a descriptor handed to a worker that another worker has shared.
type Shared struct {
	FD   int    `json:"fd"`
	Name string `json:"name"` // as in Share
}

// Share hands a sealed memfd (memfd_create(2), all of F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_WRITE and F_SEAL_SEAL) over to
// later workers of the same generation. What is in it is no business of the arbiter, which does not read it.
type Share struct {
	Name string `json:"name"` // 1 to MaxShareName lower-case letters
}

// MaxShareName is the length of the longest name of a Share.
const MaxShareName = 16

// ValidShareName reports whether a Share may have the name.
func ValidShareName(name string) bool {
	for i := range len(name) {
		if name[i] < 'a' || name[i] > 'z' {
			return false
		}
	}
	return len(name) > 0 && len(name) <= MaxShareName
}

// Stage says what a booting worker is busy with, in words for the log: "loading", "compiling", "starting".
type Stage struct {
	Stage string `json:"stage"`
}

// Ready says that the worker serves from now on, or, after a check, that it could.
type Ready struct {
	// Guest describes the guest for status and `appserver check`: ordered "key: value" facts.
	Guest []Fact `json:"guest,omitempty"`
}

// Fact is one line of a description.
type Fact struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// Failed says why the worker will not serve. The worker exits with Code after it.
type Failed struct {
	Stage   string `json:"stage"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
	Code    int    `json:"code"`
}

// Accept says which listeners to take connections from. Until it comes, those are all of them.
type Accept struct {
	// Listeners are indices of Start.Listeners.
	Listeners []int `json:"listeners"`
}

// Retire asks for a replacement. The worker serves on until it is told to drain.
type Retire struct {
	Reason string `json:"reason"`
}

// Drain tells the worker to stop accepting, to finish what it has, and to exit.
type Drain struct {
	// Grace bounds it; what is unfinished then is cut off. 0 means at once.
	Grace time.Duration `json:"grace"`
	// Final says that nobody will accept after this worker: it empties the queues of the listeners it accepts from before
	// it closes them.
	Final bool `json:"final,omitempty"`
}

// ErrMalformed is wrapped by every error of Decode.
var ErrMalformed = errors.New("proto: malformed message")

// Encode returns m as one packet. It refuses what Decode would.
func Encode(m Message) ([]byte, error) {
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("encode message: %w", err)
	}
	b, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode %s message: %w", m.Type, err)
	}
	if len(b) > MaxMessage {
		return nil, fmt.Errorf("%s message is %d bytes, more than %d", m.Type, len(b), MaxMessage)
	}
	return b, nil
}

// Decode reads one packet. It accepts nothing but a well-formed message: a known type with the member of its name. Its
// errors wrap ErrMalformed.
func Decode(packet []byte) (Message, error) {
	var m Message
	if len(packet) > MaxMessage {
		return m, fmt.Errorf("%w: more than %d bytes", ErrMalformed, MaxMessage)
	}
	if err := json.Unmarshal(packet, &m); err != nil {
		return Message{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if err := m.check(); err != nil {
		return Message{}, err
	}
	return m, nil
}

// check reports a message whose members do not fit its type.
func (m *Message) check() error {
	members := map[Type]bool{
		TypeHello: m.Hello != nil, TypeStart: m.Start != nil, TypeSecrets: m.Secrets != nil, TypeStage: m.Stage != nil, TypeShare: m.Share != nil, TypeReady: m.Ready != nil,
		TypeFailed: m.Failed != nil, TypeAccept: m.Accept != nil, TypeRetire: m.Retire != nil, TypeDrain: m.Drain != nil,
	}
	bare := m.Type == TypeReopen || m.Type == TypeClosed
	if _, known := members[m.Type]; !known && !bare {
		return fmt.Errorf("%w: unknown type %.32q", ErrMalformed, m.Type)
	}
	for t, set := range members {
		if set != (t == m.Type) {
			return fmt.Errorf("%w: wrong members for type %s", ErrMalformed, m.Type)
		}
	}
	if m.Share != nil && !ValidShareName(m.Share.Name) {
		return fmt.Errorf("%w: wrong name %.32q to share", ErrMalformed, m.Share.Name)
	}
	return nil
}
