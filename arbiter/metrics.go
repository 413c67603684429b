package arbiter

import (
	"context"
	"maps"

	"github.com/appserver-go/appserver/scoreboard"
)

// Metrics are the figures of an arbiter and its workers at a moment. It is a copy: nothing in it changes afterwards.
//
// What is counted only grows while the arbiter lives, whatever becomes of workers and generations: the counters of a
// worker that is gone are kept.
type Metrics struct {
	// Status is the state of everything.
	Status *Status
	// Totals are those of all workers there ever were; their gauges, of those that live.
	Totals scoreboard.Totals
	// Spawned counts worker processes, Exits those that have ended, by the reason.
	Spawned int64
	Exits   map[Ending]int64
	// Lost counts requests that died with their workers, by the reason of these. They are not in Totals.
	Lost map[Ending]int64
	// Reloads counts reloads that replaced the generation, FailedReloads those that did not.
	Reloads, FailedReloads int64
	// Queues are those of the listening sockets that have one that can be seen.
	Queues []Queue
}

// Queue is the kernel's queue of connections to an address that nobody has accepted yet.
type Queue struct {
	Address        string
	Waiting, Limit int
}

// Metrics returns the figures. Like the other commands it may be called from any goroutine.
func (a *Arbiter) Metrics(ctx context.Context) (*Metrics, error) {
	var m *Metrics
	err := a.do(ctx, func() { m = a.metrics() })
	return m, err
}

func (a *Arbiter) metrics() *Metrics {
	t := &a.tally
	m := &Metrics{
		Status: a.status(), Totals: t.buried, Spawned: t.spawned, Exits: maps.Clone(t.exits), Lost: maps.Clone(t.lost),
		Reloads: t.reloads, FailedReloads: t.failures, Queues: a.queues(),
	}
	for _, w := range a.workers {
		snap := w.proc.board()
		m.Totals.Merge(&snap.Totals)
	}
	return m
}

// queues adds up those of the sockets of each address.
func (a *Arbiter) queues() []Queue {
	var queues []Queue
	if a.portsGone {
		return nil
	}
	names := a.gen.sockets.SocketNames()
	for i, sock := range a.gen.sockets.Sockets() {
		waiting, limit, err := sock.Queue()
		if err != nil {
			continue // a unix socket
		}
		if n := len(queues); n == 0 || queues[n-1].Address != names[i] {
			queues = append(queues, Queue{Address: names[i]})
		}
		q := &queues[len(queues)-1]
		q.Waiting += waiting
		q.Limit += limit
	}
	return queues
}
