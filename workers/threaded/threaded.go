// Package threaded is the class "threaded": several requests at once in each worker process, and connections that are
// kept alive, gunicorn's gthread. Every request runs in one of the worker's slots, as many as the threads setting says,
// each with an instance of the guest. cmd/appserver registers it.
//
// Connections without a request cost no slot: neither idle ones nor those whose client is slow to send a head or a
// small body (64 KiB of known length) or to read a small response. Requests that find all slots busy wait in a bounded queue; when that is full they get 503 with
// Retry-After at once, without touching the guest. New connections are accepted only while a slot is free, so that they
// go to a worker that can serve them.
package threaded

import (
	"time"

	"github.com/appserver-go/appserver/workers"
)

// patience is how long a worker whose slots are all taken may still accept a connection. Requests on kept-alive
// connections take the last slot and give it back all the time; only one that lasts is worth acting on.
const patience = time.Millisecond

// New is the class's Factory.
func New(e *workers.Env) (workers.Class, error) {
	c := e.Config
	return workers.NewFront(e, workers.Policy{
		Slots: max(c.Threads, 1), Queue: c.QueueLimit, Keepalive: c.Keepalive, Patience: patience,
	})
}

var _ workers.Factory = New
