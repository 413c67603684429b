package arbiter

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/appserver-go/appserver/internal/fault"
	"github.com/appserver-go/appserver/scoreboard"
	"github.com/appserver-go/appserver/sockets"
)

// control runs an arbiter with the sim's load in a bubble and lets test give it commands.
func control(t *testing.T, workers int, test func(t *testing.T, s *sim, a *Arbiter)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := newSim()
		o := testOptions()
		o.Workers, o.GracefulTimeout, o.BootTimeout, o.Load = workers, time.Second, 2*time.Second, s.load
		o.Timeout, o.AbortGrace, o.WorkerTimeout = time.Minute, time.Second, time.Minute
		if err := o.check(); err != nil {
			t.Fatal(err)
		}
		s.base, o.Program = o.Settings, &Program{Path: "/bin/appserver"}
		a := newArbiter(o, s)
		done := make(chan error, 1)
		go func() { done <- a.Run(context.Background()) }()
		time.Sleep(100 * time.Millisecond)
		test(t, s, a)
		defer close(s.over)
		if err := a.Stop(t.Context(), false); err != nil && !errors.Is(err, errEnded) {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		if _, err := a.Status(t.Context()); !errors.Is(err, errEnded) {
			t.Errorf("status of an arbiter that has ended: %v", err)
		}
	})
}

func mustStatus(t *testing.T, a *Arbiter) *Status {
	t.Helper()
	st, err := a.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func TestStatus(t *testing.T) {
	control(t, 2, func(t *testing.T, s *sim, a *Arbiter) {
		s.mu.Lock()
		s.resident[102] = 5 << 20
		f := s.procs[1]
		s.mu.Unlock()
		f.mu.Lock()
		f.rows[0] = scoreboard.Entry{Busy: true, Serial: 1, Started: time.Now(), Call: scoreboard.Call{ID: "r1", Method: "GET", Target: "/a"}}
		f.mu.Unlock()
		time.Sleep(time.Second)
		st := mustStatus(t, a)
		if st.Target != 2 || st.Ready != 2 || st.Generation != 1 || !st.Announced || st.Halting || st.LastReload != nil || len(st.Workers) != 2 {
			t.Fatalf("%+v", st)
		}
		w := st.Workers[1]
		if w.PID != 102 || w.Age != 2 || w.Slot != 1 || w.State != "ready" || w.Memory != 5<<20 || w.Threads != 1 || len(w.Guest) != 1 {
			t.Errorf("%+v", w)
		}
		if len(w.Busy) != 1 || w.Busy[0].Path != "/a" || w.Busy[0].ID != "r1" || w.Busy[0].Age != time.Second {
			t.Errorf("%+v", w.Busy)
		}
		if len(st.Workers[0].Busy) != 0 {
			t.Errorf("%+v", st.Workers[0].Busy)
		}
	})
}

func TestReloadCommand(t *testing.T) {
	control(t, 2, func(t *testing.T, s *sim, a *Arbiter) {
		if err := a.Reload(t.Context()); err != nil {
			t.Error(err)
		}
		st := mustStatus(t, a)
		if st.Generation != 2 || st.LastReload == nil || st.LastReload.Error != "" || st.LastReload.Generation != 2 || st.LastReload.Took <= 0 {
			t.Errorf("%+v, %+v", st, st.LastReload)
		}
		s.next = nextLoad{err: fault.New("mend it", "broken")}
		if err := a.Reload(t.Context()); err == nil || err.Error() != "broken" || fault.Hint(err) != "mend it" {
			t.Errorf("a configuration that does not load: %v", err)
		}
		s.next = nextLoad{}
		s.conducts[5] = conduct{boot: "fail", message: "bad guest", hint: "build it", code: fault.LoadFailed, abort: "dies"}
		if err := a.Reload(t.Context()); err == nil || err.Error() != "bad guest" || fault.Code(err) != fault.LoadFailed {
			t.Errorf("a canary that fails: %v", err)
		}
		st = mustStatus(t, a)
		if st.Generation != 2 || st.LastReload.Error != "bad guest" || st.LastReload.Hint != "build it" || st.Reloading != "" {
			t.Errorf("%+v, %+v", st, st.LastReload)
		}
		s.next = nextLoad{takes: time.Second}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if err := a.Reload(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a caller who does not wait: %v", err)
		}
		if st := mustStatus(t, a); st.Reloading != "loading" {
			t.Errorf("%+v", st)
		}
		if err := a.Reload(t.Context()); err != nil { // the second one waits for the first
			t.Error(err)
		}
		if st := mustStatus(t, a); st.LastReload.Generation != 5 {
			t.Errorf("%+v", st.LastReload)
		}
	})
}

// Whoever waits for a reload hears of the end of the server.
func TestReloadCommandAndHalt(t *testing.T) {
	control(t, 1, func(t *testing.T, s *sim, a *Arbiter) {
		s.next = nextLoad{takes: time.Hour}
		outcome := make(chan error, 2)
		for range 2 {
			go func() { outcome <- a.Reload(t.Context()) }()
		}
		time.Sleep(time.Second)
		if err := a.Stop(t.Context(), false); err != nil {
			t.Error(err)
		}
		for range 2 {
			if err := <-outcome; !errors.Is(err, errHalting) {
				t.Errorf("reload: %v", err)
			}
		}
	})
}

func TestReloadNeedsALoader(t *testing.T) {
	control(t, 1, func(t *testing.T, _ *sim, a *Arbiter) {
		load := a.opts.Load
		a.opts.Load = nil
		if err := a.Reload(t.Context()); err == nil || fault.Hint(err) == "" {
			t.Errorf("reload: %v", err)
		}
		a.opts.Load = func(context.Context, *sockets.Set) (*Next, error) { return nil, nil }
		if err := a.Reload(t.Context()); err == nil {
			t.Error("a loader that brings nothing is no error")
		}
		a.opts.Load = func(_ context.Context, current *sockets.Set) (*Next, error) {
			return &Next{Settings: Settings{Sockets: current}}, nil
		}
		if err := a.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "fewer than one worker") {
			t.Errorf("a generation without workers: %v", err)
		}
		a.opts.Load = load
	})
}

