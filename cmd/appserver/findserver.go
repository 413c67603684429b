package main

import (
	"context"
	"fmt"
	"slices"
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
	var live []candidate
	for _, path := range control.Find(dirs) {
		c := candidate{client: control.NewClient(path)}
		if c.identify(ctx) {
			live = append(live, c)
		} else {
			c.client.Close()
		}
	}
	live = withoutTwins(live)
	switch len(live) {
	case 0:
		return nil, fault.New(
			"is it another user's, or has it control_socket set? its log says where the socket is; give it with --control",
			"no running server found in %s", strings.Join(dirs, ", "))
	case 1:
		return live[0].client, nil
	}
	names := make([]string, len(live))
	for i, c := range live {
		c.client.Close()
		names[i] = c.name
	}
	return nil, fault.New("choose one with --control", "%d servers run: %s", len(live), strings.Join(names, "; "))
}

// candidate is a server that may be the one that is meant.
type candidate struct {
	client *control.Client
	status *control.Status // nil if it does not answer
	name   string          // for people
}

// identify finds out which server the socket belongs to. It reports whether there is one.
func (c *candidate) identify(ctx context.Context) bool {
	asked, cancel := context.WithTimeout(ctx, findTime)
	defer cancel()
	st, err := c.client.Status(asked)
	switch {
	case err == nil:
		c.status, c.name = st, fmt.Sprintf("pid %d (%s) %s", st.PID, printable(st.App), c.client.Path())
		return true
	case asked.Err() != nil && ctx.Err() == nil: // somebody listens, but is stopped
		c.name = "not answering: " + c.client.Path()
		return true
	}
	return false
}

// withoutTwins leaves one of the two arbiters that an upgrade makes of a server: the old one, unless it is going.
func withoutTwins(all []candidate) []candidate {
	var drop []int
	for _, c := range all {
		if c.status == nil || c.status.Successor == nil {
			continue
		}
		switch c.status.State {
		case "retiring", "stopping":
			drop = append(drop, c.status.PID)
		default:
			drop = append(drop, c.status.Successor.PID)
		}
	}
	return slices.DeleteFunc(all, func(c candidate) bool {
		gone := c.status != nil && slices.Contains(drop, c.status.PID)
		if gone {
			c.client.Close()
		}
		return gone
	})
}
