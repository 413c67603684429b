package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/appserver-go/appserver/config"
	"github.com/appserver-go/appserver/control"
	"github.com/appserver-go/appserver/internal/fault"
)

// findTime is how long a server may take to say who it is.
const findTime = 2 * time.Second

// The values of control_socket that are no paths.
const (
	controlAuto = "auto"
	controlOff  = "off"
)

// controlEnv is the variable of the control_socket setting, which also tells commands which server is meant.
func controlEnv() string {
	s, _ := config.Lookup("control_socket")
	return s.EnvName()
}

// findServer returns a client of the server that is meant: that of the socket on the command line, else in the
// environment, else the only one there is.
func findServer(ctx context.Context, environ []string, path string) (*control.Client, error) {
	env := environment(environ)
	if path == "" {
		path = env[controlEnv()]
	}
	switch path {
	case "", controlAuto, controlOff:
	default:
		return control.NewClient(path), nil
	}
	dirs := control.Dirs(func(name string) string { return env[name] })
	var live []*control.Client
	var names []string
	for _, path := range control.Find(dirs) {
		c := control.NewClient(path)
		name, ok := identify(ctx, c)
		if !ok {
			c.Close()
			continue
		}
		live, names = append(live, c), append(names, name)
	}
	switch len(live) {
	case 0:
		return nil, fault.New(
			"is it another user's, or has it control_socket set? its log says where the socket is; give it with --control",
			"no running server found in %s", strings.Join(dirs, ", "))
	case 1:
		return live[0], nil
	}
	for _, c := range live {
		c.Close()
	}
	return nil, fault.New("choose one with --control", "%d servers run: %s", len(live), strings.Join(names, "; "))
}

// identify says for people which server a socket belongs to. It is not ok if there is none.
func identify(ctx context.Context, c *control.Client) (name string, ok bool) {
	asked, cancel := context.WithTimeout(ctx, findTime)
	defer cancel()
	st, err := c.Status(asked)
	switch {
	case err == nil:
		return fmt.Sprintf("pid %d (%s) %s", st.PID, printable(st.App), c.Path()), true
	case asked.Err() != nil && ctx.Err() == nil: // somebody listens, but is stopped
		return "not answering: " + c.Path(), true
	}
	return "", false
}
