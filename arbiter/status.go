package arbiter

import (
	"os"
	"time"

	"github.com/appserver-go/appserver/internal/proto"
	"github.com/appserver-go/appserver/scoreboard"
)

// Status is what an arbiter and its workers are doing at a moment. It is a copy: nothing in it changes afterwards.
type Status struct {
	PID        int       `json:"pid"`
	Started    time.Time `json:"started"`
	Generation uint64    `json:"generation"`
	// Target is the number of workers that are to be kept alive, Ready how many serve.
	Target int `json:"target"`
	Ready  int `json:"ready"`
	// Announced says that the server was ready once.
	Announced bool `json:"announced"`
	// Halting says that the server is going down.
	Halting bool `json:"halting,omitempty"`
	// Reloading is the stage of the reload under way: "loading", "canary", "rolling", or empty without one. Pending says
	// that another one waits.
	Reloading string `json:"reloading,omitempty"`
	Pending   bool   `json:"pending,omitempty"`
	// LastReload is the outcome of the last reload, or nil.
	LastReload *ReloadResult `json:"last_reload,omitempty"`
	// Upgrade is the new arbiter beside this one, nil if there is none; LastUpgrade is the outcome of the last upgrade, or nil.
	Upgrade     *UpgradeStatus `json:"upgrade,omitempty"`
	LastUpgrade *UpgradeResult `json:"last_upgrade,omitempty"`
	// Predecessor is the process id of the old arbiter beside this one, 0 if there is none.
	Predecessor int `json:"predecessor,omitempty"`
	// Sockets are the names of the addresses.
	Sockets []string `json:"sockets"`
	// Workers are all processes that have not been buried, oldest first.
	Workers []WorkerStatus `json:"workers"`
}

// ReloadResult is how a reload ended.
type ReloadResult struct {
	Ended time.Time     `json:"ended"`
	Took  time.Duration `json:"took"` // in nanoseconds
	// Generation is the one that serves after it.
	Generation uint64 `json:"generation"`
	// Error says why it failed, or is empty; Hint, what to do about it.
	Error string `json:"error,omitempty"`
	Hint  string `json:"hint,omitempty"`
}

// UpgradeStatus is a new arbiter.
type UpgradeStatus struct {
	PID   int       `json:"pid"`
	Began time.Time `json:"began"`
	// Stage is starting, booting, ready, or retiring when this arbiter only waits for its last workers.
	Stage string `json:"stage"`
	// Auto says that this arbiter retires by itself once the new one is ready.
	Auto bool `json:"auto"`
}

// UpgradeResult is how an upgrade ended.
type UpgradeResult struct {
	Ended time.Time     `json:"ended"`
	Took  time.Duration `json:"took"` // in nanoseconds
	// PID is the new arbiter's, 0 if it could not be executed.
	PID int `json:"pid"`
	// Error says why it failed, or is empty; Hint, what to do about it.
	Error string `json:"error,omitempty"`
	Hint  string `json:"hint,omitempty"`
}

// WorkerStatus is one worker process.
type WorkerStatus struct {
	PID        int    `json:"pid"`
	Age        uint64 `json:"age"` // counts the workers ever started, from 1
	Slot       int    `json:"slot"`
	Generation uint64 `json:"generation"`
	// State is spawned, booted, ready, draining, aborted or killed.
	State string `json:"state"`
	// Stage is what a worker that boots was last busy with.
	Stage string `json:"stage,omitempty"`
	// Canary says that a reload waits for it.
	Canary bool `json:"canary,omitempty"`
	// Retiring says why it is to be replaced, or is empty.
	Retiring string `json:"retiring,omitempty"`
	// Spawned is when the process was started, Ready when it began to serve; zero if it never did.
	Spawned time.Time `json:"spawned"`
	Ready   time.Time `json:"ready,omitzero"`
	// Memory is its resident memory in bytes, 0 if it is not known.
	Memory int64 `json:"memory"`
	// Requests is how many requests it has answered; the others are counters and gauges of its scoreboard.
	Requests    int64 `json:"requests"`
	ServerFails int64 `json:"server_fails"`
	Traps       int64 `json:"traps"`
	Timeouts    int64 `json:"timeouts"`
	Refused     int64 `json:"refused"`
	LogDrops    int64 `json:"log_drops"`
	Connections int64 `json:"connections"`
	Queued      int64 `json:"queued"`
	WebSockets  int64 `json:"websockets"`
	// Threads is how many requests it can run at once, Busy those it runs.
	Threads int             `json:"threads"`
	Busy    []RequestStatus `json:"busy"`
	// Guest is what it said of its guest.
	Guest []proto.Fact `json:"guest,omitempty"`
}

