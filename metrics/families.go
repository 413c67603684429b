package metrics

import (
	"runtime"
	"slices"
	"strconv"

	"github.com/appserver-go/appserver/arbiter"
	"github.com/appserver-go/appserver/scoreboard"
)

// Prefix begins the name of every metric.
const Prefix = "appserver_"

// Family is one metric.
type Family struct {
	// Name is its name, with Prefix, and Kind "counter", "gauge" or "histogram".
	Name, Kind string
	// Labels are the names of its labels; Values, for the documentation, what they may be.
	Labels, Values string
	// Help is one line.
	Help string

	write func(*encoder, string, *Figures)
}

// Figures are what metrics are made of.
type Figures struct {
	*arbiter.Metrics
	// Version is the server's.
	Version string
}

// Families returns all metrics in the order in which they are shown.
func Families() []Family {
	return slices.Concat(requestFamilies(), connectionFamilies(), guestFamilies(), workerFamilies(), serverFamilies())
}

// render makes the text of all families.
func render(f *Figures) []byte {
	var e encoder
	for _, fam := range Families() {
		e.head(fam.Name, fam.Kind, fam.Help)
		fam.write(&e, fam.Name, f)
	}
	return e.out
}

// count is a family of one number: the total of a scoreboard's counter.
func count(c scoreboard.Counter) func(*encoder, string, *Figures) {
	return value(func(f *Figures) float64 { return float64(f.Totals.Counters[c]) })
}

func value(of func(*Figures) float64) func(*encoder, string, *Figures) {
	return func(e *encoder, name string, f *Figures) { e.sample(name, of(f)) }
}

// labelled is a counter for each value of a label.
type labelled struct {
	value   string
	counter scoreboard.Counter
}

func counts(label string, all []labelled) func(*encoder, string, *Figures) {
	return func(e *encoder, name string, f *Figures) {
		for _, l := range all {
			e.sample(name, float64(f.Totals.Counters[l.counter]), label, l.value)
		}
	}
}

func classes() []labelled {
	return []labelled{
		{"1xx", scoreboard.Informs},
		{"2xx", scoreboard.Successes},
		{"3xx", scoreboard.Redirects},
		{"4xx", scoreboard.ClientFails},
		{"5xx", scoreboard.ServerFails},
	}
}

func reasons() []labelled {
	return []labelled{
		{"trap", scoreboard.Traps},
		{"exit", scoreboard.Exits},
		{"timeout", scoreboard.Timeouts},
		{"canceled", scoreboard.Cancels},
		{"response", scoreboard.BadResponses},
		{"request", scoreboard.BadBodies},
		{"overload", scoreboard.Refused},
		{"notfound", scoreboard.NotFounds},
		{"upstream", scoreboard.Upstreams},
		{"internal", scoreboard.Internals},
	}
}

func valuesOf(all []labelled) string {
	text := ""
	for i, l := range all {
		if i > 0 {
			text += ", "
		}
		text += l.value
	}
	return text
}

