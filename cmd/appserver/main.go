// Command appserver serves HTTP with WebAssembly guests: an arbiter process keeps worker processes alive, and each
// worker runs the guest. The command reads the command line and the configuration and becomes arbiter, worker or
// tool; everything else is the business of the packages it puts together.
package main

import (
	"io"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"

	"github.com/appserver-go/appserver/internal/fault"
	"github.com/appserver-go/appserver/internal/hooks"
	"github.com/appserver-go/appserver/internal/postmortem"
)

func main() {
	os.Exit(run(process{
		args: os.Args, environ: os.Environ(), stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr,
	}))
}

// process is what a command gets from the operating system, so that tests can give it something else.
type process struct {
	args           []string // with the command's own name
	environ        []string
	stdin          *os.File // nil where nobody types
	stdout, stderr *os.File
}

// run carries the command line out and returns the exit code.
func run(p process) int {
	// A log's reader that goes away must cost log lines, not the server (EPIPE on descriptors 1 and 2 kills otherwise).
	signal.Ignore(unix.SIGPIPE)
	if len(p.args) > 1 && p.args[1] == hooks.Command {
		return runHookHelper(p)
	}
	if len(p.args) > 1 && p.args[1] == postmortem.Command {
		return runExaminer(p)
	}
	if len(p.args) > 1 && p.args[1] == "worker" {
		return runWorker(p)
	}
	root := newRoot(p)
	root.SetArgs(p.args[1:])
	root.SetOut(p.stdout)
	root.SetErr(io.Writer(p.stderr))
	return report(p.stderr, root.Execute())
}

// runHookHelper becomes the helper process of a hook. Like a worker it is reached before the command line is parsed.
func runHookHelper(p process) int {
	code := fault.Usage
	if !isTerminal(p.stdin) {
		code = hooks.Main(p.stdin, p.stdout)
	}
	if code != fault.OK {
		return report(p.stderr, fault.WithCode(code, "set a hook and start appserver serve",
			"appserver %s is started by appserver serve and cannot be run by hand", hooks.Command))
	}
	return code
}

// runExaminer becomes the helper that looks at a worker before it is aborted.
func runExaminer(p process) int {
	if code := postmortem.Main(p.args[2:], p.stdout); code != fault.OK {
		return report(p.stderr, fault.WithCode(code, "start appserver serve",
			"appserver %s is started by appserver serve and cannot be run by hand", postmortem.Command))
	}
	return fault.OK
}
