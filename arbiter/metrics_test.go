package arbiter

import (
	"maps"
	"syscall"
	"testing"
	"time"

	"github.com/appserver-go/appserver/internal/proto"
	"github.com/appserver-go/appserver/scoreboard"
)

// work has a fake worker answer requests, hold some connections open and be busy with one request more.
func (s *sim) work(age int, requests, connections int64, busy bool) {
	s.mu.Lock()
	f := s.procs[age-1]
	s.mu.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.totals.Counters[scoreboard.Successes] += requests
	f.totals.Counters[scoreboard.Requests] += requests
	f.totals.Duration.Buckets[3] += requests
	f.totals.Duration.Sum += time.Duration(requests) * time.Millisecond
	f.totals.Counters[scoreboard.Connections] = connections
	f.rows[0] = scoreboard.Entry{Busy: busy, Serial: uint64(requests), Started: time.Now(), Call: scoreboard.Call{ID: "r"}}
}

func mustMetrics(t *testing.T, a *Arbiter) *Metrics {
	t.Helper()
	m, err := a.Metrics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// A worker is killed from outside, recycled, replaced by a reload, scaled away, and stuck: nothing that was counted gets
// lost, no counter ever goes down, and what the dead had open is not counted on.
func TestMetricsOutliveWorkers(t *testing.T) {
	control(t, 2, func(t *testing.T, s *sim, a *Arbiter) {
		var last *Metrics
		requests := int64(0)
		check := func(when string, connections int64) {
			t.Helper()
			m := mustMetrics(t, a)
			if got := m.Totals.Counters[scoreboard.Requests]; got != requests || m.Totals.Duration.Count() != requests {
				t.Errorf("%s: %d requests and %d durations, want %d", when, got, m.Totals.Duration.Count(), requests)
			}
			if got := m.Totals.Counters[scoreboard.Connections]; got != connections {
				t.Errorf("%s: %d open connections, want %d", when, got, connections)
			}
			if last != nil {
				for e, n := range last.Exits {
					if m.Exits[e] < n {
						t.Errorf("%s: exits by %s went from %d to %d", when, e, n, m.Exits[e])
					}
				}
				if m.Spawned < last.Spawned || m.Reloads < last.Reloads {
					t.Errorf("%s: counters went down: %+v after %+v", when, m, last)
				}
			}
			last = m
		}
		work := func(age int, n, connections int64, busy bool) { s.work(age, n, connections, busy); requests += n }

		work(1, 10, 3, false)
		work(2, 5, 4, true)
		check("at first", 7)
		s.mu.Lock()
		f := s.procs[1]
		s.mu.Unlock()
		f.die(status{signal: syscall.SIGKILL})
		time.Sleep(time.Second)
		check("after a kill", 3)
		work(3, 2, 1, false)
		s.mu.Lock()
		f = s.procs[0]
		s.mu.Unlock()
		f.say(proto.Message{Type: proto.TypeRetire, Retire: &proto.Retire{Reason: "max_requests"}})
		time.Sleep(time.Second)
		check("after recycling", 1)
		if err := a.Reload(t.Context()); err != nil {
			t.Error(err)
		}
		time.Sleep(2 * time.Second)
		check("after a reload", 0)
		work(5, 7, 0, false)
		if _, err := a.Scale(t.Context(), 1, true); err != nil {
			t.Error(err)
		}
		time.Sleep(2 * time.Second)
		check("after scaling", 0)
		m := mustMetrics(t, a)
		want := map[Ending]int64{EndedKilled: 1, EndedMaxRequests: 1, EndedReload: 2, EndedScale: 1}
		if !maps.Equal(m.Exits, want) || m.Spawned != 6 || m.Reloads != 1 || m.FailedReloads != 0 {
			t.Errorf("exits %v, want %v; %d started, %d reloads, %d failed", m.Exits, want, m.Spawned, m.Reloads, m.FailedReloads)
		}
		if want := map[Ending]int64{EndedKilled: 1}; !maps.Equal(m.Lost, want) {
			t.Errorf("lost %v, want %v", m.Lost, want)
		}
	})
}

// Each way to end that the arbiter itself decides has its own reason.
func TestEndings(t *testing.T) {
	control(t, 1, func(t *testing.T, s *sim, a *Arbiter) {
		steps := []struct {
			end  func(f *fake)
			want Ending
		}{
			{func(f *fake) { f.die(status{code: 2}) }, EndedCrash},
			{func(f *fake) {
				s.mu.Lock()
				s.oom++
				s.mu.Unlock()
				f.die(status{signal: syscall.SIGKILL})
			}, EndedMemory},
			{func(f *fake) { f.say(proto.Message{Type: proto.TypeHello, Hello: &proto.Hello{}}) }, EndedProtocol},
			{func(f *fake) {
				f.mu.Lock()
				f.frozen = time.Now()
				f.mu.Unlock()
			}, EndedFrozen},
			{func(f *fake) {
				if err := a.Kill(t.Context(), f.pid()); err != nil {
					t.Error(err)
				}
			}, EndedKilled},
			{func(f *fake) { s.work(f.age, 0, 0, true) }, EndedTimeout},
		}
		for i, step := range steps {
			s.mu.Lock()
			f := s.procs[len(s.procs)-1]
			s.mu.Unlock()
			step.end(f)
			time.Sleep(2 * time.Minute)
			m := mustMetrics(t, a)
			if m.Exits[step.want] != 1 || m.Spawned != int64(i+2) {
				t.Errorf("step %d: exits %v with %d started, want one by %s", i, m.Exits, m.Spawned, step.want)
			}
		}
	})
}
