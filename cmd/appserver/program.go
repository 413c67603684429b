package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/appserver-go/appserver/arbiter"
	"github.com/appserver-go/appserver/internal/handover"
)

// newProgram says how an upgrade executes the program anew: as this process was, from dir, where it was started.
func newProgram(args, environ []string, dir string) (*arbiter.Program, error) {
	path, err := findProgram(args[0], dir)
	if err != nil {
		return nil, err
	}
	p := &arbiter.Program{Path: path, Args: args, Dir: dir}
	for _, entry := range environ {
		switch name, _, _ := strings.Cut(entry, "="); name {
		case "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID": // the sockets come another way
		case "WATCHDOG_PID": // the new process is the one to ping then
		case "PWD": // that of the shell, which may have been somewhere else
		default:
			p.Env = append(p.Env, entry)
		}
	}
	p.Env = append(p.Env, "PWD="+dir, handover.Variable+"="+strconv.Itoa(handover.ControlFD))
	return p, nil
}

// findProgram returns the path under which the program was called, links and all: whoever upgrades it replaces the file or
// the link there. A name that was made up, or leads somewhere else, does not count; then it is the file that is executing.
func findProgram(name, dir string) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	path := name
	if !strings.Contains(name, "/") {
		path, _ = exec.LookPath(name) // "" is not found either
	}
	if path != "" && !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	running, err := os.Stat("/proc/self/exe")
	if err != nil {
		return "", err
	}
	if found, err := os.Stat(path); path == "" || err != nil || !os.SameFile(found, running) {
		return self, nil
	}
	return path, nil
}