func requestFamilies() []Family {
	return []Family{
		{
			Name: Prefix + "requests_total", Kind: "counter", Labels: "class", Values: valuesOf(classes()),
			Help: "Requests answered, by the class of the status.", write: counts("class", classes()),
		},
		{
			Name: Prefix + "requests_rejected_total", Kind: "counter",
			Help:  "Requests, among those answered, that were malformed or over a limit and did not get past the front end.",
			write: count(scoreboard.Rejected),
		},
		{
			Name: Prefix + "request_failures_total", Kind: "counter", Labels: "reason", Values: valuesOf(reasons()),
			Help: "Requests, among those answered, that failed, by the reason.", write: counts("reason", reasons()),
		},
		{
			Name: Prefix + "requests_lost_total", Kind: "counter", Labels: "reason", Values: "as for worker_exits_total",
			Help:  "Requests that died with their worker and are not among those answered, by the reason of its end.",
			write: endings(func(f *Figures) map[arbiter.Ending]int64 { return f.Lost }),
		},
		{
			Name: Prefix + "request_duration_seconds", Kind: "histogram",
			Help:  "Time from the head of a request to the end of its response, for all answered requests but the rejected ones.",
			write: func(e *encoder, name string, f *Figures) { e.histogram(name, &f.Totals.Duration) },
		},
		{
			Name: Prefix + "queue_wait_seconds", Kind: "histogram",
			Help:  "Time that requests waited for a slot, for those that did not get one at once.",
			write: func(e *encoder, name string, f *Figures) { e.histogram(name, &f.Totals.QueueWait) },
		},
		{
			Name: Prefix + "requests_in_flight", Kind: "gauge", Help: "Requests that are in a slot.",
			write: value(func(f *Figures) float64 {
				n := 0
				for i := range f.Status.Workers {
					n += len(f.Status.Workers[i].Busy)
				}
				return float64(n)
			}),
		},
		{
			Name: Prefix + "slots", Kind: "gauge", Help: "Slots of the workers that are ready: how many requests can run at once.",
			write: value(func(f *Figures) float64 {
				n := 0
				for i := range f.Status.Workers {
					if w := &f.Status.Workers[i]; w.State == "ready" {
						n += w.Threads
					}
				}
				return float64(n)
			}),
		},
		{
			Name: Prefix + "requests_queued", Kind: "gauge", Help: "Requests that wait for a slot in their worker.",
			write: count(scoreboard.Queued),
		},
		{
			Name: Prefix + "websockets", Kind: "gauge", Help: "Connections that guests have taken over, such as WebSockets.",
			write: count(scoreboard.WebSockets),
		},
		{
			Name: Prefix + "request_body_bytes_total", Kind: "counter", Help: "Bytes of request bodies that guests have read.",
			write: count(scoreboard.BodyIn),
		},
		{
			Name: Prefix + "response_body_bytes_total", Kind: "counter", Help: "Bytes of response bodies that were sent.",
			write: count(scoreboard.BodyOut),
		},
	}
}

func connectionFamilies() []Family {
	return []Family{
		{
			Name: Prefix + "connections_accepted_total", Kind: "counter", Help: "Connections that workers have accepted.",
			write: count(scoreboard.Accepted),
		},
		{
			Name: Prefix + "connections_open", Kind: "gauge", Help: "Connections that workers have open.",
			write: count(scoreboard.Connections),
		},
		{
			Name: Prefix + "listen_queue", Kind: "gauge", Labels: "address", Values: "of a TCP listener",
			Help: "Connections that wait in the kernel's queue for a worker to accept them.",
			write: func(e *encoder, name string, f *Figures) {
				for _, q := range f.Queues {
					e.sample(name, float64(q.Waiting), "address", q.Address)
				}
			},
		},
		{
			Name: Prefix + "listen_queue_limit", Kind: "gauge", Labels: "address", Values: "of a TCP listener",
			Help: "Connections that may wait there; the kernel drops what comes in beyond them.",
			write: func(e *encoder, name string, f *Figures) {
				for _, q := range f.Queues {
					e.sample(name, float64(q.Limit), "address", q.Address)
				}
			},
		},
	}
}

func guestFamilies() []Family {
	return []Family{
		{
			Name: Prefix + "guest_instances", Kind: "gauge", Help: "Live instances of the guest.",
			write: count(scoreboard.Instances),
		},
		{
			Name: Prefix + "guest_memory_bytes", Kind: "gauge", Help: "Linear memory of the live instances.",
			write: count(scoreboard.GuestMemory),
		},
		{
			Name: Prefix + "guest_instances_started_total", Kind: "counter", Help: "Instances of the guest that were started.",
			write: count(scoreboard.InstancesMade),
		},
		{
			Name: Prefix + "guest_instances_discarded_total", Kind: "counter",
			Help: "Instances of the guest that are no more.",
			write: value(func(f *Figures) float64 {
				return float64(f.Totals.Counters[scoreboard.InstancesMade] - f.Totals.Counters[scoreboard.Instances])
			}),
		},
		{
			Name: Prefix + "guest_resets_total", Kind: "counter",
			Help: "Instances that were put back into the state after their start.", write: count(scoreboard.Resets),
		},
		{
			Name: Prefix + "guest_memory_denied_total", Kind: "counter",
			Help:  "Requests of guests for memory that were refused, for the limit of an instance or the budget of a worker.",
			write: count(scoreboard.DeniedGrows),
		},
	}
}

