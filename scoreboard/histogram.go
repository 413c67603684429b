package scoreboard

import "time"

// bounds are the upper ends of a histogram's buckets; the last bucket has none. They go from what a small guest takes to
// what the timeout setting's default allows, in steps of about two.
var bounds = [...]time.Duration{
	500 * time.Microsecond, time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond,
	10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond,
	250 * time.Millisecond, 500 * time.Millisecond, time.Second, 2500 * time.Millisecond,
	5 * time.Second, 10 * time.Second, 30 * time.Second, 60 * time.Second,
}

const buckets = len(bounds) + 1

// Bounds returns the upper ends of the buckets of a Histogram, save for the last, which has none.
func Bounds() []time.Duration { return append([]time.Duration(nil), bounds[:]...) }

// Histogram counts spans of time by their length.
type Histogram struct {
	// Buckets count spans that are longer than the bound before and no longer than their own.
	Buckets [buckets]int64
	// Sum is the length of all spans together.
	Sum time.Duration
}

// Count returns how many spans there were.
func (h *Histogram) Count() int64 {
	n := int64(0)
	for _, b := range h.Buckets {
		n += b
	}
	return n
}

func (h *Histogram) merge(o *Histogram) {
	for i := range h.Buckets {
		h.Buckets[i] += o.Buckets[i]
	}
	h.Sum += o.Sum
}

// A board's histograms, by the number of their first word.
const (
	durations  = wordTimes
	queueWaits = durations + buckets + 1
)

// Took counts the duration of a request.
func (b *Board) Took(d time.Duration) { b.observe(durations, d) }

// Waited counts how long a request waited for a slot.
func (b *Board) Waited(d time.Duration) { b.observe(queueWaits, d) }

func (b *Board) observe(first int, d time.Duration) {
	d = max(d, 0)
	i := 0
	for i < len(bounds) && d > bounds[i] {
		i++
	}
	b.word(first + i).Add(1)
	b.word(first + buckets).Add(uint64(d))
}

func (b *Board) histogram(first int) Histogram {
	h := Histogram{Sum: time.Duration(b.word(first + buckets).Load())}
	for i := range h.Buckets {
		h.Buckets[i] = int64(b.word(first + i).Load())
	}
	return h
}
