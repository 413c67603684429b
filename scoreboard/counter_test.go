package scoreboard

import (
	"reflect"
	"testing"
	"time"
)

func TestLayoutFitsThePage(t *testing.T) {
	if wordCount+int(counters) > wordTimes {
		t.Errorf("%d counters run into the histograms", counters)
	}
	if last := queueWaits + buckets; last*8 >= headerSize {
		t.Errorf("the histograms end at word %d, past the page", last)
	}
}

func TestRequestsAreTheSumOfClasses(t *testing.T) {
	b := newBoard(t, 1)
	for _, status := range []int{0, 103, 200, 204, 301, 404, 499, 500, 599, 999} {
		b.Answered(status)
	}
	s := b.Snapshot()
	want := map[Counter]int64{Requests: 10, Informs: 2, Successes: 2, Redirects: 1, ClientFails: 2, ServerFails: 3}
	for c, n := range want {
		if s.Counters[c] != n {
			t.Errorf("counter %d is %d, want %d", c, s.Counters[c], n)
		}
	}
}

func TestHistogramBuckets(t *testing.T) {
	b := newBoard(t, 1)
	var want Histogram
	observe := func(d time.Duration, bucket int) {
		b.Took(d)
		want.Buckets[bucket]++
		want.Sum += max(d, 0)
	}
	observe(-time.Second, 0)
	observe(0, 0)
	for i, bound := range Bounds() {
		if i > 0 && bound <= Bounds()[i-1] {
			t.Errorf("bound %v is not above the one before", bound)
		}
		observe(bound, i)
		observe(bound+1, i+1)
	}
	observe(time.Hour, buckets-1)
	b.Waited(time.Millisecond)
	s := b.Snapshot()
	if s.Duration != want || s.Duration.Count() != int64(2*len(bounds)+3) {
		t.Errorf("got  %+v\nwant %+v", s.Duration, want)
	}
	if s.QueueWait.Count() != 1 || s.QueueWait.Sum != time.Millisecond {
		t.Errorf("queue wait %+v", s.QueueWait)
	}
}

// What is buried stays, save for gauges; merging is adding everything.
func TestTotals(t *testing.T) {
	one := Totals{}
	for c := range one.Counters {
		one.Counters[c] = int64(c) + 1
	}
	one.Duration = Histogram{Buckets: [buckets]int64{1, 2}, Sum: 3}
	var sum, grave Totals
	sum.Merge(&one)
	sum.Merge(&one)
	grave.Bury(&one)
	for c := range one.Counters {
		if sum.Counters[c] != 2*one.Counters[c] {
			t.Errorf("counter %d merged is %d", c, sum.Counters[c])
		}
		gauge := Counter(c) >= firstGauge
		if gauge != (grave.Counters[c] == 0) {
			t.Errorf("counter %d buried is %d", c, grave.Counters[c])
		}
	}
	if sum.Duration.Count() != 6 || sum.Duration.Sum != 6 || !reflect.DeepEqual(grave.Duration, one.Duration) {
		t.Errorf("histograms: %+v, %+v", sum.Duration, grave.Duration)
	}
}

func TestCountingDoesNotAllocate(t *testing.T) {
	b := newBoard(t, 1)
	if n := testing.AllocsPerRun(100, func() { b.Answered(200); b.Took(time.Millisecond); b.Add(BodyOut, 5) }); n != 0 {
		t.Errorf("counting allocates %v times", n)
	}
}

func BenchmarkCounting(b *testing.B) {
	board, err := Create(1)
	if err != nil {
		b.Fatal(err)
	}
	defer board.Close()
	for b.Loop() {
		board.Answered(200)
		board.Took(time.Millisecond)
		board.Add(BodyOut, 5)
	}
}