func TestScaleDrainKill(t *testing.T) {
	control(t, 2, func(t *testing.T, _ *sim, a *Arbiter) {
		for _, c := range []struct {
			n        int
			absolute bool
			want     int
			fails    bool
		}{
			{2, false, 4, false},
			{-1, false, 3, false},
			{5, true, 5, false},
			{-9, false, 1, false},
			{0, true, 0, true},
			{5000, true, 0, true},
			{2, true, 2, false},
		} {
			n, err := a.Scale(t.Context(), c.n, c.absolute)
			if (err != nil) != c.fails || err == nil && n != c.want {
				t.Errorf("scale %d, absolute %v: %d, %v", c.n, c.absolute, n, err)
			}
			time.Sleep(time.Second)
			if st := mustStatus(t, a); !c.fails && (st.Target != c.want || st.Ready != c.want || len(st.Workers) != c.want) {
				t.Errorf("scale %d: %+v", c.n, st)
			}
		}
		victim := mustStatus(t, a).Workers[0].PID
		if err := a.Kill(t.Context(), victim); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Second)
		st := mustStatus(t, a)
		if st.Ready != 2 || st.Workers[0].PID == victim || st.Workers[1].PID == victim {
			t.Errorf("after the kill: %+v", st)
		}
		if err := a.Kill(t.Context(), 1); err == nil || fault.Hint(err) == "" {
			t.Errorf("kill of no worker: %v", err)
		}
		if err := a.Drain(t.Context()); err != nil {
			t.Error(err)
		}
		time.Sleep(2 * time.Second)
		if st := mustStatus(t, a); st.Target != 0 || len(st.Workers) != 0 {
			t.Errorf("after the drain: %+v", st)
		}
		if n, err := a.Scale(t.Context(), -1, false); n != 0 || err != nil {
			t.Errorf("scale by -1 of a drained server: %d, %v", n, err)
		}
		if err := a.ReopenLogs(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestSubscriptionNeverBlocks(t *testing.T) {
	control(t, 2, func(t *testing.T, _ *sim, a *Arbiter) {
		slow, gone := a.Subscribe(1), a.Subscribe(10)
		gone.Close()
		gone.Close()
		if _, open := <-gone.C(); open {
			t.Error("a closed subscription has events")
		}
		if _, err := a.Scale(t.Context(), 4, true); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		e := <-slow.C()
		if e.Name != NworkersChanged || e.Workers != 4 || e.OldWorkers != 2 || e.Time.IsZero() {
			t.Errorf("%+v", e)
		}
		if slow.Dropped() != 4 { // two pre_fork, two post_worker_init
			t.Errorf("%d events were dropped", slow.Dropped())
		}
		all := a.Subscribe(1000)
		if err := a.Stop(t.Context(), true); err != nil {
			t.Error(err)
		}
		var last Event
		for e := range all.C() {
			last = e
		}
		if last.Name != OnExit {
			t.Errorf("the last event is %s", last.Name)
		}
		if _, open := <-a.Subscribe(1).C(); open {
			t.Error("an arbiter that has ended has events")
		}
	})
}

func TestParseResident(t *testing.T) {
	if n, ok := parseResident("5000 321 100 1 0 40 0\n"); !ok || n != 321*4096 {
		t.Errorf("%d, %v", n, ok)
	}
	for _, bad := range []string{"", "1", "1 x"} {
		if _, ok := parseResident(bad); ok {
			t.Errorf("%q is taken", bad)
		}
	}
	if n, ok := (&system{}).memory(1 << 30); ok {
		t.Errorf("a process that is not there has %d bytes", n)
	}
}

// An upgrade that is asked for ends when the new arbiter is ready, or with its reason.
func TestUpgradeCommand(t *testing.T) {
	for name, test := range map[string]struct {
		heir  heirConduct
		auto  bool
		want  string
		stage string // of the new arbiter afterwards
	}{
		"manual": {heir: newHeirConduct(), stage: "ready"},
		"auto":   {heir: newHeirConduct(), auto: true, stage: "retiring"},
		"fails":  {heir: heirConduct{opened: time.Millisecond, ready: time.Second, fail: "no guest", code: 4}, want: "no guest"},
		"none":   {heir: heirConduct{refuse: "no such file"}, want: "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			control(t, 1, func(t *testing.T, s *sim, a *Arbiter) {
				s.mu.Lock()
				s.heirs = test.heir
				s.mu.Unlock()
				err := a.Upgrade(t.Context(), test.auto)
				if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
					t.Errorf("%v, want %q", err, test.want)
				}
				st := mustStatus(t, a)
				if got := st.Upgrade; (got == nil) != (test.stage == "") || got != nil && (got.Stage != test.stage || got.PID != 900) {
					t.Errorf("status: %+v, want %q", got, test.stage)
				}
				if last := st.LastUpgrade; last == nil || !strings.Contains(last.Error, test.want) {
					t.Errorf("last upgrade: %+v", last)
				}
				if !test.auto {
					return
				}
				if _, err := a.Scale(t.Context(), 3, true); !errors.Is(err, errRetiring) {
					t.Errorf("scale: %v", err)
				}
				if err := errors.Join(a.Reload(t.Context()), a.Drain(t.Context())); !errors.Is(err, errRetiring) {
					t.Errorf("reload and drain: %v", err)
				}
			})
		})
	}
}

