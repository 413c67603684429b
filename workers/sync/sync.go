// Package syncworker is the class "sync": one request at a time in each worker process, gunicorn's default. It is the
// class for guests that want a process, and the processor under it, to themselves; for more requests at once there are
// more workers. cmd/appserver registers it.
//
// Every response closes its connection, as in gunicorn: a connection kept alive would tie its client to this worker
// while another is free. A worker accepts only while it is idle, so the kernel's queue is the queue of all workers
// together, and requests wait there for whoever is free first. Unlike gunicorn's, a client that is slow to send its
// head or a small body (64 KiB of known length), or to read a small answer, does not occupy the worker. One that sends or reads
// more than that does, for as long as timeout allows.
package syncworker

import "github.com/appserver-go/appserver/workers"

// New is the class's Factory.
//
// The queue takes every connection that the worker may have: clients that were slow to send their requests may
// finish while another runs, and were accepted already. They wait for their turn, up to the timeout. There is no patience
// with the gate: it closes while the worker waits for a connection only when such a client's request begins.
func New(e *workers.Env) (workers.Class, error) {
	return workers.NewFront(e, workers.Policy{Slots: 1, Queue: max(e.Config.WorkerConnections, 1)})
}

var _ workers.Factory = New
