package workers

import "sync"

// chooser is an Acceptor that can be told which of its listeners to accept from. *sockets.Acceptor is one.
type chooser interface{ Choose(indices []int) }

// listeners keeps what the arbiter says of a worker's listeners until there is an acceptor to tell it. Its methods may be
// called from any goroutine.
type listeners struct {
	mu       sync.Mutex
	acceptor chooser
	chosen   []int // nil before the arbiter has said anything: all of them
}

// set names the acceptor and passes on what the arbiter has said so far.
func (l *listeners) set(a chooser) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acceptor = a
	if l.chosen != nil {
		a.Choose(l.chosen)
	}
}

// choose takes in what the arbiter says.
func (l *listeners) choose(indices []int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.chosen = indices
	if l.acceptor != nil {
		l.acceptor.Choose(indices)
	}
}
