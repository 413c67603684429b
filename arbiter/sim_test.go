package arbiter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/appserver-go/appserver/internal/proto"
	"github.com/appserver-go/appserver/scoreboard"
	"github.com/appserver-go/appserver/sockets"
)

// sim is an env without processes: its workers are goroutines that do what their conduct says, on the clock of a
// synctest bubble. It writes down what happens. Nothing in it happens at the same instant as anything else, so that
// a transcript is always the same.
type sim struct {
	mu       sync.Mutex
	began    time.Time
	out      strings.Builder
	muted    bool // after the script's end
	sigs     chan os.Signal
	dead     []death
	procs    []*fake // by age - 1
	conduct  conduct // of workers spawned from now on
	conducts map[int]conduct
	tty      bool
	dir      string // of unix sockets
	oom      int64
	startErr error
	resident map[int]int64
	base     Settings // of the first generation
	next     nextLoad
	sub      *Subscription
	heirs    heirConduct   // of new arbiters executed from now on
	heir     *fakeHeir     // the last one
	over     chan struct{} // closed after the script's end
	elder    *elder        // who has executed this arbiter, or nil
}

// nextLoad is what the next call of load finds.
type nextLoad struct {
	err   error
	takes time.Duration
	set   func(*Settings, *sockets.Set) error // changes the settings of the present generation
}

type death struct {
	pid int
	st  status
}

// conduct says how a fake worker behaves.
type conduct struct {
	boot          string // ready, fail, die, hang, mute (no hello), liar (wrong hello)
	stage         string
	message, hint string
	code          int
	signal        syscall.Signal
	stderr        string
	after         time.Duration // from the start message to what boot says
	drain         time.Duration // from the order to drain to the exit; negative never exits
	abort         string        // dies, survives
	examine       string        // what looking at it finds; "-" is never an answer, "" that nobody can
}

func newSim() *sim {
	return &sim{
		began: time.Now(), sigs: make(chan os.Signal, signalQueue), conducts: map[int]conduct{}, resident: map[int]int64{},
		heirs: newHeirConduct(), over: make(chan struct{}), conduct: conduct{boot: "ready", stage: "loading", after: 40 * time.Millisecond, drain: 20 * time.Millisecond, abort: "dies"},
	}
}

func (s *sim) note(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.muted {
		fmt.Fprintf(&s.out, "%8.3f  %s\n", time.Since(s.began).Seconds(), fmt.Sprintf(format, args...))
	}
}

func (s *sim) transcript() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.String()
}

func (s *sim) signals() (<-chan os.Signal, func()) { return s.sigs, func() {} }

func (s *sim) reap() (int, status, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.dead) == 0 {
		return 0, status{}, false
	}
	d := s.dead[0]
	s.dead = s.dead[1:]
	return d.pid, d.st, true
}

func (s *sim) terminal() bool { return s.tty }

func (s *sim) oomKills() (int64, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.oom, true
}

func (s *sim) memory(pid int) (int64, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, ok := s.resident[pid]
	return n, ok
}

func (s *sim) jitter() float64 { return 0.5 }

func (s *sim) refuse(set *sockets.Set) (bool, error) {
	s.note("refuse connections%s", names(set))
	return set.Refuse()
}

func (s *sim) closeSockets(set *sockets.Set) error {
	s.note("close sockets%s", names(set))
	return set.Close(true)
}

// names lists the sockets of a set without their directory. A star is for those that somebody else goes on with.
func names(set *sockets.Set) string {
	var b strings.Builder
	for _, sock := range set.Sockets() {
		b.WriteString(" " + filepath.Base(sock.Name()))
		if !slices.Contains(set.Owned().Sockets(), sock) {
			b.WriteString("*")
		}
	}
	return b.String()
}

// load is Options.Load: it takes as long as the script says and brings what the script says.
func (s *sim) load(ctx context.Context, current *sockets.Set) (*Next, error) {
	s.mu.Lock()
	n := s.next
	settings := s.base
	s.mu.Unlock()
	s.note("load")
	select {
	case <-time.After(n.takes + time.Microsecond):
	case <-ctx.Done():
		time.Sleep(time.Microsecond) // after what else happens at that moment
		s.note("load is canceled")
		return nil, ctx.Err()
	}
	if n.err != nil {
		return nil, n.err
	}
	settings.Sockets = current
	if n.set != nil {
		if err := n.set(&settings, current); err != nil {
			return nil, err
		}
	}
	return &Next{
		Settings: settings,
		Adopt: func() {
			s.note("adopt")
			s.mu.Lock()
			s.base = settings
			s.mu.Unlock()
		},
		Discard: func() { s.note("discard") },
	}, nil
}