// An arbiter that does not know its program, or goes down, does not upgrade; one that goes down tells who waits.
func TestUpgradeRefused(t *testing.T) {
	control(t, 1, func(t *testing.T, s *sim, a *Arbiter) {
		program := a.opts.Program
		set := func(p *Program) {
			if err := a.do(t.Context(), func() { a.opts.Program = p }); err != nil {
				t.Fatal(err)
			}
		}
		set(nil)
		if err := a.Upgrade(t.Context(), false); err == nil || !strings.Contains(err.Error(), "cannot be upgraded") {
			t.Errorf("%v", err)
		}
		set(program)
		waited := make(chan error, 1)
		go func() { waited <- a.Upgrade(t.Context(), false) }()
		time.Sleep(20 * time.Millisecond)
		if err := a.Stop(t.Context(), false); err != nil {
			t.Error(err)
		}
		if err := <-waited; !errors.Is(err, errHalting) {
			t.Errorf("who waits is told %v", err)
		}
		if err := a.Upgrade(t.Context(), false); !errors.Is(err, errHalting) {
			t.Errorf("%v", err)
		}
	})
}

// Workers get the secrets after their settings, and new ones as soon as there are some, unless a reload was faster.
func TestSecretsReachWorkers(t *testing.T) {
	one, two, three := json.RawMessage(`"one"`), json.RawMessage(`"two"`), json.RawMessage(`"three"`)
	control(t, 2, func(t *testing.T, s *sim, a *Arbiter) {
		if err := a.Renew(t.Context(), nil, one); err != nil {
			t.Fatal(err)
		}
		if n := s.sent("secrets"); n != 0 {
			t.Errorf("a generation without secrets has sent %d", n)
		}
		s.mu.Lock()
		s.base.Secrets = one
		s.mu.Unlock()
		if err := a.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := s.sent("secrets"); n != 2 {
			t.Errorf("two workers were sent %d secrets", n)
		}
		if err := a.Renew(t.Context(), two, three); err != nil || s.sent("secrets") != 2 {
			t.Errorf("secrets that are not the present ones were replaced: %v", err)
		}
		if err := a.Renew(t.Context(), one, two); err != nil || s.sent("secrets") != 4 {
			t.Errorf("new secrets reached %d workers, %v", s.sent("secrets")-2, err)
		}
		if _, err := a.Scale(t.Context(), 1, false); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if n := s.sent("secrets"); n != 5 {
			t.Errorf("a new worker was sent %d secrets", n-4)
		}
		if err := a.Renew(t.Context(), two, json.RawMessage(`"`+strings.Repeat("x", 200_000)+`"`)); err == nil {
			t.Error("secrets that fit no message are taken")
		}
	})
}

// sent returns how many messages of a type workers were sent.
func (s *sim) sent(what string) int {
	n := 0
	for line := range strings.Lines(s.transcript()) {
		if strings.Contains(line, "send worker") && strings.HasSuffix(line, " "+what+"\n") {
			n++
		}
	}
	return n
}
