package control

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/appserver-go/appserver/internal/fault"
)

func TestCommands(t *testing.T) {
	ctx, two, minus := t.Context(), 2, -1
	for name, tc := range map[string]struct {
		call func(*Client) error
		want string
	}{
		"config":     {func(c *Client) error { _, err := c.Config(ctx); return err }, "config"},
		"reload":     {func(c *Client) error { _, err := c.Reload(ctx); return err }, "reload"},
		"scale":      {func(c *Client) error { _, err := c.Scale(ctx, Scale{Workers: &two}); return err }, "scale workers=2 by="},
		"scale down": {func(c *Client) error { _, err := c.Scale(ctx, Scale{By: &minus}); return err }, "scale workers= by=-1"},
		"reopen":     {func(c *Client) error { return c.Reopen(ctx) }, "reopen"},
		"drain":      {func(c *Client) error { return c.Drain(ctx) }, "drain"},
		"stop":       {func(c *Client) error { return c.Stop(ctx, Stop{}) }, "stop quick=false"},
		"stop quick": {func(c *Client) error { return c.Stop(ctx, Stop{Quick: true}) }, "stop quick=true"},
		"upgrade":    {func(c *Client) error { _, err := c.Upgrade(ctx, Upgrade{Keep: true}); return err }, "upgrade keep=true"},
		"kill":       {func(c *Client) error { return c.Kill(ctx, 77) }, "kill 77"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			if err := tc.call(r.client); err != nil {
				t.Fatal(err)
			}
			if got := r.fake.log(); got != tc.want {
				t.Errorf("the backend was told %q, want %q", got, tc.want)
			}
		})
	}
}

func TestStatusArrivesWhole(t *testing.T) {
	r := newRig(t)
	begun := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	old := Request{Worker: 11, ID: "b", Path: "/slow\x1b[2J", Age: 9}
	r.fake.status = Status{
		App: "app", PID: 10, State: "serving", Generation: 3, Started: begun, Sockets: []string{"http://x"}, Target: 2,
		Reload: &Reload{At: begun, Generation: 4, Error: "bad guest", Hint: "mend it"},
		Workers: []Worker{
			{PID: 10, InFlight: []Request{{Worker: 10, ID: "a", Method: "GET", Path: "/", Age: 1}}},
			{PID: 11, InFlight: []Request{old}},
		},
	}
	got, err := r.client.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want, _ := json.Marshal(r.fake.status)
	if have, _ := json.Marshal(got); string(have) != string(want) {
		t.Errorf("status\n%s, want\n%s", have, want)
	}
	if code, body := r.do("GET", "/v1/requests", ""); code != 200 || !strings.HasPrefix(body, `[{"worker":11,`) {
		t.Errorf("requests: %d %s, want the oldest first", code, body)
	}
	if code, body := r.do("GET", "/v1/workers", ""); code != 200 || !strings.HasPrefix(body, `[{"pid":10,`) {
		t.Errorf("workers: %d %s", code, body)
	}
}

func TestErrorsKeepTheirHint(t *testing.T) {
	for name, tc := range map[string]struct {
		err  error
		code int
	}{
		"conflict": {fault.New("wait", "%w: a reload is under way", ErrConflict), 409},
		"failed":   {fault.WithCode(fault.LoadFailed, "mend the guest", "guest trapped"), 500},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.fake.err = tc.err
			_, err := r.client.Reload(t.Context())
			if err == nil || err.Error() != tc.err.Error() || fault.Hint(err) != fault.Hint(tc.err) ||
				fault.Code(err) != fault.Code(tc.err) {
				t.Errorf("client got %v (hint %q), want %v", err, fault.Hint(err), tc.err)
			}
			if code, _ := r.do("POST", "/v1/reload", ""); code != tc.code {
				t.Errorf("status %d, want %d", code, tc.code)
			}
		})
	}
}

