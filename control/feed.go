package control

import (
	"sync"
)

// feedQueue is how many events a reader may be behind before it is dropped.
const feedQueue = 256

// Feed hands events to everybody who follows them. The zero value is ready. Publish never waits: a follower that does
// not keep up is cut off, and can tell by the end of its channel.
type Feed struct {
	mu        sync.Mutex
	followers map[*follower]struct{}
	closed    bool
}

type follower struct {
	events chan Event
	slow   bool // cut off for being slow; set before events is closed
}

// Publish hands ev to all followers.
func (f *Feed) Publish(ev Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for fo := range f.followers {
		select {
		case fo.events <- ev:
		default:
			fo.slow = true
			f.drop(fo)
		}
	}
}

// Close ends all followers after what they have queued. Events published later go nowhere.
func (f *Feed) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	for fo := range f.followers {
		f.drop(fo)
	}
}

// follow begins to collect events; stop must be called when done.
func (f *Feed) follow() (fo *follower, stop func()) {
	fo = &follower{events: make(chan Event, feedQueue)}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		close(fo.events)
		return fo, func() {}
	}
	if f.followers == nil {
		f.followers = map[*follower]struct{}{}
	}
	f.followers[fo] = struct{}{}
	return fo, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if _, ok := f.followers[fo]; ok {
			f.drop(fo)
		}
	}
}

func (f *Feed) drop(fo *follower) {
	delete(f.followers, fo)
	close(fo.events)
}
