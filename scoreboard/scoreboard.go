// Package scoreboard is the page of memory a worker shares with the arbiter: a beat, the worker's state, counters and
// a row per request slot. The worker writes it with atomic stores, a few nanoseconds each; the arbiter, and through it
// status and metrics, read it at leisure. Nothing in it needs the worker's cooperation to read, so it tells what a
// frozen or dead worker was doing.
//
// The arbiter trusts none of it for time: it notes on its own clock when a value changed (a worker cannot lie about
// the future). The memory is a memfd sealed against resizing, so a hostile worker cannot make the arbiter fault.
package scoreboard

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Layout, in 8-byte words. The header is one page; a row is rowSize bytes.
const (
	magic      = 0x61707073_63623031 // "appscb01"
	headerSize = 4096
	rowSize    = 1024

	wordMagic = 0
	wordSlots = 1
	wordBeat  = 2
	wordState = 3
	wordCount = 16 // counters from here
	wordTimes = 64 // histograms from here

	// MaxSlots bounds a board to a little over 4 MiB.
	MaxSlots = 4096
)

// State is what a worker says of itself.
type State uint64

// The states of a worker, in the order of its life.
const (
	Booting State = iota
	Serving
	Draining
)

func (s State) String() string {
	switch s {
	case Booting:
		return "booting"
	case Serving:
		return "serving"
	case Draining:
		return "draining"
	}
	return "unknown"
}

// Board is one worker's scoreboard. Methods that write may be called from any goroutine of the worker, save for a
// Row's, which belong to whoever holds the slot. Snapshot may be called at any time from anywhere until Close.
type Board struct {
	file  *os.File
	mem   []byte
	slots int
}

// Create makes a board with the given number of rows, for a worker about to be started.
func Create(slots int) (*Board, error) {
	if slots < 1 || slots > MaxSlots {
		return nil, fmt.Errorf("scoreboard: %d slots, want 1 to %d", slots, MaxSlots)
	}
	fd, err := unix.MemfdCreate("appserver-scoreboard", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("scoreboard: memfd: %w", err)
	}
	file := os.NewFile(uintptr(fd), "scoreboard")
	size := headerSize + slots*rowSize
	if err := unix.Ftruncate(fd, int64(size)); err != nil {
		file.Close()
		return nil, fmt.Errorf("scoreboard: size it: %w", err)
	}
	seals := unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_SEAL
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals); err != nil {
		file.Close()
		return nil, fmt.Errorf("scoreboard: seal it: %w", err)
	}
	b, err := mapBoard(file, size)
	if err != nil {
		file.Close()
		return nil, err
	}
	b.slots = slots
	b.word(wordSlots).Store(uint64(slots))
	b.word(wordMagic).Store(magic)
	return b, nil
}

// Open maps the board behind a descriptor and takes the file over. It is the worker's side.
func Open(file *os.File) (*Board, error) {
	info, err := file.Stat()
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("scoreboard: %w", err)
	}
	size := info.Size()
	if size < headerSize+rowSize || size > headerSize+MaxSlots*rowSize {
		file.Close()
		return nil, fmt.Errorf("scoreboard: file of %d bytes is not one", size)
	}
	b, err := mapBoard(file, int(size))
	if err != nil {
		file.Close()
		return nil, err
	}
	slots := b.word(wordSlots).Load()
	if b.word(wordMagic).Load() != magic || slots != uint64((size-headerSize)/rowSize) {
		b.Close()
		return nil, errors.New("scoreboard: file is not one")
	}
	b.slots = int(slots)
	return b, nil
}

func mapBoard(file *os.File, size int) (*Board, error) {
	raw, err := file.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("scoreboard: %w", err)
	}
	b := &Board{file: file}
	var mapErr error
	err = raw.Control(func(fd uintptr) {
		b.mem, mapErr = unix.Mmap(int(fd), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	})
	if err := errors.Join(err, mapErr); err != nil {
		return nil, fmt.Errorf("scoreboard: map it: %w", err)
	}
	return b, nil
}

// File returns the board's file, to hand its descriptor to the worker. The board keeps owning it.
func (b *Board) File() *os.File { return b.file }

// Slots returns the number of rows.
func (b *Board) Slots() int { return b.slots }

// Close unmaps the board. Nothing may use it, or a Row of it, afterwards. Closing it again does nothing.
func (b *Board) Close() error {
	if b.mem == nil {
		return nil
	}
	mem := b.mem
	b.mem = nil
	return errors.Join(unix.Munmap(mem), b.file.Close())
}

// Beat says that the worker's scheduler runs. Workers call it several times a second from a goroutine of its own; when
// the Go runtime is stuck behind a guest that cannot be interrupted, it stops.
func (b *Board) Beat() { b.word(wordBeat).Add(1) }

// SetState publishes the worker's state.
func (b *Board) SetState(s State) { b.word(wordState).Store(uint64(s)) }

// word returns the i-th word of the header. The mapping is page-aligned, so every word is aligned too.
func (b *Board) word(i int) *atomic.Uint64 {
	return (*atomic.Uint64)(unsafe.Pointer(&b.mem[i*8]))
}

// Snapshot is a board's content at one moment.
type Snapshot struct {
	Beat  uint64
	State State
	Totals
	Rows []Entry // one per slot; idle slots have Serial only
}

// Busy returns the number of rows with a request.
func (s *Snapshot) Busy() int {
	n := 0
	for i := range s.Rows {
		if s.Rows[i].Busy {
			n++
		}
	}
	return n
}

// Snapshot reads the board. It never blocks, whatever the worker does: a row that is being written just then is read
// a few times and then reported as busy without its texts.
func (b *Board) Snapshot() Snapshot {
	s := Snapshot{
		Beat:  b.word(wordBeat).Load(),
		State: State(b.word(wordState).Load()),
		Rows:  make([]Entry, b.slots),
	}
	s.Totals = b.totals()
	for i := range s.Rows {
		s.Rows[i] = b.Row(i).read()
	}
	return s
}
