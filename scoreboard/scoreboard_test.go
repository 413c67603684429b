package scoreboard

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func newBoard(t *testing.T, slots int) *Board {
	t.Helper()
	b, err := Create(slots)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// dup returns a second file on the same descriptor, as a worker inherits it.
func dup(t *testing.T, f *os.File) *os.File {
	t.Helper()
	raw, err := f.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var nfd int
	var dupErr error
	err = raw.Control(func(fd uintptr) { nfd, dupErr = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0) })
	if err := errors.Join(err, dupErr); err != nil {
		t.Fatal(err)
	}
	return os.NewFile(uintptr(nfd), "board")
}

// pair returns the arbiter's and the worker's view of one board.
func pair(t *testing.T, slots int) (arbiter, worker *Board) {
	t.Helper()
	arbiter = newBoard(t, slots)
	worker, err := Open(dup(t, arbiter.File()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { worker.Close() })
	return arbiter, worker
}

func TestWorkersStoresReachTheArbiter(t *testing.T) {
	arbiter, worker := pair(t, 3)
	if worker.Slots() != 3 || arbiter.Slots() != 3 {
		t.Fatalf("%d and %d slots, want 3", arbiter.Slots(), worker.Slots())
	}
	if s := arbiter.Snapshot(); s.Beat != 0 || s.State != Booting || s.Busy() != 0 || len(s.Rows) != 3 {
		t.Errorf("a new board reads %+v", s)
	}
	worker.Beat()
	worker.Beat()
	worker.SetState(Serving)
	worker.Add(Successes, 5)
	worker.Add(Connections, 3)
	worker.Add(Connections, -1)
	worker.Add(Queued, 9)
	worker.Add(WebSockets, 4)
	worker.Set(GuestMemory, 8) // the last counter
	start := time.Unix(1700000000, 123456789)
	call := Call{
		ID: "r1", Method: "GET", Proto: "HTTP/1.1", RemoteAddr: "192.0.2.1:4711", Host: "example.org",
		Referer: "http://a/", UserAgent: "curl/8", Target: "/a?b=c",
	}
	worker.Row(2).Begin(&call, start)
	s := arbiter.Snapshot()
	if s.Beat != 2 || s.State != Serving || s.Counters[Requests] != 5 || s.Counters[Connections] != 2 || s.Counters[Queued] != 9 || s.Counters[WebSockets] != 4 || s.Counters[GuestMemory] != 8 {
		t.Errorf("the header reads %+v", s)
	}
	if e := s.Rows[2]; !e.Busy || e.Serial != 1 || !e.Started.Equal(start) || e.Call != call {
		t.Errorf("the row reads %+v", e)
	}
	if s.Busy() != 1 || s.Rows[0] != (Entry{}) || s.Rows[1] != (Entry{}) {
		t.Errorf("the idle rows read %+v", s.Rows[:2])
	}
}

func TestStatesHaveNames(t *testing.T) {
	for s, want := range map[State]string{Booting: "booting", Serving: "serving", Draining: "draining", 77: "unknown"} {
		if got := s.String(); got != want {
			t.Errorf("State(%d) is %q, want %q", s, got, want)
		}
	}
}

func TestCreateRefusesTheWrongNumberOfSlots(t *testing.T) {
	for _, n := range []int{-1, 0, MaxSlots + 1} {
		if b, err := Create(n); err == nil {
			b.Close()
			t.Errorf("a board with %d slots was made", n)
		}
	}
	newBoard(t, 1)
	b := newBoard(t, MaxSlots)
	b.Row(MaxSlots-1).Begin(&Call{Target: "/last"}, time.Now())
	if e := b.Snapshot().Rows[MaxSlots-1]; e.Call.Target != "/last" {
		t.Errorf("the last row of the largest board reads %+v", e)
	}
}

// A worker that could resize the memory could make the arbiter fault when it reads.
func TestTheFileCannotBeResized(t *testing.T) {
	b := newBoard(t, 2)
	for _, size := range []int64{0, headerSize, 1 << 20} {
		if err := b.File().Truncate(size); !errors.Is(err, unix.EPERM) {
			t.Errorf("truncate to %d: %v, want EPERM", size, err)
		}
	}
}

func TestOpenRefusesWhatIsNoBoard(t *testing.T) {
	file := func(size int64) *os.File {
		f, err := os.CreateTemp(t.TempDir(), "board")
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Truncate(size); err != nil {
			t.Fatal(err)
		}
		return f
	}
	lying := newBoard(t, 2)
	lying.word(wordSlots).Store(MaxSlots)
	foreign := newBoard(t, 2)
	foreign.word(wordMagic).Store(magic + 1)
	pipe, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	for name, f := range map[string]*os.File{
		"an empty file": file(0), "a short file": file(headerSize), "a huge file": file(1 << 30),
		"a file without the magic": file(headerSize + rowSize), "a board of another version": dup(t, foreign.File()),
		"a board that lies about its slots": dup(t, lying.File()), "a pipe": pipe,
	} {
		if b, err := Open(f); err == nil {
			b.Close()
			t.Errorf("%s was opened", name)
		}
		if err := f.Close(); !errors.Is(err, os.ErrClosed) {
			t.Errorf("%s was left open", name)
		}
	}
	closed, err := os.Create(filepath.Join(t.TempDir(), "closed"))
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	if _, err := Open(closed); err == nil {
		t.Error("a closed file was opened")
	}
}

func TestCloseTwice(t *testing.T) {
	b, err := Create(1)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := b.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
}

// The arbiter must be able to read what a worker was doing after it was killed.
func TestTheBoardOutlivesTheWorker(t *testing.T) {
	arbiter, worker := pair(t, 1)
	worker.Row(0).Begin(&Call{ID: "last"}, time.Now())
	if err := worker.Close(); err != nil {
		t.Fatal(err)
	}
	if e := arbiter.Snapshot().Rows[0]; !e.Busy || e.Call.ID != "last" {
		t.Errorf("the row reads %+v", e)
	}
}
