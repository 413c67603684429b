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
	if len(os.Args) == 3 && slices.Contains([]string{"native", "front", "pair", "inherit"}, os.Args[1]) {
		serveHere(os.Args[1], os.Args[2])
		return
	}
	seconds := flag.Float64("seconds", 3, "how long to load each server")
	clients := flag.Int("clients", 64, "connections at a time")
	binary := flag.String("appserver", "./appserver", "the appserver to measure")
	only := flag.String("only", "", "measure the groups, or servers with the first of their group, whose names contain this")
	guest := flag.String("guest", "testdata/wasm/hello.wasm", "the guest to serve")
	echo := flag.String("echo", "testdata/wasm/echo.wasm", "the guest for requests with a body")
	flag.Parse()
	if err := run(&servers{binary: *binary, guest: *guest, echo: *echo}, *only, *clients, time.Duration(*seconds*float64(time.Second))); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(s *servers, only string, clients int, d time.Duration) (err error) {
	if s.dir, err = os.MkdirTemp("", "appserver-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(s.dir)
	group := ""
	chosen := slices.DeleteFunc(s.cases(), func(c benchCase) bool {
		first := c.group != group
		group = c.group
		return !first && !strings.Contains(c.group+": "+c.name, only)
	})
	return compare(chosen, clients, d)
}

// compare measures all cases and prints the table. The first case of each group is what the others are divided by.
func compare(all []benchCase, clients int, d time.Duration) error {
	if err := pinLoad(); err != nil {
		return err
	}
	fmt.Printf("%d connections, %v each, server on core %d, load on core %d, %s\n", clients, d, serverCore, loadCore, runtime.Version())
	var base *result
	group := ""
	for _, c := range all {
		if c.group != group {
			group, base = c.group, nil
			fmt.Printf("\n%-46s %10s %12s %8s %9s %9s %6s\n", group, "req/s", "cpu us/req", "ratio", "p50 ms", "p99 ms", "lost")
		}
		if c.clients == 0 {
			c.clients = clients
		}
		r, err := measure(context.Background(), c, base, d)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		if r == nil {
			fmt.Printf("%-46s skipped: not installed\n", c.name)
			continue
		}
		if base == nil {
			base = r
		}
		fmt.Printf("%-46s %10.0f %12.1f %8.2f %9.2f %9.2f %6d\n", c.name, r.rate, r.cpu, r.cpu/base.cpu, ms(r.p50), ms(r.p99), r.lost)
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
