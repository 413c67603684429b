// Command appserver serves HTTP with WebAssembly guests: an arbiter process keeps worker processes alive, and each
// worker runs the guest. The command reads the command line and the configuration and becomes arbiter, worker or
// tool; everything else is the business of the packages it puts together.
package main

import (
	"io"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"
)

func main() {
	os.Exit(run(process{
		args: os.Args, environ: os.Environ(), stdout: os.Stdout, stderr: os.Stderr,
	}))
}

// process is what a command gets from the operating system, so that tests can give it something else.
type process struct {
	args           []string // with the command's own name
	environ        []string
	stdout, stderr *os.File
}

// run carries the command line out and returns the exit code.
func run(p process) int {
	// A log's reader that goes away must cost log lines, not the server (EPIPE on descriptors 1 and 2 kills otherwise).
	signal.Ignore(unix.SIGPIPE)
	if len(p.args) > 1 && p.args[1] == "worker" {
		return runWorker(p)
	}
	root := newRoot(p)
	root.SetArgs(p.args[1:])
	root.SetOut(p.stdout)
	root.SetErr(io.Writer(p.stderr))
	return report(p.stderr, root.Execute())
}
