package control

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"syscall"
	"time"

	"github.com/appserver-go/appserver/internal/fault"
)

// maxAnswer bounds what a Client reads of one answer: a status with 4096 workers fits.
const maxAnswer = 64 << 20

// Client talks to one server. It is safe for concurrent use. Errors are faults with a hint; a refused command's error
// says what the server said.
type Client struct {
	path string
	http *http.Client
}

// NewClient returns a client for the socket at path. It connects when it is used.
func NewClient(path string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "unix", path)
	}
	return &Client{path: path, http: &http.Client{Transport: &http.Transport{DialContext: dial, MaxIdleConns: 2}}}
}

// Path returns the path of the socket.
func (c *Client) Path() string { return c.path }

// Close drops idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Status asks how the server is.
func (c *Client) Status(ctx context.Context) (*Status, error) {
	var s Status
	if err := c.call(ctx, http.MethodGet, "/v1/status", nil, &s); err != nil {
		return nil, err
	}
	return &s, nil
}

// Config asks for the settings in force.
func (c *Client) Config(ctx context.Context) ([]Setting, error) {
	var settings []Setting
	err := c.call(ctx, http.MethodGet, "/v1/config", nil, &settings)
	return settings, err
}

// Reload makes a new generation and waits until it serves. Without an error it does.
func (c *Client) Reload(ctx context.Context) (Reloaded, error) {
	var r Reloaded
	err := c.call(ctx, http.MethodPost, "/v1/reload", nil, &r)
	return r, err
}

// Upgrade starts a new arbiter and waits until it is ready.
func (c *Client) Upgrade(ctx context.Context, u Upgrade) (Upgraded, error) {
	var done Upgraded
	err := c.call(ctx, http.MethodPost, "/v1/upgrade", u, &done)
	return done, err
}

// Scale changes the number of workers.
func (c *Client) Scale(ctx context.Context, s Scale) (Scaled, error) {
	var done Scaled
	err := c.call(ctx, http.MethodPost, "/v1/scale", s, &done)
	return done, err
}

// Reopen reopens the log files.
func (c *Client) Reopen(ctx context.Context) error {
	return c.call(ctx, http.MethodPost, "/v1/reopen", nil, nil)
}

// Drain ends all workers after their requests and keeps the sockets.
func (c *Client) Drain(ctx context.Context) error {
	return c.call(ctx, http.MethodPost, "/v1/drain", nil, nil)
}

// Stop begins to shut the server down. It does not wait for the end of it.
func (c *Client) Stop(ctx context.Context, s Stop) error {
	return c.call(ctx, http.MethodPost, "/v1/stop", s, nil)
}

// Kill kills a worker.
func (c *Client) Kill(ctx context.Context, pid int) error {
	return c.call(ctx, http.MethodPost, "/v1/workers/"+strconv.Itoa(pid)+"/kill", nil, nil)
}

// Events calls each with every event from now on, until each returns an error, which it returns, ctx is done, or the
// server is gone, which is nil. Ready is called when the stream stands; nil does not care.
func (c *Client) Events(ctx context.Context, ready func(), each func(Event) error) error {
	resp, err := c.send(ctx, http.MethodGet, "/v1/events", nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if ready != nil {
		ready()
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var ev Event
		if err := json.Unmarshal(lines.Bytes(), &ev); err != nil {
			return fault.New("is it an appserver of this version?", "read event: %w", err)
		}
		if err := each(ev); err != nil {
			return err
		}
	}
	switch err := lines.Err(); {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	default:
		return fault.New("the server drops readers that are too slow", "events broke off: %w", err)
	}
}

// call sends a command and decodes its answer into out, unless that is nil.
func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	resp, err := c.send(ctx, method, path, in)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err == nil && out != nil {
		err = json.Unmarshal(data, out)
	}
	if err != nil {
		return fault.New("is it an appserver of this version?", "read answer from %s: %w", c.path, err)
	}
	return nil
}

// send returns the response of a command that went well.
func (c *Client) send(ctx context.Context, method, path string, in any) (*http.Response, error) {
	body := io.Reader(http.NoBody)
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return nil, fmt.Errorf("encode command: %w", err)
		}
		body = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://appserver"+path, body)
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.explain(err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()
	return nil, refusal(resp)
}

// refusal makes an error of an answer that is not 200.
func refusal(resp *http.Response) error {
	var e Error
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxHead))
	if err != nil || json.Unmarshal(data, &e) != nil || e.Error == "" {
		return fault.New("is it an appserver of this version?", "server answered %s", resp.Status)
	}
	refused := &fault.Error{Err: errors.New(e.Error), Hint: e.Hint, Code: e.Code}
	return refused
}

// explain words a failure to reach the server.
func (c *Client) explain(err error) error {
	hint := "`appserver status` without --control lists the servers of this user"
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fault.New("the server may be too busy or stopped", "no answer from %s: %w", c.path, err)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fault.New(hint, "no server answers on %s", c.path)
	case errors.Is(err, syscall.ENOENT):
		return fault.New(hint, "there is no control socket %s", c.path)
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return fault.New("run it as the user of the server, or as root", "may not connect to %s", c.path)
	}
	return fault.New(hint, "connect to %s: %w", c.path, errors.Unwrap(err))
}
