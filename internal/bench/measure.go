package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/appserver-go/appserver/internal/load"
)

// result is what a case showed.
type result struct {
	rate, cpu float64 // requests per second; CPU microseconds per request
	p50, p99  time.Duration
	lost      int
}

// measure starts a case's server, warms it up, loads it and stops it. It returns nil where the server is not installed. base
// is what the first of the group took.
func measure(ctx context.Context, c benchCase, base *result, d time.Duration) (*result, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	argv := c.argv(addr)
	if argv == nil {
		return nil, nil
	}
	server, err := startPinned(argv)
	if err != nil {
		return nil, err
	}
	defer stop(server)
	if c.raw == "" {
		c.raw = keepAliveRequest
	}
	if err := waitFor(ctx, addr, c.raw); err != nil {
		return nil, err
	}
	plan := load.Plan{Addr: addr, Clients: c.clients, KeepAlive: c.raw != closeRequest, Raw: c.raw, Check: load.Status(200)}
	if c.halfLoad {
		plan.Pace = time.Duration(float64(c.clients) / (base.rate / 2) * float64(time.Second))
	}
	runFor(ctx, plan, d/4)
	before := treeCPU(server.Process.Pid)
	report := runFor(ctx, plan, d)
	used := treeCPU(server.Process.Pid) - before
	if report.Done == 0 || report.Bad > 0 {
		return nil, fmt.Errorf("load went wrong: %s", report)
	}
	return &result{
		rate: float64(report.Done) / report.Duration.Seconds(),
		cpu:  float64(used.Microseconds()) / float64(report.Done),
		p50:  report.Quantile(0.5), p99: report.Quantile(0.99), lost: report.Lost,
	}, nil
}

func runFor(ctx context.Context, plan load.Plan, d time.Duration) *load.Report {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	return load.Run(ctx, plan)
}

func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// startPinned starts a server on its core: the child inherits the affinity of the thread that starts it.
func startPinned(argv []string) (*exec.Cmd, error) {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if runtime.NumCPU() >= 2 {
		if err := pinThread(serverCore); err != nil {
			return nil, err
		}
		defer pinThread(loadCore)
	}
	return cmd, cmd.Start()
}

func pinThread(core int) error {
	var set unix.CPUSet
	set.Set(core)
	return unix.SchedSetaffinity(0, &set)
}

func stop(cmd *exec.Cmd) {
	cmd.Process.Signal(syscall.SIGTERM)
	cmd.Wait()
}

func waitFor(ctx context.Context, addr, raw string) error {
	deadline := time.Now().Add(20 * time.Second)
	for {
		resp, err := load.Do(ctx, addr, raw)
		if err == nil && resp.Status == 200 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("server does not answer: %w", err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// treeCPU returns the CPU time that a process and its living children have used.
func treeCPU(pid int) time.Duration {
	total := processCPU(pid)
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		fields := statFields(path)
		if len(fields) > 1 && fields[1] == strconv.Itoa(pid) {
			child, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			total += processCPU(child)
		}
	}
	return total
}

// clockTick is the unit of times in /proc: Linux shows hundredths of a second to all programs.
const clockTick = 10 * time.Millisecond

func processCPU(pid int) time.Duration {
	fields := statFields(fmt.Sprintf("/proc/%d/stat", pid))
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.ParseInt(fields[11], 10, 64)
	system, _ := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * clockTick
}

// statFields returns the fields of a stat file after the command name: state, parent, ….
func statFields(path string) []string {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	end := bytes.LastIndexByte(data, ')')
	return strings.Fields(string(data[end+1:]))
}
