package arbiter

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"os/signal"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/appserver-go/appserver/sockets"
)

// system is the env of production: this very executable as worker, and Linux.
type system struct {
	app     string
	environ []string
	examine func(ctx context.Context, pid int) string // nil if there is none
}

var _ env = (*system)(nil)

func newSystem(o *Options) *system {
	return &system{app: o.AppName, environ: o.Env, examine: o.Examine}
}

// signalQueue is how many signals may wait for the loop. Those of one kind that come while it is full are dropped;
// a lost SIGCHLD is made up for by the next poll.
const signalQueue = 128

func (*system) signals() (<-chan os.Signal, func()) {
	c := make(chan os.Signal, signalQueue)
	signal.Notify(c, handled()...)
	return c, func() { signal.Stop(c) }
}

// reap is the only wait of the process: another would steal statuses from this one.
func (*system) reap() (int, status, bool) {
	for {
		var ws unix.WaitStatus
		pid, err := unix.Wait4(-1, &ws, unix.WNOHANG, nil)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil || pid == 0:
			return 0, status{}, false
		case ws.Signaled():
			return pid, status{signal: ws.Signal()}, true
		default:
			return pid, status{code: ws.ExitStatus()}, true
		}
	}
}

func (*system) terminal() bool {
	for _, fd := range []int{unix.Stdin, unix.Stderr} {
		if _, err := unix.IoctlGetTermios(fd, unix.TCGETS); err == nil {
			return true
		}
	}
	return false
}

func (*system) memory(pid int) (int64, bool) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/statm")
	if err != nil {
		return 0, false
	}
	return parseResident(string(data))
}

// parseResident finds the second number of statm (proc_pid_statm(5)), which counts pages.
func parseResident(statm string) (int64, bool) {
	fields := strings.Fields(statm)
	if len(fields) < 2 {
		return 0, false
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize()), err == nil
}

func (*system) jitter() float64 { return 2*rand.Float64() - 1 }

func (*system) refuse(set *sockets.Set) (bool, error) { return set.Refuse() }

func (*system) closeSockets(set *sockets.Set) error { return set.Close(true) }

// oomKills reads the counter of this process's own cgroup, or where there is none (cgroup v1) that of the machine.
func (*system) oomKills() (int64, bool) {
	path := "/proc/vmstat"
	groups, _ := os.ReadFile("/proc/self/cgroup")
	for line := range strings.Lines(string(groups)) {
		if group, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			own := "/sys/fs/cgroup" + group + "/memory.events"
			if _, err := os.Stat(own); err == nil {
				path = own
			}
		}
	}
	events, err := os.ReadFile(path)
	if err != nil {
		return 0, false
	}
	return parseOOMKills(string(events))
}

// parseOOMKills finds the oom_kill line of memory.events or vmstat.
func parseOOMKills(events string) (int64, bool) {
	for line := range strings.Lines(events) {
		if value, ok := strings.CutPrefix(line, "oom_kill "); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
			return n, err == nil
		}
	}
	return 0, false
}