func workerFamilies() []Family {
	return []Family{
		{
			Name: Prefix + "workers", Kind: "gauge", Labels: "state", Values: "spawned, booted, ready, draining, aborted, killed",
			Help: "Worker processes, by what they are at.",
			write: func(e *encoder, name string, f *Figures) {
				states := map[string]int{}
				for i := range f.Status.Workers {
					states[f.Status.Workers[i].State]++
				}
				for _, s := range []string{"spawned", "booted", "ready", "draining", "aborted", "killed"} {
					e.sample(name, float64(states[s]), "state", s)
				}
			},
		},
		{
			Name: Prefix + "workers_wanted", Kind: "gauge", Help: "Workers that are to be kept alive.",
			write: value(func(f *Figures) float64 { return float64(f.Status.Target) }),
		},
		{
			Name: Prefix + "workers_started_total", Kind: "counter", Help: "Worker processes that were started.",
			write: value(func(f *Figures) float64 { return float64(f.Spawned) }),
		},
		{
			Name: Prefix + "worker_exits_total", Kind: "counter", Labels: "reason", Values: endingNames(),
			Help:  "Worker processes that have ended, by the reason.",
			write: endings(func(f *Figures) map[arbiter.Ending]int64 { return f.Exits }),
		},
		{
			Name: Prefix + "worker_resident_memory_bytes", Kind: "gauge", Labels: "slot", Values: "the number of the worker's place",
			Help: "Resident memory of the worker processes in a slot.", write: writeMemory,
		},
	}
}

func endingNames() string {
	text := ""
	for i, e := range arbiter.Endings() {
		if i > 0 {
			text += ", "
		}
		text += string(e)
	}
	return text
}

func endings(of func(*Figures) map[arbiter.Ending]int64) func(*encoder, string, *Figures) {
	return func(e *encoder, name string, f *Figures) {
		for _, reason := range arbiter.Endings() {
			e.sample(name, float64(of(f)[reason]), "reason", string(reason))
		}
	}
}

// writeMemory adds up a slot's worker and its replacement.
func writeMemory(e *encoder, name string, f *Figures) {
	bytes := map[int]int64{}
	var slots []int
	for i := range f.Status.Workers {
		w := &f.Status.Workers[i]
		if _, known := bytes[w.Slot]; !known {
			slots = append(slots, w.Slot)
		}
		bytes[w.Slot] += w.Memory
	}
	slices.Sort(slots)
	for _, slot := range slots {
		e.sample(name, float64(bytes[slot]), "slot", strconv.Itoa(slot))
	}
}

func serverFamilies() []Family {
	return []Family{
		{
			Name: Prefix + "ready", Kind: "gauge", Help: "1 while /readyz says so, else 0.",
			write: value(func(f *Figures) float64 { return truth(ready(f.Status)) }),
		},
		{
			Name: Prefix + "generation", Kind: "gauge", Help: "Number of the generation that serves.",
			write: value(func(f *Figures) float64 { return float64(f.Status.Generation) }),
		},
		{
			Name: Prefix + "reloads_total", Kind: "counter", Labels: "result", Values: "ok, failed",
			Help: "Reloads, by whether the new generation replaced the old one.",
			write: func(e *encoder, name string, f *Figures) {
				e.sample(name, float64(f.Reloads), "result", "ok")
				e.sample(name, float64(f.FailedReloads), "result", "failed")
			},
		},
		{
			Name: Prefix + "reloading", Kind: "gauge", Help: "1 while a reload is under way, else 0.",
			write: value(func(f *Figures) float64 { return truth(f.Status.Reloading != "") }),
		},
		{
			Name: Prefix + "log_records_dropped_total", Kind: "counter",
			Help:  "Log records and lines of the access log that were dropped because their reader was slow.",
			write: count(scoreboard.LogDrops),
		},
		{
			Name: Prefix + "statsd_lines_dropped_total", Kind: "counter",
			Help: "Lines for statsd that were dropped because they could not be sent at once.", write: count(scoreboard.StatsdDrops),
		},
		{
			Name: Prefix + "spans_dropped_total", Kind: "counter",
			Help: "Spans of traces that were dropped because the collector was slow or away.", write: count(scoreboard.SpanDrops),
		},
		{
			Name: Prefix + "start_time_seconds", Kind: "gauge", Help: "When the server was started, as Unix time.",
			write: value(func(f *Figures) float64 { return float64(f.Status.Started.UnixMilli()) / 1000 }),
		},
		{
			Name: Prefix + "build_info", Kind: "gauge", Labels: "version, goversion", Values: "of this program",
			Help: "Always 1; the labels tell which program it is.",
			write: func(e *encoder, name string, f *Figures) {
				e.sample(name, 1, "version", f.Version, "goversion", runtime.Version())
			},
		},
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
