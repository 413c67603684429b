// Command bench compares servers in one run: appserver with hello.wasm in its worker classes, beside the same handler
// native in net/http. The server is pinned to one core and the load to another; what counts is the CPU time of all
// server processes per request, which varies far less between machines and runs than requests per second. It prints a
// table and judges nothing.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	serverCore = 0
	loadCore   = 1

	keepalive = 30 * time.Second
)

func main() {
	if len(os.Args) == 3 && (os.Args[1] == "native" || os.Args[1] == "front") {
		serveHere(os.Args[1], os.Args[2])
		return
	}
	seconds := flag.Float64("seconds", 3, "how long to load each server")
	clients := flag.Int("clients", 64, "connections at a time")
	binary := flag.String("appserver", "./appserver", "the appserver to measure")
	only := flag.String("only", "", "measure the servers whose names contain this, and the native ones")
	guest := flag.String("guest", "testdata/wasm/hello.wasm", "the guest to serve")
	flag.Parse()
	chosen := slices.DeleteFunc(cases(*binary, *guest), func(c benchCase) bool {
		return !strings.Contains(c.name, *only) && !strings.Contains(c.name, "native")
	})
	if err := compare(chosen, *clients, time.Duration(*seconds*float64(time.Second))); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// benchCase is one server under one kind of load.
type benchCase struct {
	name      string
	keepAlive bool
	argv      func(addr string) []string
}

func cases(binary, guest string) []benchCase {
	self := "/proc/self/exe"
	native := func(addr string) []string { return []string{self, "native", addr} }
	front := func(addr string) []string { return []string{self, "front", addr} }
	serve := func(extra ...string) func(string) []string {
		return func(addr string) []string {
			argv := []string{binary, "serve", guest, "--bind", addr, "--log-level", "warn", "--log-format", "logfmt"}
			return append(argv, extra...)
		}
	}
	return []benchCase{
		{"native net/http, keep-alive", true, native},
		{"http1 alone, native handler, keep-alive", true, front},
		{"threaded, 1 worker x 4, shared", true, serve("-w", "1", "-k", "threaded", "--threads", "4", "--guest-isolation", "shared")},
		{"threaded, 1 worker x 4, reset", true, serve("-w", "1", "-k", "threaded", "--threads", "4", "--guest-isolation", "reset")},
		{"threaded, 1 worker x 4, shared, no interrupt", true, serve("-w", "1", "-k", "threaded", "--threads", "4", "--guest-isolation", "shared", "--guest-interrupt", "off")},
		{"threaded, 2 workers x 4, keep-alive", true, serve("-w", "2", "-k", "threaded", "--threads", "4")},
		{"native net/http, close", false, native},
		{"sync, 1 worker, close", false, serve("-w", "1", "-k", "sync")},
		{"sync, 2 workers, close", false, serve("-w", "2", "-k", "sync")},
		{"threaded, 2 workers x 4, close", false, serve("-w", "2", "-k", "threaded", "--threads", "4")},
	}
}

// compare measures all cases and prints the table. The first case of each kind of load is what others are divided by.
func compare(all []benchCase, clients int, d time.Duration) error {
	if err := pinLoad(); err != nil {
		return err
	}
	fmt.Printf("%d connections, %v each, server on core %d, load on core %d, %s\n\n", clients, d, serverCore, loadCore, runtime.Version())
	fmt.Printf("%-46s %10s %12s %8s %9s %9s %6s\n", "server", "req/s", "cpu us/req", "ratio", "p50 ms", "p99 ms", "lost")
	base := map[bool]float64{}
	for _, c := range all {
		r, err := measure(context.Background(), c, clients, d)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		if base[c.keepAlive] == 0 {
			base[c.keepAlive] = r.cpu
		}
		fmt.Printf("%-46s %10.0f %12.1f %8.2f %9.2f %9.2f %6d\n", c.name, r.rate, r.cpu, r.cpu/base[c.keepAlive],
			ms(r.p50), ms(r.p99), r.lost)
	}
	return nil
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// pinLoad pins this process, which makes the load, to its core, where there are two.
func pinLoad() error {
	if runtime.NumCPU() < 2 {
		fmt.Println("one core only: server and load share it")
		return nil
	}
	return pinAll(os.Getpid(), loadCore)
}

// pinAll pins every thread of a process; threads and processes it makes later inherit it.
func pinAll(pid, core int) error {
	var set unix.CPUSet
	set.Set(core)
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return err
	}
	for _, task := range tasks {
		var tid int
		if _, err := fmt.Sscan(task.Name(), &tid); err != nil {
			return err
		}
		if err := unix.SchedSetaffinity(tid, &set); err != nil {
			return fmt.Errorf("pin thread %d: %w", tid, err)
		}
	}
	return nil
}
