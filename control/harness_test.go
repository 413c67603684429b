package control

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/appserver-go/appserver/internal/fault"
	"github.com/appserver-go/appserver/internal/texttest"
)

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

// TestMain lets a test run this binary as somebody else's client: CONTROL_TEST_DIAL is the socket it connects to, and
// what the server says goes to standard output.
func TestMain(m *testing.M) {
	if path := os.Getenv("CONTROL_TEST_DIAL"); path != "" {
		os.Exit(dialOnly(path))
	}
	os.Exit(m.Run())
}

func dialOnly(path string) int {
	c, err := net.Dial("unix", path)
	if err != nil {
		fmt.Println(err)
		return 3
	}
	defer c.Close()
	io.WriteString(c, "GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n") // an error shows in what is read
	answer, err := bufio.NewReader(c).ReadString('\n')
	fmt.Println(answer, err)
	return 0
}

// fake is a Backend that notes what it was told.
type fake struct {
	mu     sync.Mutex
	calls  []string
	status Status
	err    error         // what every command returns
	hold   chan struct{} // if not nil, a reload waits for it
	begun  chan struct{} // gets a value when a reload has begun
}

func (f *fake) note(format string, args ...any) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, fmt.Sprintf(format, args...))
	return f.err
}

func (f *fake) log() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Join(f.calls, "; ")
}

func (f *fake) Status(context.Context) (*Status, error) { s := f.status; return &s, f.note("status") }

func (f *fake) Config(context.Context) ([]Setting, error) {
	return []Setting{{Key: "workers", Value: 4, Source: "default"}}, f.note("config")
}

func (f *fake) Reload(ctx context.Context) (Reloaded, error) {
	if f.hold != nil {
		f.begun <- struct{}{}
		select {
		case <-f.hold:
		case <-ctx.Done():
			return Reloaded{}, errors.Join(ctx.Err(), f.note("reload canceled"))
		}
	}
	return Reloaded{Generation: 2}, f.note("reload")
}

func (f *fake) Upgrade(_ context.Context, u Upgrade) (Upgraded, error) {
	return Upgraded{PID: 5}, f.note("upgrade keep=%v", u.Keep)
}

func (f *fake) Scale(_ context.Context, s Scale) (Scaled, error) {
	return Scaled{From: 2, To: 3}, f.note("scale workers=%s by=%s", optional(s.Workers), optional(s.By))
}

func (f *fake) Reopen(context.Context) error         { return f.note("reopen") }
func (f *fake) Drain(context.Context) error          { return f.note("drain") }
func (f *fake) Stop(_ context.Context, s Stop) error { return f.note("stop quick=%v", s.Quick) }

func (f *fake) Kill(_ context.Context, pid int) error {
	if pid != 77 {
		return fault.New("see status", "kill %d: %w", pid, ErrNotFound)
	}
	return f.note("kill %d", pid)
}

// rig is a server on a socket of its own.
type rig struct {
	t      *testing.T
	fake   *fake
	feed   *Feed
	server *Server
	client *Client
	logged *texttest.Buffer
}

// shortDir is a directory whose path leaves room for a socket's name.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "ctl")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func newRig(t *testing.T) *rig {
	t.Helper()
	return newRigWith(t, 0)
}

// newRigWith makes a server with another bound on the arrival of a request; 0 means the usual one.
func newRigWith(t *testing.T, requestTime time.Duration) *rig {
	t.Helper()
	s, err := ListenAt(t.Context(), filepath.Join(shortDir(t), "c.sock"))
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, fake: &fake{}, feed: &Feed{}, logged: &texttest.Buffer{}}
	r.server = Serve(s, Options{
		Backend: r.fake, Feed: r.feed, Log: slog.New(slog.NewTextHandler(r.logged, nil)), requestTime: requestTime,
	})
	r.client = NewClient(s.Path())
	t.Cleanup(func() {
		r.client.Close()
		if err := r.server.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// raw sends a request as text and returns the status and the body.
func (r *rig) raw(request string) (int, string) {
	r.t.Helper()
	c := r.dial()
	defer c.Close()
	if _, err := io.WriteString(c, request); err != nil {
		r.t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		r.t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func (r *rig) do(method, path, body string) (int, string) {
	r.t.Helper()
	return r.raw(method + " " + path + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: " +
		strconv.Itoa(len(body)) + "\r\n\r\n" + body)
}

func (r *rig) dial() net.Conn {
	r.t.Helper()
	c, err := net.Dial("unix", r.server.Path())
	if err != nil {
		r.t.Fatal(err)
	}
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		r.t.Fatal(err)
	}
	return c
}

func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	end := time.Now().Add(patience)
	for !cond() {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", patience, what)
		}
		time.Sleep(time.Millisecond) // the pace of looking
	}
}
