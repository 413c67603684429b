package control

import "time"

// The types of the API. Times are RFC 3339, durations are seconds, sizes are bytes. Texts of requests are what clients
// sent: whoever prints them must escape them.

// Status is all there is to know of a server at one moment.
type Status struct {
	App        string    `json:"app"`             // what process titles say
	Guest      string    `json:"guest"`           // the guest's path
	Version    string    `json:"version"`         // of appserver
	PID        int       `json:"pid"`             // of the arbiter
	State      string    `json:"state"`           // starting, serving, reloading, draining, retiring, stopping
	Stage      string    `json:"stage,omitempty"` // of a reload: loading, canary, rolling
	Generation uint64    `json:"generation"`
	Now        time.Time `json:"now"` // the server's clock
	Started    time.Time `json:"started"`
	Uptime     float64   `json:"uptime_seconds"`
	Sockets    []string  `json:"sockets"`
	Target     int       `json:"target"` // how many workers there should be
	Ready      int       `json:"ready"`  // how many serve
	RSS        int64     `json:"rss_bytes"`
	// Reload is the last reload, nil if there was none.
	Reload *Reload `json:"last_reload,omitempty"`
	// Successor is the new arbiter beside this one, nil if there is none; Predecessor the pid of the old one, or 0.
	Successor   *Successor `json:"successor,omitempty"`
	Predecessor int        `json:"predecessor,omitempty"`
	// Upgrade is the last upgrade, nil if there was none.
	Upgrade *Upgraded `json:"last_upgrade,omitempty"`
	Workers []Worker  `json:"workers"`
}

// Reload is the outcome of a reload.
type Reload struct {
	At         time.Time `json:"at"` // its end
	Took       float64   `json:"took_seconds"`
	Generation uint64    `json:"generation"` // which served after it
	Error      string    `json:"error,omitempty"`
	Hint       string    `json:"hint,omitempty"`
}

// Successor is a new arbiter that an upgrade has started.
type Successor struct {
	PID   int     `json:"pid"`
	Stage string  `json:"stage"` // starting, booting, ready, retiring when the old one only waits for its last workers
	Auto  bool    `json:"auto"`  // the old one retires by itself
	Age   float64 `json:"age_seconds"`
}

// Upgraded is the outcome of an upgrade.
type Upgraded struct {
	At    time.Time `json:"at"` // when it was decided
	Took  float64   `json:"took_seconds"`
	PID   int       `json:"pid"` // of the new arbiter, 0 if it could not be executed
	Error string    `json:"error,omitempty"`
	Hint  string    `json:"hint,omitempty"`
}

// Upgrade asks for an upgrade.
type Upgrade struct {
	// Keep keeps the old arbiter beside the new one until somebody ends one of them.
	Keep bool `json:"keep"`
}

// Worker is a worker process.
type Worker struct {
	PID        int     `json:"pid"`
	Slot       int     `json:"slot"`
	Number     uint64  `json:"number"` // counts all workers of the server, from 1
	Generation uint64  `json:"generation"`
	State      string  `json:"state"`              // spawned, booted, ready, draining, aborted, killed
	Stage      string  `json:"stage,omitempty"`    // of its boot
	Canary     bool    `json:"canary,omitempty"`   // a reload waits for it
	Retiring   string  `json:"retiring,omitempty"` // why it is to be replaced
	Age        float64 `json:"age_seconds"`        // since it was spawned
	Threads    int     `json:"threads"`            // requests it can run at once
	Busy       int     `json:"busy"`               // requests it runs
	Queued     int64   `json:"queued"`
	WebSockets int64   `json:"websockets"` // connections that guests have taken over
	Conns      int64   `json:"connections"`
	Requests   int64   `json:"requests"`
	Errors     int64   `json:"errors"` // answered 5xx
	Traps      int64   `json:"traps"`
	Timeouts   int64   `json:"timeouts"`
	Refused    int64   `json:"refused"`
	LogDrops   int64   `json:"log_drops"`
	RSS        int64   `json:"rss_bytes"`
	// InFlight are the requests it runs, by row.
	InFlight []Request `json:"in_flight"`
}

// Request is a request that a worker has begun and not finished.
type Request struct {
	Worker int     `json:"worker"` // pid
	Slot   int     `json:"slot"`   // of the worker
	Row    int     `json:"row"`    // among the worker's threads
	ID     string  `json:"id"`
	Method string  `json:"method"`
	Path   string  `json:"path"` // with query, as the client sent it
	Host   string  `json:"host,omitempty"`
	Remote string  `json:"remote,omitempty"`
	Age    float64 `json:"age_seconds"`
}

// Setting is a setting in force.
type Setting struct {
	Key    string `json:"key"`
	Value  any    `json:"value"`
	Source string `json:"source"` // in words
}

// Scale says how many workers there should be: Workers, or By more than now. Exactly one of them is set.
type Scale struct {
	Workers *int `json:"workers,omitempty"`
	By      *int `json:"by,omitempty"`
}

// Scaled is the answer to a Scale.
type Scaled struct {
	From int `json:"from"`
	To   int `json:"to"`
}

// Stop says how to shut down.
type Stop struct {
	// Quick cuts requests off instead of finishing them.
	Quick bool `json:"quick"`
}

// Reloaded is the answer to a reload that went well.
type Reloaded struct {
	Generation uint64 `json:"generation"`
}

// Event is something that happened to the server. The names are those of gunicorn's hooks: on_starting, when_ready,
// on_reload, nworkers_changed, pre_fork, post_worker_init, worker_int, worker_abort, worker_exit, child_exit, pre_exec,
// on_exit; and reload_failed, upgrade_ready, upgrade_failed, promoted.
type Event struct {
	Event      string    `json:"event"`
	Time       time.Time `json:"time"`
	PID        int       `json:"pid"` // of the arbiter
	Generation uint64    `json:"generation,omitempty"`
	// Worker is who it happened to, nil for the server as a whole.
	Worker *EventWorker `json:"worker,omitempty"`
	// From and To are the numbers of workers of nworkers_changed.
	From *int `json:"from,omitempty"`
	To   *int `json:"to,omitempty"`
	// NewPID is the new arbiter of an upgrade.
	NewPID int `json:"new_pid,omitempty"`
	// Reason says why, in words: of an exit, an abort, a reload or an upgrade that failed.
	Reason string `json:"reason,omitempty"`
}

// EventWorker is the worker of an Event. PID is 0 in pre_fork: the process does not exist yet.
type EventWorker struct {
	PID    int    `json:"pid,omitempty"`
	Slot   int    `json:"slot"`
	Number uint64 `json:"number"`
}

// Error is the body of every answer that is not 200.
type Error struct {
	Error string `json:"error"`
	Hint  string `json:"hint,omitempty"`
	Code  int    `json:"code,omitempty"` // exit code that goes with it, one of package fault
}