// listen opens unix sockets by their names, or keeps those that current has.
func (s *sim) listen(t *testing.T, current *sockets.Set, names []string) *sockets.Set {
	t.Helper()
	var addrs []sockets.Addr
	for _, name := range names {
		addrs = append(addrs, sockets.Addr{Network: sockets.Unix, Path: filepath.Join(s.dir, name)})
	}
	set, err := current.Relisten(context.Background(), addrs, sockets.Options{Mode: 0o600, UID: -1, GID: -1})
	if err != nil {
		t.Error(err)
		return current
	}
	return set
}

// noteEvents writes down the events since the last time.
func (s *sim) noteEvents() {
	for {
		select {
		case e, ok := <-s.sub.C():
			if !ok {
				return
			}
			s.note("event %s: worker %d (pid %d) in slot %d, generation %d, workers %d to %d, reason %q",
				e.Name, e.Age, e.PID, e.Slot, e.Generation, e.OldWorkers, e.Workers, e.Reason)
		default:
			return
		}
	}
}

func (s *sim) start(sp spec, post func(event) bool) (process, error) {
	s.mu.Lock()
	err := s.startErr
	c, ok := s.conducts[int(sp.age)]
	if !ok {
		c = s.conduct
	}
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	f := &fake{sim: s, post: post, conduct: c, age: int(sp.age), born: time.Now(), rows: make([]scoreboard.Entry, sp.gen.threads)}
	s.mu.Lock()
	s.procs = append(s.procs, make([]*fake, f.age-len(s.procs))...)
	s.procs[f.age-1] = f
	s.mu.Unlock()
	s.note("start worker %d in slot %d", f.age, sp.slot)
	switch c.boot {
	case "mute":
	case "liar":
		f.later(5*time.Millisecond, func() { f.say(proto.Message{Type: proto.TypeHello, Hello: &proto.Hello{Magic: "other", Version: 9}}) })
	default:
		f.later(5*time.Millisecond, func() {
			f.say(proto.Message{Type: proto.TypeHello, Hello: &proto.Hello{Magic: proto.Magic, Version: proto.Version}})
		})
	}
	return f, nil
}

// fake is a worker process of a sim.
type fake struct {
	sim     *sim
	post    func(event) bool
	conduct conduct
	age     int
	born    time.Time

	mu      sync.Mutex
	gone    bool
	closed  bool
	stopped bool // by SIGSTOP: nothing but SIGKILL reaches it
	frozen  time.Time
	rows    []scoreboard.Entry
	totals  scoreboard.Totals
}

// later does something a while from now if the process still lives. The microseconds keep workers from acting at
// the same instant as each other or as the arbiter's timers.
func (f *fake) later(d time.Duration, do func()) {
	go func() {
		time.Sleep(d + time.Duration(f.age)*17*time.Microsecond + 3*time.Microsecond)
		f.mu.Lock()
		dead := f.gone || f.stopped
		f.mu.Unlock()
		if !dead {
			do()
		}
	}()
}

func (f *fake) say(m proto.Message) {
	f.sim.note("worker %d: %s", f.age, m.Type)
	f.post(event{proc: f, kind: message, msg: m})
}

func (f *fake) die(st status) {
	f.mu.Lock()
	already := f.gone
	f.gone = true
	f.mu.Unlock()
	if already {
		return
	}
	f.sim.note("worker %d: %s", f.age, st)
	f.post(event{proc: f, kind: eof})
	f.sim.mu.Lock()
	f.sim.dead = append(f.sim.dead, death{f.pid(), st})
	f.sim.mu.Unlock()
	f.sim.sigs <- syscall.SIGCHLD
}

func (f *fake) pid() int { return 100 + f.age }

func (f *fake) signal(sig syscall.Signal) error {
	f.sim.note("signal worker %d %s", f.age, signalName(sig))
	switch {
	case sig == syscall.SIGKILL:
		f.mu.Lock()
		f.stopped = false
		f.mu.Unlock()
		f.later(2*time.Millisecond, func() { f.die(status{signal: sig}) })
	case sig == syscall.SIGABRT && f.conduct.abort == "dies":
		f.later(30*time.Millisecond, func() { f.die(status{code: 2}) })
	}
	return nil
}

