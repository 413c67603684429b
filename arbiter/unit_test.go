package arbiter

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/appserver-go/appserver/internal/fault"
	"github.com/appserver-go/appserver/internal/proto"
	"github.com/appserver-go/appserver/scoreboard"
	"github.com/appserver-go/appserver/sockets"
)

func testOptions() Options {
	return Options{Settings: Settings{Workers: 1, Threads: 1, Sockets: &sockets.Set{}}, Log: slog.New(slog.DiscardHandler)}
}

func TestNewRefusesNonsense(t *testing.T) {
	for name, change := range map[string]func(*Options){
		"no workers":        func(o *Options) { o.Workers = 0 },
		"no threads":        func(o *Options) { o.Threads = 0 },
		"too many threads":  func(o *Options) { o.Threads = scoreboard.MaxSlots + 1 },
		"min ready":         func(o *Options) { o.MinReady = 2 },
		"negative timeout":  func(o *Options) { o.BootTimeout = -1 },
		"no sockets":        func(o *Options) { o.Sockets = nil },
		"no log":            func(o *Options) { o.Log = nil },
		"negative minimum":  func(o *Options) { o.MinReady = -1 },
		"negative graceful": func(o *Options) { o.GracefulTimeout = -1 },
		"config is no JSON": func(o *Options) { o.Config = json.RawMessage("{") },
		"config too large":  func(o *Options) { o.Config = json.RawMessage(`"` + strings.Repeat("x", proto.MaxMessage) + `"`) },
	} {
		o := testOptions()
		if _, err := New(o); err != nil {
			t.Fatalf("good options: %v", err)
		}
		change(&o)
		if _, err := New(o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// Time in which the arbiter was stopped itself does not count: the workers may have been stopped too.
func TestWatchForgivesTheArbitersOwnPauses(t *testing.T) {
	start := time.Unix(1000, 0)
	busy := &scoreboard.Snapshot{Beat: 1, Rows: []scoreboard.Entry{{}, {Busy: true, Serial: 3}}}
	var w watch
	w.begin(start)
	w.observe(start, busy)
	now := start.Add(2 * time.Second)
	w.observe(now, busy)
	if row, age := w.oldest(now); row != 1 || age != 2*time.Second {
		t.Errorf("the oldest request is in row %d for %v, want row 1 for 2s", row, age)
	}
	if still := w.still(now); still != 2*time.Second {
		t.Errorf("the beat stood still for %v, want 2s", still)
	}
	w.forgive(time.Second)
	if _, age := w.oldest(now); age != time.Second || w.still(now) != time.Second {
		t.Errorf("after 1s was forgiven: request %v, beat %v", age, w.still(now))
	}
	w.observe(now, &scoreboard.Snapshot{Beat: 2, Rows: []scoreboard.Entry{{}, {Busy: true, Serial: 5}}})
	if _, age := w.oldest(now); age != 0 || w.still(now) != 0 {
		t.Errorf("a new request and a beat: %v and %v, want 0", age, w.still(now))
	}
	w.observe(now, &scoreboard.Snapshot{Beat: 2, Rows: []scoreboard.Entry{{}, {Serial: 6}}})
	if row, _ := w.oldest(now); row != -1 {
		t.Errorf("idle rows have an oldest request: %d", row)
	}
}

func TestPollForgivesAPauseOfTheWholeMachine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim()
		o := testOptions()
		o.WorkerTimeout, o.Timeout = 3*time.Second, 3*time.Second
		if err := o.check(); err != nil {
			t.Fatal(err)
		}
		a := newArbiter(o, s)
		f := &fake{sim: s, born: time.Now(), frozen: time.Now(), rows: []scoreboard.Entry{{Busy: true, Serial: 1}}}
		w := &worker{proc: f, log: o.Log, spec: spec{gen: a.gen}, state: ready, readyAt: time.Now()}
		w.watch.begin(time.Now())
		a.workers, a.polled = []*worker{w}, time.Now()
		a.poll(time.Now())
		time.Sleep(time.Hour) // nobody ran, and nobody has had time to beat since
		a.poll(time.Now())
		if w.state != ready {
			t.Errorf("the worker is %s: it paid for a pause of the machine", w.state)
		}
		for range 16 {
			time.Sleep(pollEvery)
			a.poll(time.Now())
		}
		if w.state != aborted {
			t.Errorf("the worker is %s, want aborted: it stands still while the arbiter runs", w.state)
		}
	})
}

func TestBackoffRemindsOnceAMinute(t *testing.T) {
	s, now, loud := &slot{}, time.Unix(0, 0), 0
	for range 100 {
		if s.failed(now, time.Time{}, healthyAfter) {
			loud++
		}
		if s.backoff > lastBackoff || s.backoff < firstBackoff {
			t.Fatalf("a wait of %v", s.backoff)
		}
		now = s.notBefore
	}
	// 7 growing waits take 11.3 s; 93 of 5 s are 465 s more.
	if loud != 7+7 {
		t.Errorf("%d failures are errors, want 7 steps and 7 reminders", loud)
	}
}

func TestRunAnnouncesTheEndOfItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim()
		o := testOptions()
		o.GracefulTimeout = time.Second
		o.Log = slog.New(noteHandler{sim: s})
		if err := o.check(); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := newArbiter(o, s).Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
		if !strings.Contains(s.transcript(), "Shutting down reason=canceled graceful=true") {
			t.Errorf("no graceful halt:\n%s", s.transcript())
		}
	})
}

