package scoreboard

// Counter names one of a board's counters. They only grow, save for the gauges.
type Counter int

// The counters of a worker.
const (
	Requests    Counter = iota // requests answered, whatever with: the sum of the five classes, not counted by itself
	Informs                    // answered 1xx; kept so that classes index from Requests
	Successes                  // answered 2xx
	Redirects                  // answered 3xx
	ClientFails                // answered 4xx
	ServerFails                // answered 5xx
	Rejected                   // of all these, requests that the front end refused before anybody was asked

	Traps        // requests whose guest trapped
	Exits        // requests whose guest exited with a code other than 0
	Timeouts     // requests past their deadline
	Cancels      // requests whose client went away, or that were cut off by a drain
	BadResponses // requests whose response broke the rules
	BadBodies    // requests whose body was cut short, malformed or too large
	Refused      // requests turned away because the queue was full
	NotFounds    // requests that nothing answered
	Upstreams    // requests whose upstream failed
	Internals    // requests that failed for a fault of the server's own

	Accepted      // connections accepted
	BodyIn        // bytes of request bodies that were read
	BodyOut       // bytes of response bodies that were sent
	LogDrops      // log records dropped because the log's reader was slow
	SpanDrops     // spans of traces dropped because the collector was slow or away
	StatsdDrops   // statsd lines dropped because the server was slow or away
	InstancesMade // guest instances started
	Resets        // guest instances put back into their first state
	DeniedGrows   // requests of guests for memory that were refused

	Connections // gauge: open connections
	Queued      // gauge: requests waiting for a slot
	WebSockets  // gauge: connections that guests have taken over
	Instances   // gauge: live guest instances
	GuestMemory // gauge: linear memory of the live instances, in bytes
	counters    // how many there are
)

// firstGauge is the first counter that says how things are and not how often something happened.
const firstGauge = Connections

// Add adds to a counter; gauges also go down.
func (b *Board) Add(c Counter, delta int64) { b.word(wordCount + int(c)).Add(uint64(delta)) }

// Set sets a counter that one goroutine alone keeps.
func (b *Board) Set(c Counter, value int64) { b.word(wordCount + int(c)).Store(uint64(value)) }

// Answered counts a response by the class of its status.
func (b *Board) Answered(status int) {
	b.Add(Informs+Counter(min(max(status/100, 1), 5)-1), 1)
}

// Totals are the counters and histograms of a board at one moment, or of several boards together. The zero value is
// that of a board that has seen nothing.
type Totals struct {
	Counters [counters]int64
	// Duration is how long requests took that reached the worker's handler, QueueWait how long those waited for a slot
	// that did not get one at once.
	Duration, QueueWait Histogram
}

// totals reads them. Parts are read after what they are parts of, so that none is ever larger.
func (b *Board) totals() Totals {
	var t Totals
	for c := range t.Counters {
		t.Counters[c] = int64(b.word(wordCount + c).Load())
	}
	t.Counters[Requests] = 0
	for c := Informs; c <= ServerFails; c++ {
		t.Counters[Requests] += t.Counters[c]
	}
	t.Duration, t.QueueWait = b.histogram(durations), b.histogram(queueWaits)
	return t
}

// Merge adds another board's totals.
func (t *Totals) Merge(o *Totals) {
	for c := range t.Counters {
		t.Counters[c] += o.Counters[c]
	}
	t.Duration.merge(&o.Duration)
	t.QueueWait.merge(&o.QueueWait)
}

// Bury takes in the totals of a worker that is gone: what happened in it stays, what it had is no more.
func (t *Totals) Bury(o *Totals) {
	buried := *o
	for c := firstGauge; c < counters; c++ {
		buried.Counters[c] = 0
	}
	t.Merge(&buried)
}
