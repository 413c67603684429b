package arbiter

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/appserver-go/appserver/internal/proto"
)

const (
	abortSignal = syscall.SIGABRT
	killSignal  = syscall.SIGKILL
)

// state is where a worker is in its life. Later states are greater.
type state uint8

const (
	spawned  state = iota // the process exists
	booted                // it said hello and loads the guest
	ready                 // it serves
	draining              // it was told to finish
	aborted               // SIGABRT was sent, or will be once the process was examined
	killed                // SIGKILL was sent
)

func (s state) String() string {
	return [...]string{"spawned", "booted", "ready", "draining", "aborted", "killed"}[s]
}

// wait is what the arbiter expects of a worker before a deadline.
type wait uint8

const (
	forNothing  wait = iota
	forReady         // the end of its boot
	forExit          // its end, whatever it was told
	forDrain         // its end after a drain
	forAbort         // its end after SIGABRT
	forExaminer      // what it is doing, before SIGABRT
)

// worker is a process as the arbiter knows it.
type worker struct {
	proc process
	pid  int
	spec spec
	log  *slog.Logger // names the worker in each record

	state     state
	stage     string        // what it was last busy with while it booted
	failed    *proto.Failed // why it cannot boot, if it said so
	retiring  string        // why it wants a replacement; "" if it does not
	dismissed bool          // the arbiter told it to go, for no fault of its own
	closed    bool          // it accepts no more
	accepts   []int         // its listeners, by index, that it was told to accept from; nil for all
	guest     []proto.Fact  // what it said of the guest
	expiry    time.Time     // when it is too old; zero for never
	spawnedAt time.Time
	readyAt   time.Time // zero if it never was

	// deadline is when the arbiter loses patience, zero means never; awaited and overdue say with what.
	deadline time.Time
	awaited  wait
	overdue  string
	// reason is why the arbiter aborted or killed it, or what it found out of who did; "" if it just died.
	reason   string
	ending   Ending // the same in a word, or why it was asked to go; "" if neither
	murdered bool   // killed from outside, and not for want of memory: no fault of its own
	bootLate bool   // boot_timeout is that reason
	watch    watch

	reaped bool // status is set
	status status
	ended  bool // the process left nothing more to read; stderr is set
	stderr string
}

// expect sets what the arbiter waits for, how long from now, and what to say when that was too long. Of a dead process,
// whose last messages may still come in, it expects nothing.
func (w *worker) expect(now time.Time, what wait, within time.Duration, overdue string) {
	if w.reaped {
		return
	}
	w.deadline, w.awaited, w.overdue = now.Add(within), what, overdue
}

// served reports whether the worker was ever ready.
func (w *worker) served() bool { return !w.readyAt.IsZero() }

// send sends m. A failure needs no answer of its own: a worker that cannot be reached is dying or misses a deadline.
func (w *worker) send(m proto.Message) {
	if err := w.proc.send(m); err != nil {
		w.log.Debug("Could not send to worker", "message", string(m.Type), "error", err)
	}
}

// accept tells the worker which of its listeners to accept from, unless it knows.
func (w *worker) accept(indices []int) {
	if slices.Equal(w.accepts, indices) {
		return
	}
	w.accepts = indices
	w.send(proto.Message{Type: proto.TypeAccept, Accept: &proto.Accept{Listeners: indices}})
}

// signal sends a signal unless the process was reaped, after which its id may be somebody else's.
func (w *worker) signal(sig syscall.Signal) {
	if w.reaped {
		return
	}
	if err := w.proc.signal(sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		w.log.Error("Could not signal worker", "signal", signalName(sig), "error", err)
	}
}

// drain tells the worker to finish within grace, and sees to it that it is gone within patience.
func (w *worker) drain(now time.Time, grace, patience time.Duration, final bool) {
	if w.state > draining {
		return
	}
	w.state, w.dismissed = draining, true
	w.send(proto.Message{Type: proto.TypeDrain, Drain: &proto.Drain{Grace: grace, Final: final}})
	overdue := fmt.Sprintf("did not finish within %v (graceful_timeout)", grace)
	if grace == 0 {
		overdue = fmt.Sprintf("did not exit within %v", patience)
	}
	w.expect(now, forDrain, patience, overdue)
}

// dismiss ends a worker that serves nobody yet.
func (w *worker) dismiss(reason string) {
	if w.state < aborted {
		w.dismissed = true
	}
	w.kill(reason)
}

// abort ends a worker that does not do so itself, after a look at what it is doing.
func (w *worker) abort(now time.Time, reason string) {
	if w.state >= aborted {
		return
	}
	w.state, w.reason = aborted, reason
	within := min(examineTime, w.spec.gen.limits.abortGrace)
	if w.reaped || within <= 0 || !w.proc.examine(within) {
		w.strike(now)
		return
	}
	w.expect(now, forExaminer, within+examineSlack, reason)
}

const (
	// examineTime is how long looking at a worker may delay its end. It takes a tenth of that, or does not work at all.
	examineTime = 500 * time.Millisecond
	// examineSlack is for the way of an answer that comes in the last moment.
	examineSlack = 100 * time.Millisecond
)

// examined takes what was found out about a worker that is to be aborted.
func (w *worker) examined(text string, now time.Time) {
	if text != "" {
		w.log.Error("Where the aborted worker was", "stack", text)
	}
	if w.state == aborted && w.awaited == forExaminer {
		w.strike(now)
	}
}

// strike asks the Go runtime of the worker for its stacks and its end, and gives it abort_grace for both.
func (w *worker) strike(now time.Time) {
	w.signal(abortSignal)
	w.expect(now, forAbort, w.spec.gen.limits.abortGrace, w.reason)
}

// kill ends the worker for sure.
func (w *worker) kill(reason string) {
	if w.state == killed || w.reaped {
		return
	}
	if w.reason == "" {
		w.reason = reason
	}
	w.state, w.deadline = killed, time.Time{}
	w.signal(killSignal)
}

// blame is cause, or "" of a worker that was told to go and went.
func (w *worker) blame() string {
	if w.dismissed && (w.status == (status{}) || !w.served()) {
		return ""
	}
	return w.cause()
}

// cause says in words why the worker died.
func (w *worker) cause() string {
	switch {
	case w.reason != "":
		return w.reason
	case w.failed != nil:
		return w.failed.Message
	case w.status == (status{}) && w.dismissed:
		return "cut off at the end of a drain"
	case w.status == (status{}):
		return "exited without being told to"
	default:
		return w.status.String()
	}
}

// signalName returns a signal's name as people write it, like SIGKILL.
func signalName(sig syscall.Signal) string {
	if name := unix.SignalName(sig); name != "" {
		return name
	}
	return fmt.Sprintf("signal %d", int(sig))
}

// shortName returns it as gunicorn's log does: term, ttin.
func shortName(sig syscall.Signal) string {
	return strings.ToLower(strings.TrimPrefix(signalName(sig), "SIG"))
}