// A bug in the loop must not leave workers, sockets or the pidfile behind.
func TestRunCleansUpAfterAPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim()
		o := testOptions()
		path := filepath.Join(t.TempDir(), "pid")
		var err error
		if o.Pidfile, err = LockPidfile(path); err != nil {
			t.Fatal(err)
		}
		o.Ready = func() { panic("a bug") }
		o.Log = slog.New(noteHandler{sim: s})
		if err := o.check(); err != nil {
			t.Fatal(err)
		}
		err = newArbiter(o, s).Run(t.Context())
		if err == nil || !strings.Contains(err.Error(), "a bug") || fault.Code(err) != fault.Failed {
			t.Errorf("Run: %v", err)
		}
		out := s.transcript()
		if !strings.Contains(out, "signal worker 1 SIGKILL") || !strings.Contains(out, "close sockets") || !s.procs[0].closed {
			t.Errorf("something was left behind:\n%s", out)
		}
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the pidfile: %v", err)
		}
		time.Sleep(time.Second) // the fake worker dies in the meantime
	})
}

func TestCrashLogKeepsBothEnds(t *testing.T) {
	var short crashLog
	short.write([]byte("panic: boom\n"))
	if got := short.String(); got != "panic: boom" {
		t.Errorf("kept %q", got)
	}
	for _, size := range []int{crashPart - 1, crashPart, crashPart + 1, 2 * crashPart, 2*crashPart + 1, 10 * crashPart} {
		var c crashLog
		text := strings.Builder{}
		for text.Len() < size {
			fmt.Fprintf(&text, "%d ", text.Len())
		}
		all := text.String()[:size-1] + "$"
		for i := 0; i < size; i += 1000 { // in pieces
			c.write([]byte(all[i:min(i+1000, size)]))
		}
		got := c.String()
		if size <= 2*crashPart {
			if got != all {
				t.Errorf("%d bytes were not kept whole", size)
			}
			continue
		}
		want := all[:crashPart] + fmt.Sprintf("\n[%d bytes left out]\n", size-2*crashPart) + all[size-crashPart:]
		if got != want {
			t.Errorf("%d bytes: kept %d", size, len(got))
		}
	}
	var dirty crashLog
	dirty.write([]byte("a\xffb"))
	if got := dirty.String(); got != "a\uFFFDb" {
		t.Errorf("kept %q", got)
	}
}

func TestParseOOMKills(t *testing.T) {
	for _, c := range []struct {
		text string
		n    int64
		ok   bool
	}{
		{"low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 1\n", 2, true},
		{"oom_kill 0", 0, true},
		{"low 0\noom_group_kill 7\n", 0, false},
		{"oom_kill many\n", 0, false},
		{"", 0, false},
	} {
		if n, ok := parseOOMKills(c.text); n != c.n || ok != c.ok {
			t.Errorf("%q: %d, %v", c.text, n, ok)
		}
	}
}

func TestStatusAndStatesHaveNames(t *testing.T) {
	for want, got := range map[string]string{
		"killed by SIGKILL": status{signal: syscall.SIGKILL}.String(), "exit code 3": status{code: 3}.String(),
		"signal 40": signalName(40), "ttin": shortName(syscall.SIGTTIN), "killed": killed.String(), "spawned": spawned.String(),
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// The wait of a descriptor that was closed must reach the caller, and the numbers must come in order.
func TestHold(t *testing.T) {
	one := func(n uintptr) holder { return number(n) }
	err := hold([]holder{one(7), one(3), one(9)}, nil, func(fds []uintptr) error {
		return fmt.Errorf("got %v", fds)
	})
	if err == nil || err.Error() != "got [7 3 9]" {
		t.Errorf("hold: %v", err)
	}
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	called := false
	err = hold([]holder{one(1), file(f)}, nil, func([]uintptr) error { called = true; return nil })
	if err == nil || called {
		t.Errorf("a closed file: error %v, called %v", err, called)
	}
}

func TestMisuseOfTheProtocolIsAnError(t *testing.T) {
	o := testOptions()
	if err := o.check(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		state state
		m     proto.Message
	}{
		{spawned, proto.Message{Type: proto.TypeReady, Ready: &proto.Ready{}}},
		{spawned, proto.Message{Type: proto.TypeStage, Stage: &proto.Stage{}}},
		{spawned, proto.Message{Type: proto.TypeFailed, Failed: &proto.Failed{}}},
		{booted, proto.Message{Type: proto.TypeHello, Hello: &proto.Hello{}}},
		{booted, proto.Message{Type: proto.TypeRetire, Retire: &proto.Retire{}}},
		{ready, proto.Message{Type: proto.TypeClosed}},
		{ready, proto.Message{Type: proto.TypeReady, Ready: &proto.Ready{}}},
		{ready, proto.Message{Type: proto.TypeDrain, Drain: &proto.Drain{}}},
		{draining, proto.Message{Type: proto.TypeStart, Start: &proto.Start{}}},
	} {
		a := newArbiter(o, nopEnv{})
		w := &worker{state: c.state, log: o.Log, spec: spec{gen: a.gen}}
		if err := a.receive(w, &c.m, time.Now()); err == nil {
			t.Errorf("%s while %s was accepted", c.m.Type, c.state)
		}
	}
}

// nopEnv is an env in which nothing happens.
type nopEnv struct{ env }

func (nopEnv) oomKills() (int64, bool) { return 0, false }
