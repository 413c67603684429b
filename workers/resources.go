package workers

import (
	"fmt"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/appserver-go/appserver/internal/proto"
)

// prepareDescriptors keeps the worker's descriptors from whatever it may start, and raises their limit to what the
// administrator allows: the Go runtime raises it for itself, but hands the old one down.
func (p *process) prepareDescriptors() error {
	if err := unix.CloseRange(proto.ControlFD, ^uint(0), unix.CLOSE_RANGE_CLOEXEC); err != nil {
		p.log().Debug("Cannot mark descriptors close-on-exec", "error", err.Error()) // before Linux 5.11
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("get the limit of descriptors: %w", err)
	}
	limit.Cur = limit.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("raise the limit of descriptors: %w", err)
	}
	p.capConnections(limit.Cur)
	return nil
}

// spareDescriptors is what a worker keeps for everything but connections: the accept queue's epoll, log files, the
// guest's files, an upstream.
const spareDescriptors = 24

// capConnections lowers worker_connections to what the limit of descriptors leaves room for. A worker that accepts more
// than it can have descriptors for is of no use to anybody until some clients go.
func (p *process) capConnections(limit uint64) {
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return
	}
	room := max(int(min(limit, 1<<30))-len(open)-spareDescriptors, 1)
	if p.config.WorkerConnections > room {
		p.log().Warn("Fewer connections than worker_connections fit the limit of open files (ulimit -n)",
			"worker_connections", p.config.WorkerConnections, "limit", limit, "room", room)
		p.config.WorkerConnections = room
	}
}

// limitProcessors shares the processors out among the workers. Two is the least: a guest that computes must not keep the
// beat and the collector from running. GOMAXPROCS in the environment wins.
func (p *process) limitProcessors() error {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(processors(runtime.GOMAXPROCS(0), p.config.Workers))
	}
	return nil
}

// processors returns how many threads of one of several workers may run Go code at once.
func processors(cpus, workers int) int {
	workers = max(workers, 1)
	return max(2, (cpus+workers-1)/workers+1)
}
