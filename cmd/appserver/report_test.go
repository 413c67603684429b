package main

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/appserver-go/appserver/arbiter"
)

// notes is a service manager that writes down what it is told.
type notes struct {
	said     []string
	deaf     bool
	watchdog time.Duration
	pings    []time.Time
}

func (n *notes) note(text string) error {
	if n.deaf {
		return errors.New("no room")
	}
	n.said = append(n.said, text)
	return nil
}

func (n *notes) Ready(s string) error     { return n.note("ready: " + s) }
func (n *notes) Status(s string) error    { return n.note("status: " + s) }
func (n *notes) Stopping(s string) error  { return n.note("stopping: " + s) }
func (n *notes) Reloading(s string) error { return n.note("reloading: " + s) }
func (n *notes) MainPID(pid int) error    { return n.note(fmt.Sprint("main: ", pid)) }
func (n *notes) Watchdog() time.Duration  { return n.watchdog }

func (n *notes) Ping() error {
	if n.deaf {
		return errors.New("no room")
	}
	n.pings = append(n.pings, time.Now())
	return nil
}

func TestReporter(t *testing.T) {
	var log bytes.Buffer
	n := &notes{}
	r := &reporter{to: n, log: slog.New(slog.NewTextHandler(&log, nil))}
	for _, v := range []arbiter.Vitals{
		{Workers: 2},
		{Workers: 2},
		{Ready: 1, Workers: 2},
		{Up: true, Ready: 2, Workers: 2},
		{Up: true, Ready: 2, Workers: 2},
		{Up: true, Ready: 1, Workers: 2},
		{Up: true, Ready: 1, Workers: 2, Halting: true},
		{Up: true, Workers: 2, Halting: true},
	} {
		r.alive(v)
	}
	want := []string{
		"status: Starting: 0 of 2 workers ready", "status: Starting: 1 of 2 workers ready", "ready: 2 of 2 workers ready",
		"status: 1 of 2 workers ready", "stopping: Shutting down",
	}
	if !slices.Equal(n.said, want) {
		t.Errorf("said\n%q, want\n%q", n.said, want)
	}
	if log.Len() > 0 {
		t.Errorf("logged %s", &log)
	}
}

// A reload is told, with READY=1 at its end; while another arbiter is the service, it speaks for it.
func TestReporterReloadsAndUpgrades(t *testing.T) {
	n := &notes{watchdog: time.Nanosecond}
	r := &reporter{to: n, log: slog.New(slog.DiscardHandler)}
	heir := arbiter.Vitals{Up: true, Ready: 1, Workers: 1, Aside: true}
	r.alive(heir)
	if len(n.said)+len(n.pings) > 0 {
		t.Errorf("a new arbiter beside the old one said %q and pinged %d times", n.said, len(n.pings))
	}
	up := arbiter.Vitals{Up: true, Ready: 1, Workers: 1}
	reloading := up
	reloading.Reloading = true
	for _, v := range []arbiter.Vitals{{Workers: 1, Reloading: true}, up, reloading, reloading, up} {
		r.alive(v)
	}
	r.handOver(4711)
	pings := len(n.pings)
	r.alive(heir)
	heir.Halting = true
	r.alive(heir)
	want := []string{
		"status: Starting: 0 of 1 workers ready", "ready: 1 of 1 workers ready", "reloading: Reloading: 1 of 1 workers ready",
		"ready: 1 of 1 workers ready", "main: 4711",
	}
	if !slices.Equal(n.said, want) {
		t.Errorf("said\n%q, want\n%q", n.said, want)
	}
	if len(n.pings) != pings {
		t.Error("pings go on after the service was handed over")
	}
	n.deaf = true
	r.handOver(4712) // which is logged
	(&reporter{}).handOver(1)
}

// What does not arrive is said again, for READY=1 must not be lost; and complained of once.
func TestReporterRepeats(t *testing.T) {
	var log bytes.Buffer
	n := &notes{deaf: true}
	r := &reporter{to: n, log: slog.New(slog.NewTextHandler(&log, nil))}
	up := arbiter.Vitals{Up: true, Ready: 1, Workers: 1}
	for range 3 {
		r.alive(up)
	}
	n.deaf = false
	for range 3 {
		r.alive(up)
	}
	if want := []string{"ready: 1 of 1 workers ready"}; !slices.Equal(n.said, want) {
		t.Errorf("said %q, want %q", n.said, want)
	}
	if lines := strings.Count(log.String(), "\n"); lines != 1 {
		t.Errorf("%d lines of log, want one: %s", lines, &log)
	}
}

// Pings come in half of the watchdog's time, or as often as the arbiter's loop comes round.
func TestReporterPings(t *testing.T) {
	for _, watchdog := range []time.Duration{0, time.Second, 10 * time.Second} {
		t.Run(fmt.Sprint(watchdog), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := &notes{watchdog: watchdog}
				r := &reporter{to: n, log: slog.New(slog.DiscardHandler)}
				for range 4 * 60 {
					r.alive(arbiter.Vitals{Up: true, Workers: 1})
					time.Sleep(250 * time.Millisecond)
				}
				if watchdog == 0 {
					if len(n.pings) > 0 {
						t.Errorf("%d pings without a watchdog", len(n.pings))
					}
					return
				}
				if want := int(time.Minute / (watchdog / 2)); len(n.pings) != want {
					t.Errorf("%d pings in a minute, want %d", len(n.pings), want)
				}
			})
		})
	}
}