// RequestStatus is a request in a worker. Clients choose its texts.
type RequestStatus struct {
	Row        int           `json:"row"`
	ID         string        `json:"id"`
	Method     string        `json:"method"`
	Path       string        `json:"path"`
	RemoteAddr string        `json:"remote_addr"`
	Host       string        `json:"host"`
	Age        time.Duration `json:"age"` // in nanoseconds
}

// status takes the snapshot.
func (a *Arbiter) status() *Status {
	now := time.Now()
	s := &Status{
		PID: os.Getpid(), Started: a.began, Generation: a.gen.number, Target: len(a.slots), Ready: a.serving(),
		Announced: a.announced, Halting: a.halt != nil, Reloading: a.reload.stage(), Pending: a.pending,
		Sockets: a.gen.sockets.Names(), Workers: make([]WorkerStatus, 0, len(a.workers)),
	}
	if a.lastReload != nil {
		last := *a.lastReload
		s.LastReload = &last
	}
	if u := a.upgrade; u != nil {
		s.Upgrade = &UpgradeStatus{PID: u.pid, Began: u.began, Stage: u.stage.String(), Auto: u.auto}
	}
	if a.lastUpgrade != nil {
		last := *a.lastUpgrade
		s.LastUpgrade = &last
	}
	if a.predecessor != nil {
		s.Predecessor = a.opts.Will.PID
	}
	for _, w := range a.workers {
		s.Workers = append(s.Workers, a.workerStatus(w, now))
	}
	return s
}

func (a *Arbiter) workerStatus(w *worker, now time.Time) WorkerStatus {
	snap := w.proc.board()
	count := func(c scoreboard.Counter) int64 { return snap.Counters[c] }
	s := WorkerStatus{
		PID: w.pid, Age: w.spec.age, Slot: w.spec.slot, Generation: w.spec.gen.number, State: w.state.String(), Stage: w.stage,
		Canary: a.isCanary(w), Retiring: w.retiring, Spawned: w.spawnedAt, Ready: w.readyAt,
		Requests: count(scoreboard.Requests), ServerFails: count(scoreboard.ServerFails), Traps: count(scoreboard.Traps),
		Timeouts: count(scoreboard.Timeouts), Refused: count(scoreboard.Refused), LogDrops: count(scoreboard.LogDrops),
		Connections: count(scoreboard.Connections), Queued: count(scoreboard.Queued), WebSockets: count(scoreboard.WebSockets),
		Threads: len(snap.Rows), Busy: []RequestStatus{}, Guest: w.guest,
	}
	if !w.reaped {
		s.Memory, _ = a.env.memory(w.pid)
	}
	for i, row := range snap.Rows {
		if row.Busy {
			s.Busy = append(s.Busy, RequestStatus{
				Row: i, ID: row.Call.ID, Method: row.Call.Method, Path: row.Call.Target, RemoteAddr: row.Call.RemoteAddr,
				Host: row.Call.Host, Age: now.Sub(w.plausible(row.Started, now)),
			})
		}
	}
	return s
}

// plausible corrects a time that the worker wrote to one at which it lived.
func (w *worker) plausible(t, now time.Time) time.Time {
	if t.Before(w.spawnedAt) {
		t = w.spawnedAt
	}
	if t.After(now) {
		t = now
	}
	return t
}
