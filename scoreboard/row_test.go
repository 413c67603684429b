package scoreboard

import (
	"encoding/binary"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestSerialTellsRequestsApart(t *testing.T) {
	b := newBoard(t, 1)
	row := b.Row(0)
	seen := map[uint64]bool{}
	for range 100 {
		row.Begin(&Call{}, time.Now())
		busy := b.Snapshot().Rows[0]
		if !busy.Busy || seen[busy.Serial] {
			t.Fatalf("a busy row reads %+v", busy)
		}
		if again := b.Snapshot().Rows[0]; again.Serial != busy.Serial {
			t.Fatalf("the serial of one request went from %d to %d", busy.Serial, again.Serial)
		}
		row.End()
		idle := b.Snapshot().Rows[0]
		if idle.Busy || seen[idle.Serial] || idle.Call != (Call{}) {
			t.Fatalf("an idle row reads %+v", idle)
		}
		seen[busy.Serial], seen[idle.Serial] = true, true
	}
}

func TestRowsDoNotTouchEachOther(t *testing.T) {
	b := newBoard(t, 3)
	long := strings.Repeat("z", 2*rowSize)
	b.Row(0).Begin(&Call{ID: "zero"}, time.Now())
	b.Row(2).Begin(&Call{ID: "two"}, time.Now())
	b.Row(1).Begin(&Call{long, long, long, long, long, long, long, long}, time.Now())
	s := b.Snapshot()
	if s.Rows[0].Call.ID != "zero" || s.Rows[2].Call.ID != "two" {
		t.Errorf("an overlong request spilled: %+v, %+v", s.Rows[0].Call, s.Rows[2].Call)
	}
	b.Row(1).End()
	if s = b.Snapshot(); s.Busy() != 2 {
		t.Errorf("%d rows are busy, want 2", s.Busy())
	}
}

func TestTextsAreCutToFit(t *testing.T) {
	b := newBoard(t, 1)
	row := b.Row(0)
	long := strings.Repeat("x", 2*rowSize)
	row.Begin(&Call{long, long, long, long, long, long, long, long}, time.Now())
	got := b.Snapshot().Rows[0].Call
	total := 0
	for i, s := range got.texts() {
		if *s == "" || strings.Trim(*s, "x") != "" {
			t.Errorf("text %d reads %q", i, *s)
		}
		if last := i == len(textLimits)-1; !last && len(*s) != textLimits[i] {
			t.Errorf("text %d was cut to %d bytes, want %d", i, len(*s), textLimits[i])
		}
		total += 2 + len(*s)
	}
	if total != textSize {
		t.Errorf("the texts fill %d of %d bytes", total, textSize)
	}
	// A target alone may use the room of the others.
	row.End()
	row.Begin(&Call{Target: long}, time.Now())
	if n := len(b.Snapshot().Rows[0].Call.Target); n != textSize-2*len(textLimits) {
		t.Errorf("a lone target was cut to %d bytes", n)
	}
	// Nothing of a longer request shines through a shorter one.
	row.End()
	short := Call{ID: "1", Target: "/"}
	row.Begin(&short, time.Now())
	if got := b.Snapshot().Rows[0].Call; got != short {
		t.Errorf("after a long request a short one reads %+v", got)
	}
}

func TestBeginDoesNotAllocate(t *testing.T) {
	b := newBoard(t, 1)
	row, call, now := b.Row(0), Call{ID: "r", Method: "GET", Target: "/some/path"}, time.Now()
	if n := testing.AllocsPerRun(100, func() { row.Begin(&call, now); row.End() }); n != 0 {
		t.Errorf("Begin and End allocate %v times", n)
	}
}

// A worker killed while it wrote a row leaves the sequence odd for ever.
func TestAHalfWrittenRowIsReadWithoutTexts(t *testing.T) {
	b := newBoard(t, 1)
	row := b.Row(0)
	row.Begin(&Call{ID: "half"}, time.Now())
	row.word(rowSeq).Add(1)
	if e := b.Snapshot().Rows[0]; !e.Busy || e.Serial != 1 || e.Call != (Call{}) {
		t.Errorf("the row reads %+v, want busy without texts", e)
	}
}

// A reader sees one request whole, never parts of two. Writers run as fast as they can against a reader per row.
func TestReadersNeverSeeTwoRequestsMixed(t *testing.T) {
	const slots, requests, wantReads = 4, 2000, 50
	arbiter, worker := pair(t, slots)
	var reads [slots]atomic.Int64
	var writers, readers sync.WaitGroup
	stop := make(chan struct{})
	for i := range slots {
		writers.Go(func() {
			row := worker.Row(i)
			for n := 1; n <= requests || reads[i].Load() < wantReads; n++ {
				text := strings.Repeat(strconv.Itoa(n)+",", 1+n%20)
				row.Begin(&Call{text, text, text, text, text, text, text, text}, time.Unix(0, int64(n)))
				worker.Beat()
				if n%8 == 0 {
					runtime.Gosched() // a request takes a while, and readers see it
				}
				row.End()
			}
		})
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				e := arbiter.Row(i).read()
				if e.Busy && e.Call != (Call{}) {
					reads[i].Add(1)
					checkWhole(t, e)
				}
			}
		})
	}
	readers.Go(func() {
		for last := uint64(0); ; {
			select {
			case <-stop:
				return
			default:
			}
			s := arbiter.Snapshot()
			if s.Beat < last {
				t.Errorf("the beat went back from %d to %d", last, s.Beat)
			}
			last = s.Beat
		}
	})
	writers.Wait()
	close(stop)
	readers.Wait()
	if s := arbiter.Snapshot(); s.Busy() != 0 {
		t.Errorf("%d rows are busy at the end", s.Busy())
	}
}

