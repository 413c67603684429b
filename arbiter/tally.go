package arbiter

import (
	"github.com/appserver-go/appserver/scoreboard"
)

// Ending says in one word, for counters, why a worker ended.
type Ending string

// The reasons for which workers end.
const (
	EndedShutdown    Ending = "shutdown"          // the server went down
	EndedReload      Ending = "reload"            // a reload replaced it, or gave it up
	EndedScale       Ending = "scale"             // there are to be fewer workers
	EndedMaxRequests Ending = "max_requests"      // it had answered so many
	EndedMaxAge      Ending = "max_age"           // it was too old
	EndedMaxMemory   Ending = "max_worker_memory" // it was too large
	EndedBoot        Ending = "boot"              // it did not become ready
	EndedBootTimeout Ending = "boot_timeout"      // it did not become ready in time
	EndedTimeout     Ending = "timeout"           // it was stuck in a request, and killed
	EndedFrozen      Ending = "worker_timeout"    // it gave no sign of life, and was killed
	EndedDrain       Ending = "graceful_timeout"  // it did not finish in time when it was told to go
	EndedMemory      Ending = "out_of_memory"     // the kernel killed it
	EndedKilled      Ending = "killed"            // somebody killed it
	EndedProtocol    Ending = "protocol"          // it sent what no worker sends, and was killed
	EndedCrash       Ending = "crash"             // it died unasked
)

// Endings are all there are, so that each has a counter from the beginning.
func Endings() []Ending {
	return []Ending{
		EndedShutdown, EndedReload, EndedScale, EndedMaxRequests, EndedMaxAge, EndedMaxMemory, EndedBoot, EndedBootTimeout, EndedTimeout,
		EndedFrozen, EndedDrain, EndedMemory, EndedKilled, EndedProtocol, EndedCrash,
	}
}

// tally is what the arbiter has counted since it began. It outlives workers and generations.
type tally struct {
	buried   scoreboard.Totals // of all workers that are gone
	spawned  int64
	exits    map[Ending]int64
	lost     map[Ending]int64 // requests that died with their workers
	reloads  int64            // that replaced the generation
	failures int64            // reloads that did not
}

// leaves notes why a worker is asked to go. What comes of it may be worse.
func (w *worker) leaves(why string) {
	if w.ending != "" {
		return
	}
	switch why {
	case string(EndedMaxRequests), string(EndedMaxAge), string(EndedMaxMemory), string(EndedReload):
		w.ending = Ending(why)
	case "superseded":
		w.ending = EndedReload
	case "surplus":
		w.ending = EndedScale
	}
}

// classify returns why a worker that is gone has ended.
func (a *Arbiter) classify(w *worker) Ending {
	switch {
	case w.ending != "":
		return w.ending
	case w.dismissed && a.halt != nil:
		return EndedShutdown
	case w.dismissed:
		return EndedReload // a canary
	case !w.served():
		return EndedBoot
	default:
		return EndedCrash
	}
}

// settle takes in what a worker that is gone has counted.
func (t *tally) settle(ending Ending, totals *scoreboard.Totals) {
	if t.exits == nil {
		t.exits = map[Ending]int64{}
	}
	t.exits[ending]++
	t.buried.Bury(totals)
}

// miss counts a request that died with its worker.
func (t *tally) miss(ending Ending) {
	if t.lost == nil {
		t.lost = map[Ending]int64{}
	}
	t.lost[ending]++
}
