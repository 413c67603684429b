package control

import (
	"context"
	"errors"
	"strings"
	"testing"
)

func TestEventsArriveInOrder(t *testing.T) {
	r := newRig(t)
	var got []string
	errStop := errors.New("enough")
	err := r.client.Events(t.Context(), func() {
		for _, name := range []string{"on_reload", "pre_fork", "on_exit"} {
			r.feed.Publish(Event{Event: name, Worker: &EventWorker{PID: 5}})
		}
	}, func(ev Event) error {
		got = append(got, ev.Event)
		if ev.Event == "on_exit" {
			return errStop
		}
		return nil
	})
	if !errors.Is(err, errStop) || strings.Join(got, " ") != "on_reload pre_fork on_exit" {
		t.Errorf("events %v, error %v", got, err)
	}
}

func TestEventsEndWithTheServer(t *testing.T) {
	r := newRig(t)
	n := 0
	err := r.client.Events(t.Context(), func() {
		r.feed.Publish(Event{Event: "on_exit"})
		go r.server.Close()
	}, func(Event) error { n++; return nil })
	if err != nil || n != 1 {
		t.Errorf("%d events, error %v: want the last event and a good end", n, err)
	}
}

func TestEventsEndWithTheClient(t *testing.T) {
	r := newRig(t)
	ctx, cancel := context.WithCancel(t.Context())
	err := r.client.Events(ctx, cancel, func(Event) error { return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	eventually(t, "the follower is gone", func() bool {
		r.feed.mu.Lock()
		defer r.feed.mu.Unlock()
		return len(r.feed.followers) == 0 && len(r.server.streams) == 0
	})
}

// A reader that takes nothing holds up nobody, is cut off, and notices.
func TestSlowReaderIsCutOff(t *testing.T) {
	r := newRig(t)
	release, cut := make(chan struct{}), make(chan error, 1)
	ready := make(chan struct{})
	go func() {
		cut <- r.client.Events(t.Context(), func() { close(ready) }, func(Event) error { <-release; return nil })
	}()
	<-ready
	// Far more than the socket's buffers hold; each Publish returns at once or this test never ends.
	big := Event{Event: "child_exit", Reason: strings.Repeat("x", 4096)}
	eventually(t, "the slow reader is cut off", func() bool {
		for range 100 {
			r.feed.Publish(big)
		}
		r.feed.mu.Lock()
		defer r.feed.mu.Unlock()
		return len(r.feed.followers) == 0
	})
	close(release)
	if err := <-cut; err == nil || !strings.Contains(err.Error(), "broke off") {
		t.Errorf("the reader was told %v", err)
	}
}

func TestStreamsAreBounded(t *testing.T) {
	r := newRig(t)
	for range maxStreams {
		ready := make(chan struct{})
		go r.client.Events(t.Context(), func() { close(ready) }, func(Event) error { return nil })
		<-ready
	}
	if code, _ := r.do("GET", "/v1/events", ""); code != 503 {
		t.Errorf("status %d for one stream too many", code)
	}
	if code, _ := r.do("GET", "/v1/status", ""); code != 200 {
		t.Errorf("status %d while all streams are taken", code)
	}
}
