package arbiter

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/appserver-go/appserver/internal/handover"
	"github.com/appserver-go/appserver/sockets"
)

// heirConduct says how a new arbiter behaves.
type heirConduct struct {
	opened, ready time.Duration // after its start; negative never
	drops         []int         // the sockets it does not go on with
	fail, hint    string        // said instead of ready
	code          int
	refuse        string // why it cannot be executed
}

// fakeHeir is a new arbiter of a sim. Its process id is 900.
type fakeHeir struct {
	sim     *sim
	conduct heirConduct
	hear    func(handover.Message, error) bool

	mu   sync.Mutex
	gone bool
}

func (s *sim) execute(p *Program, will handover.Will, set *sockets.Set, hear func(handover.Message, error) bool) (successor, error) {
	s.mu.Lock()
	c := s.heirs
	s.mu.Unlock()
	if c.refuse != "" {
		return nil, errors.New(c.refuse)
	}
	h := &fakeHeir{sim: s, conduct: c, hear: hear}
	s.mu.Lock()
	s.heir = h
	s.mu.Unlock()
	s.note("execute %s: %d of %d workers, sockets%s", p.Path, will.Workers, will.Configured, names(set))
	h.later(c.opened, func() {
		kept := []int{}
		for i := range set.Sockets() {
			if !strings.Contains(fmt.Sprint(c.drops), fmt.Sprint(i)) {
				kept = append(kept, i)
			}
		}
		h.say(handover.Message{Type: handover.TypeOpened, Opened: &handover.Opened{Kept: kept}})
	})
	h.later(c.ready, func() {
		if c.fail == "" {
			h.say(handover.Message{Type: handover.TypeReady})
			return
		}
		h.say(handover.Message{Type: handover.TypeFailed, Failed: &handover.Failed{Message: c.fail, Hint: c.hint, Code: c.code}})
		h.die(status{code: c.code})
	})
	return h, nil
}

func (h *fakeHeir) later(d time.Duration, do func()) {
	if d < 0 {
		return
	}
	go func() {
		select {
		case <-time.After(d + 7*time.Microsecond):
		case <-h.sim.over:
			return
		}
		h.mu.Lock()
		dead := h.gone
		h.mu.Unlock()
		if !dead {
			do()
		}
	}()
}

func (h *fakeHeir) say(m handover.Message) {
	h.sim.note("new arbiter: %s", m.Type)
	h.hear(m, nil)
}

func (h *fakeHeir) die(st status) {
	h.mu.Lock()
	already := h.gone
	h.gone = true
	h.mu.Unlock()
	if already {
		return
	}
	h.sim.note("new arbiter: %s", st)
	h.sim.mu.Lock()
	h.sim.dead = append(h.sim.dead, death{h.pid(), st})
	h.sim.mu.Unlock()
	h.sim.sigs <- syscall.SIGCHLD
}

func (h *fakeHeir) pid() int { return 900 }

func (h *fakeHeir) signal(sig syscall.Signal) error {
	h.sim.note("signal new arbiter %s", signalName(sig))
	if sig == killSignal {
		h.later(2*time.Millisecond, func() { h.die(status{signal: sig}) })
	}
	return nil
}

func (h *fakeHeir) send(m handover.Message) error {
	h.sim.note("tell new arbiter %s", m.Type)
	return nil
}

func (h *fakeHeir) finish() { go h.hear(handover.Message{}, errors.New("gone")) }

func (h *fakeHeir) close() { h.sim.note("let go of the new arbiter") }

// command does what a line of a script says about the new arbiter.
func (h *fakeHeir) command(t *testing.T, words []string) {
	t.Helper()
	switch words[0] {
	case "exit":
		h.die(status{code: number32(t, words[1])})
	case "kill":
		h.die(status{signal: syscall.SIGKILL})
	case "say":
		h.say(handover.Message{Type: handover.Type(words[1])})
	default:
		t.Fatalf("unknown command %q of a new arbiter", words[0])
	}
}

// parseHeir says how the next new arbiter behaves.
func parseHeir(t *testing.T, s *sim, words []string) {
	t.Helper()
	c := newHeirConduct()
	for _, w := range words {
		key, value, _ := strings.Cut(w, "=")
		switch key {
		case "opened":
			c.opened = duration(t, value)
		case "ready":
			c.ready = duration(t, value)
		case "drops":
			for n := range strings.SplitSeq(value, ",") {
				c.drops = append(c.drops, number32(t, n))
			}
		case "fail":
			c.fail = value
		case "hint":
			c.hint = value
		case "code":
			c.code = number32(t, value)
		case "refuse":
			c.refuse = value
		default:
			t.Fatalf("unknown conduct %q of a new arbiter", w)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heirs = c
}

func newHeirConduct() heirConduct {
	return heirConduct{opened: 10 * time.Millisecond, ready: 60 * time.Millisecond}
}

// elder is the predecessor of a sim's arbiter. Its process id is 800.
type elder struct {
	sim  *sim
	said chan handover.Message // closed when it is gone
	once sync.Once
}

func (e *elder) Say(m handover.Message) error {
	e.sim.note("tell old arbiter %s", m.Type)
	return nil
}

func (e *elder) Hear() (handover.Message, error) {
	m, ok := <-e.said
	if !ok {
		return m, errors.New("gone")
	}
	return m, nil
}

func (e *elder) Close() error { e.end(); return nil }

func (e *elder) end() { e.once.Do(func() { close(e.said) }) }

// parseElder gives the arbiter a predecessor, which has bequeathed what the options say.
func parseElder(t *testing.T, o *Options, s *sim, words []string) {
	t.Helper()
	s.elder = &elder{sim: s, said: make(chan handover.Message)}
	o.Predecessor, o.Will.PID = s.elder, 800
	o.Sockets.Lend()
	for _, w := range words {
		key, value, _ := strings.Cut(w, "=")
		switch key {
		case "workers":
			o.Will.Workers = number32(t, value)
		case "configured":
			o.Will.Configured = number32(t, value)
		default:
			t.Fatalf("unknown bequest %q", w)
		}
	}
}

// signalNum reads TERM for SIGTERM.
func signalNum(name string) syscall.Signal { return unix.SignalNum("SIG" + name) }
