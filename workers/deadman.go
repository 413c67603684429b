package workers

import (
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// deadman is a timer in the kernel that kills the process unless it is wound up again in time. A frozen worker
// cannot notice that its arbiter is gone, and an arbiter that is stopped or gone cannot notice that the worker is frozen:
// without the timer such a worker would hold its sockets and burn a processor for ever. It is wound up from the first
// beat on, arbiter or not, because nothing can start it once the process is frozen.
type deadman struct {
	id    int32
	after time.Duration // 0 when there is no timer
}

// sigevent is struct sigevent of sigevent(3type), which the kernel expects to be of 64 bytes.
type sigevent struct {
	value  uintptr
	signo  int32
	notify int32
	_      [64]byte
}

// itimerspec is struct itimerspec of timer_settime(2).
type itimerspec struct{ interval, value unix.Timespec }

// deadTime returns the time after which a process without beats is dead: late enough for the arbiter, if it is well, to
// do everything it does about such a worker first. 0, without a worker_timeout, means never.
func deadTime(workerTimeout, abortGrace time.Duration) time.Duration {
	if workerTimeout <= 0 {
		return 0
	}
	return 2*workerTimeout + abortGrace
}

// newDeadman makes the timer. Where the kernel refuses, the worker does without: it is the last of several guards.
func newDeadman(after time.Duration) *deadman {
	d := &deadman{}
	if after <= 0 {
		return d
	}
	ev := sigevent{signo: int32(unix.SIGKILL)} // notify 0 is SIGEV_SIGNAL
	_, _, errno := syscall.Syscall(unix.SYS_TIMER_CREATE, unix.CLOCK_MONOTONIC, uintptr(unsafe.Pointer(&ev)), uintptr(unsafe.Pointer(&d.id)))
	if errno == 0 {
		d.after = after
	}
	return d
}

// wind gives the process another time to live.
func (d *deadman) wind() {
	if d.after == 0 {
		return
	}
	spec := itimerspec{value: unix.NsecToTimespec(d.after.Nanoseconds())}
	syscall.Syscall6(unix.SYS_TIMER_SETTIME, uintptr(d.id), 0, uintptr(unsafe.Pointer(&spec)), 0, 0, 0)
}