func (f *fake) examine(within time.Duration) bool {
	if f.conduct.examine == "" {
		return false
	}
	f.sim.note("examine worker %d within %v", f.age, within)
	if f.conduct.examine != "-" {
		go func() {
			time.Sleep(50 * time.Millisecond)
			f.post(event{proc: f, kind: examined, text: f.conduct.examine})
		}()
	}
	return true
}

func (f *fake) send(m proto.Message) error {
	f.mu.Lock()
	gone, deaf := f.gone, !f.frozen.IsZero()
	f.mu.Unlock()
	if gone {
		return errors.New("broken pipe")
	}
	if deaf {
		f.sim.note("send worker %d %s, which does not read", f.age, m.Type)
		return nil
	}
	switch m.Type {
	case proto.TypeStart:
		f.sim.note("send worker %d start: generation %d, check %v", f.age, m.Start.Generation, m.Start.Check)
		f.boot(m.Start.Check)
	case proto.TypeDrain:
		f.sim.note("send worker %d drain: grace %v, final %v", f.age, m.Drain.Grace, m.Drain.Final)
		f.later(5*time.Millisecond, func() { f.say(proto.Message{Type: proto.TypeClosed}) })
		if f.conduct.drain >= 0 {
			f.later(f.conduct.drain, func() { f.die(status{}) })
		}
	case proto.TypeAccept:
		f.sim.note("send worker %d accept: %v", f.age, m.Accept.Listeners)
	default:
		f.sim.note("send worker %d %s", f.age, m.Type)
	}
	return nil
}

// boot does what the conduct says after the start message.
func (f *fake) boot(check bool) {
	c := f.conduct
	if c.stage != "" {
		f.later(time.Millisecond, func() {
			f.say(proto.Message{Type: proto.TypeStage, Stage: &proto.Stage{Stage: c.stage}})
		})
	}
	f.later(c.after, func() {
		switch c.boot {
		case "ready":
			f.say(proto.Message{Type: proto.TypeReady, Ready: &proto.Ready{Guest: []proto.Fact{{Key: "protocol", Value: "fake"}}}})
			if check {
				f.later(time.Millisecond, func() { f.die(status{}) })
			}
		case "fail":
			f.say(proto.Message{Type: proto.TypeFailed, Failed: &proto.Failed{
				Stage: c.stage, Message: c.message, Hint: c.hint, Code: c.code,
			}})
			f.later(time.Millisecond, func() { f.die(status{code: c.code}) })
		case "die":
			f.die(status{code: c.code, signal: c.signal})
		}
	})
}

func (f *fake) board() scoreboard.Snapshot {
	f.mu.Lock()
	defer f.mu.Unlock()
	at := time.Now()
	if !f.frozen.IsZero() {
		at = f.frozen
	}
	return scoreboard.Snapshot{Totals: f.totals, Beat: uint64(at.Sub(f.born)/(100*time.Millisecond)) + 1, Rows: append([]scoreboard.Entry(nil), f.rows...)}
}

func (f *fake) finish() {
	go f.post(event{proc: f, kind: ended, text: f.conduct.stderr})
}

func (f *fake) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
}

// noteHandler is a slog.Handler that writes records into the transcript.
type noteHandler struct {
	sim   *sim
	attrs []slog.Attr
}

func (h noteHandler) Enabled(context.Context, slog.Level) bool { return true }

func (h noteHandler) WithGroup(string) slog.Handler { return h }

func (h noteHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return noteHandler{h.sim, append(h.attrs[:len(h.attrs):len(h.attrs)], attrs...)}
}

func (h noteHandler) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	add := func(a slog.Attr) bool {
		switch text := a.Value.String(); {
		case a.Key == "pid" && len(h.attrs) > 0: // the worker's number is enough
		case strings.ContainsAny(text, " \n") || text == "":
			fmt.Fprintf(&b, " %s=%q", a.Key, text)
		default:
			fmt.Fprintf(&b, " %s=%s", a.Key, text)
		}
		return true
	}
	for _, a := range h.attrs {
		add(a)
	}
	r.Attrs(add)
	h.sim.note("log %s: %s%s", strings.ToLower(r.Level.String()), r.Message, strings.ReplaceAll(b.String(), h.sim.dir+"/", ""))
	return nil
}