func TestWrongRequests(t *testing.T) {
	r := newRig(t)
	for _, tc := range []struct {
		method, path, body string
		code               int
	}{
		{"POST", "/v1/scale", ``, 400},
		{"POST", "/v1/scale", `{}`, 400},
		{"POST", "/v1/scale", `{"workers":1,"by":1}`, 400},
		{"POST", "/v1/scale", `{"workers":0}`, 400},
		{"POST", "/v1/scale", `{"workers":5000}`, 400},
		{"POST", "/v1/scale", `{"by":-5000}`, 400},
		{"POST", "/v1/scale", `{"workers":1.5}`, 400},
		{"POST", "/v1/scale", `[`, 400},
		{"POST", "/v1/stop", `{"quik":true}`, 400},
		{"POST", "/v1/stop", `{"quick":true} {}`, 400},
		{"POST", "/v1/stop", `{"quick":` + strings.Repeat(" ", maxBody) + `true}`, 413},
		{"POST", "/v1/reload", `{"force":true}`, 400},
		{"POST", "/v1/workers/x/kill", ``, 400},
		{"POST", "/v1/workers/-1/kill", ``, 400},
		{"POST", "/v1/workers/78/kill", ``, 404},
		{"GET", "/v1/stop", ``, 405},
		{"POST", "/v1/status", ``, 405},
		{"DELETE", "/v1/events", ``, 405},
		{"GET", "/v2/status", ``, 404},
		{"GET", "/", ``, 404},
	} {
		code, body := r.do(tc.method, tc.path, tc.body)
		var e Error
		if err := json.Unmarshal([]byte(body), &e); err != nil || e.Error == "" {
			t.Errorf("%s %s %.40s: the body is no error: %q", tc.method, tc.path, tc.body, body)
		}
		if code != tc.code {
			t.Errorf("%s %s %.40s: status %d, want %d", tc.method, tc.path, tc.body, code, tc.code)
		}
	}
	if calls := r.fake.log(); calls != "" {
		t.Errorf("wrong requests reached the backend: %s", calls)
	}
}

func TestHeadIsBounded(t *testing.T) {
	r := newRig(t)
	c := r.dial()
	defer c.Close()
	// The server hangs up in the middle of this, so that neither writing nor reading need go well.
	_, _ = io.WriteString(c, "GET /v1/status HTTP/1.1\r\nHost: x\r\nX: "+strings.Repeat("a", 4*maxHead)+"\r\n\r\n")
	answer, _ := io.ReadAll(c)
	if calls := r.fake.log(); calls != "" || strings.Contains(string(answer), " 200 ") {
		t.Errorf("a large head was served: %q %s", answer, calls)
	}
}

func TestClientsAtOnce(t *testing.T) {
	r := newRig(t)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			c := NewClient(r.server.Path())
			defer c.Close()
			for range 10 {
				if _, err := c.Status(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n := strings.Count(r.fake.log(), "status"); n != 160 {
		t.Errorf("%d calls, want 160", n)
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	r := newRig(t)
	var held []net.Conn
	for range maxConns {
		held = append(held, r.dial())
	}
	// They are accepted in order, so the next one finds no room.
	if code, body := r.do("GET", "/v1/status", ""); code != 503 {
		t.Fatalf("status %d %s", code, body)
	}
	for _, c := range held {
		c.Close()
	}
	eventually(t, "room again", func() bool {
		_, err := r.client.Status(t.Context())
		return err == nil
	})
}

// A reload takes longer than a request may take to arrive, and ends when its client goes away.
func TestReloadWaits(t *testing.T) {
	r := newRig(t)
	r.fake.hold, r.fake.begun = make(chan struct{}), make(chan struct{}, 1)
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() {
		_, err := r.client.Reload(ctx)
		result <- err
	}()
	<-r.fake.begun
	select {
	case err := <-result:
		t.Fatalf("the reload returned early: %v", err)
	default:
	}
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Errorf("client got %v", err)
	}
	eventually(t, "the backend hears of it", func() bool { return r.fake.log() == "reload canceled" })
}

// The deadline for reading a request must not end a command that runs longer: see withoutDeadline.
func TestSlowCommandOutlivesReadDeadline(t *testing.T) {
	r := newRigWith(t, 50*time.Millisecond)
	r.fake.hold, r.fake.begun = make(chan struct{}), make(chan struct{}, 1)
	for _, body := range []string{"", "{}"} {
		done := make(chan int, 1)
		go func() {
			code, _ := r.do("POST", "/v1/reload", body)
			done <- code
		}()
		<-r.fake.begun
		time.Sleep(150 * time.Millisecond) // what is tested is that time alone ends nothing
		r.fake.hold <- struct{}{}
		if code := <-done; code != 200 {
			t.Errorf("body %q: status %d; the backend saw %q", body, code, r.fake.log())
		}
	}
}

func TestCloseEndsWaitingCommands(t *testing.T) {
	r := newRig(t)
	r.fake.hold, r.fake.begun = make(chan struct{}), make(chan struct{}, 1)
	result := make(chan error, 1)
	go func() {
		_, err := r.client.Reload(t.Context())
		result <- err
	}()
	<-r.fake.begun
	if err := r.server.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-result; err == nil {
		t.Error("a reload was told to have gone well")
	}
	if _, err := os.Lstat(r.server.Path()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file is still there: %v", err)
	}
	if _, err := r.client.Status(t.Context()); err == nil || !strings.Contains(err.Error(), "no control socket") || fault.Hint(err) == "" {
		t.Errorf("after the end the client says %v", err)
	}
}
