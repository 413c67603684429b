package postmortem

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

const (
	maxThreads = 256
	maxFrames  = 30
	// stopTime is how long all threads together may take to stop; those that are in guest code do at once.
	stopTime = 200 * time.Millisecond
)

// stacks returns the stacks of the threads that are in one of the tables' code. The process goes on afterwards.
func stacks(pid int, tables []table) (all [][]string) {
	runtime.LockOSThread() // a tracer is a thread
	defer runtime.UnlockOSThread()
	proc := "/proc/" + strconv.Itoa(pid)
	mem, err := os.Open(proc + "/mem")
	if err != nil {
		return nil
	}
	defer mem.Close()
	threads, _ := filepath.Glob(proc + "/task/*")
	deadline := time.Now().Add(stopTime)
	for _, thread := range threads[:min(len(threads), maxThreads)] {
		tid, err := strconv.Atoi(filepath.Base(thread))
		if err != nil || unix.PtraceSeize(tid) != nil {
			continue
		}
		if unix.PtraceInterrupt(tid) == nil && stopped(tid, deadline) {
			var regs unix.PtraceRegs
			if unix.PtraceGetRegs(tid, &regs) == nil {
				if stack := walk(mem, &regs, tables); len(stack) > 0 {
					all = append(all, stack)
				}
			}
		}
		// A thread that has not stopped is let go when this process ends.
		_ = unix.PtraceDetach(tid)
	}
	return all
}

// stopped waits for a thread to stop.
func stopped(tid int, deadline time.Time) bool {
	for {
		var ws unix.WaitStatus
		switch got, err := unix.Wait4(tid, &ws, unix.WALL|unix.WNOHANG, nil); {
		case got == tid:
			return ws.Stopped()
		case err != nil && !errors.Is(err, unix.EINTR), time.Now().After(deadline):
			return false
		}
		time.Sleep(100 * time.Microsecond)
	}
}

// walk follows the frame pointers for as long as they lead to code that is known. wazero's frames begin with the frame
// pointer of the caller and the address to return to, as the System V ABI has it.
func walk(mem *os.File, regs *unix.PtraceRegs, tables []table) (stack []string) {
	at, frame := regs.Rip, regs.Rbp
	for len(stack) < maxFrames {
		name, ok := lookUp(tables, at)
		if !ok {
			break
		}
		stack = append(stack, name)
		var b [16]byte
		if _, err := mem.ReadAt(b[:], int64(frame)); err != nil {
			break
		}
		frame, at = binary.LittleEndian.Uint64(b[:]), binary.LittleEndian.Uint64(b[8:])
	}
	return stack
}

func lookUp(tables []table, at uint64) (string, bool) {
	for i := range tables {
		if name, ok := tables[i].name(at); ok {
			return name, true
		}
	}
	return "", false
}