func checkWhole(t *testing.T, e Entry) {
	t.Helper()
	number, _, _ := strings.Cut(e.Call.Target, ",")
	if n, err := strconv.ParseInt(number, 10, 64); err != nil || e.Started.UnixNano() != n || e.Serial != uint64(2*n-1) {
		t.Errorf("request %q has serial %d and began at %d", number, e.Serial, e.Started.UnixNano())
	}
	for _, s := range e.Call.texts() {
		if first, _, _ := strings.Cut(*s, ","); first != number && len(*s) > len(number) {
			t.Errorf("the texts of one request hold %q and %q", *s, e.Call.Target)
		}
	}
}

// The memory belongs to a worker that may be hostile: whatever is in it, reading it ends and stays inside the row.
func FuzzReadRow(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 0, 1})
	full := make([]byte, rowSize)
	for i := range full {
		full[i] = 0xff
	}
	f.Add(full)
	valid := make([]byte, rowSize)
	binary.LittleEndian.PutUint64(valid[rowSerial*8:], 1)
	binary.LittleEndian.PutUint16(valid[rowText*8:], textSize)
	f.Add(valid)
	f.Fuzz(func(t *testing.T, mem []byte) {
		b, err := Create(2)
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		copy(b.Row(1).mem, mem)
		e := b.Snapshot().Rows[1]
		total := 0
		for _, s := range e.Call.texts() {
			total += len(*s)
		}
		if total > textSize || !e.Busy && e.Call != (Call{}) {
			t.Errorf("%d bytes of text, busy %v", total, e.Busy)
		}
	})
}

// A request that was answered while its guest runs on is still the same request, until the next one.
func TestAnsweredBelongsToOneRequest(t *testing.T) {
	b := newBoard(t, 1)
	row := b.Row(0)
	row.Begin(&Call{ID: "first"}, time.Now())
	before := b.Snapshot().Rows[0]
	row.Answered()
	if e := b.Snapshot().Rows[0]; before.Answered || !e.Answered || !e.Busy || e.Serial != before.Serial {
		t.Errorf("before %+v, then %+v", before, e)
	}
	row.End()
	row.Begin(&Call{ID: "second"}, time.Now())
	if e := b.Snapshot().Rows[0]; e.Answered {
		t.Errorf("the next request is %+v", e)
	}
}
