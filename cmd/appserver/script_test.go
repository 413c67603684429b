package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestScripts runs the command line as its users do: testdata/script holds what they type and what they get.
func TestScripts(t *testing.T) {
	guests, err := filepath.Abs(filepath.Join("..", "..", "testdata", "wasm"))
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Setup: func(env *testscript.Env) error {
			env.Setenv("WASM", guests)
			env.Setenv("XDG_CACHE_HOME", env.WorkDir)
			env.Setenv("XDG_RUNTIME_DIR", os.TempDir()) // short: paths of sockets are limited
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"voice":     voice,
			"exitcode":  exitCode,
			"occupy":    occupy,
			"tcpoccupy": tcpOccupy,
		},
	})
}

// voice wants standard error to hold exactly one error line, with the text, and one hint line: voice 'text'.
func voice(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: voice text")
	}
	stderr := ts.ReadFile("stderr")
	var errs, hints int
	for line := range strings.Lines(stderr) {
		switch {
		case strings.HasPrefix(line, "appserver: error: "):
			errs++
			if !strings.Contains(line, args[0]) {
				ts.Fatalf("the error does not say %q: %s", args[0], line)
			}
		case strings.HasPrefix(line, "appserver: hint: "):
			hints++
		}
	}
	if errs != 1 || hints != 1 {
		ts.Fatalf("%d error lines and %d hint lines, want one of each:\n%s", errs, hints, stderr)
	}
}

// exitCode runs appserver and wants an exit code: exitcode 4 serve x.wasm.
func exitCode(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: exitcode code args...")
	}
	err := ts.Exec("appserver", args[1:]...)
	got := 0
	if err != nil {
		got = -1
		fmt.Sscanf(err.Error(), "exit status %d", &got)
	}
	if fmt.Sprint(got) != args[0] {
		ts.Fatalf("exit code %d, want %s (%v)", got, args[0], err)
	}
}

// occupy listens on a unix socket until the script ends: occupy path.
func occupy(ts *testscript.TestScript, _ bool, args []string) {
	l, err := net.Listen("unix", ts.MkAbs(args[0]))
	ts.Check(err)
	ts.Defer(func() { l.Close() })
}

// tcpOccupy listens on a free port and puts its address into a variable: tcpoccupy NAME.
func tcpOccupy(ts *testscript.TestScript, _ bool, args []string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { l.Close() })
	ts.Setenv(args[0], l.Addr().String())
}
