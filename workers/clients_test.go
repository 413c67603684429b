package workers_test

import (
	"context"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/internal/accesslog"
	"github.com/appserver-go/appserver/internal/load"
	"github.com/appserver-go/appserver/scoreboard"
	"github.com/appserver-go/appserver/workers"
	syncworker "github.com/appserver-go/appserver/workers/sync"
	"github.com/appserver-go/appserver/workers/threaded"
	"github.com/appserver-go/appserver/workers/workertest"
)

// closeWrite ends the sending side.
func closeWrite(t *testing.T, c *load.Conn) {
	t.Helper()
	if err := c.Conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Fatal(err)
	}
}

// statuses collects the statuses of the access log.
type statuses struct {
	mu   sync.Mutex
	list []int
}

func (s *statuses) add(r *accesslog.Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = append(s.list, r.Status)
}

func (s *statuses) has(status int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Contains(s.list, status)
}

// slow is a guest that waits for the end of its context, or for release.
func slow(release <-chan struct{}) exchange.HandlerFunc {
	return func(ctx context.Context, x *exchange.Exchange) error {
		if strings.HasPrefix(x.Request.Target, "/slow") {
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-release:
			}
		}
		_, err := x.Response.Write([]byte("done"))
		return err
	}
}

// eachKind runs a test for both classes on both kinds of sockets.
func eachKind(t *testing.T, test func(t *testing.T, p *workertest.Port, class workers.Factory)) {
	for name, class := range map[string]workers.Factory{"sync": syncworker.New, "threaded": threaded.New} {
		t.Run(name+" on tcp", func(t *testing.T) { test(t, workertest.Listen(t), class) })
		t.Run(name+" on unix", func(t *testing.T) { test(t, workertest.ListenUnix(t), class) })
	}
}

func TestAGuestIsInterruptedWhenItsClientHasGone(t *testing.T) {
	for _, how := range []struct {
		name string
		gone func(t *testing.T, c *load.Conn)
	}{
		{"closed", func(_ *testing.T, c *load.Conn) { c.Close() }},
		{"reset", func(t *testing.T, c *load.Conn) {
			if tcp, ok := c.Conn.(*net.TCPConn); ok {
				if err := tcp.SetLinger(0); err != nil {
					t.Fatal(err)
				}
			}
			c.Close()
		}},
		{"ended and then closed", func(t *testing.T, c *load.Conn) {
			closeWrite(t, c)
			c.Close()
		}},
	} {
		eachKind(t, func(t *testing.T, p *workertest.Port, class workers.Factory) {
			t.Run(how.name, func(t *testing.T) {
				c := workertest.Config()
				c.DisconnectGrace = 5 * time.Millisecond
				var log statuses
				w := workertest.Start(t, p, class, workertest.Options{Config: c, Guest: slow(nil), Access: log.add})
				client := p.Send(t, "/slow")
				w.Busy(t, 1)
				how.gone(t, client)
				workertest.WaitFor(t, "the interruption", func() bool { return log.has(499) })
				w.Busy(t, 0)
				if r := p.Get(t, "/"); r.Status != 200 {
					t.Errorf("the next request got %d", r.Status)
				}
			})
		})
	}
}

// A client that only ends its sending side waits for the response.
func TestHalfClosedClientsGetTheirResponse(t *testing.T) {
	for _, version := range []string{"1.1", "1.0"} {
		eachKind(t, func(t *testing.T, p *workertest.Port, class workers.Factory) {
			c := workertest.Config()
			c.DisconnectGrace = time.Millisecond
			release := make(chan struct{})
			w := workertest.Start(t, p, class, workertest.Options{Config: c, Guest: slow(release)})
			client := p.Dial(t)
			if err := client.Send([]byte("GET /slow HTTP/" + version + "\r\nHost: test\r\n\r\n")); err != nil {
				t.Fatal(err)
			}
			w.Busy(t, 1)
			closeWrite(t, client)
			time.AfterFunc(300*time.Millisecond, func() { close(release) }) // long enough for many looks at it
			r, err := client.Read(false)
			if err != nil || r.Status != 200 || string(r.Body) != "done" {
				t.Errorf("HTTP/%s: %+v, %v", version, r, err)
			}
		})
	}
}

// Requests whose client goes while they wait for a slot never reach the guest.
func TestAQueuedRequestWithoutAClientIsDropped(t *testing.T) {
	p := workertest.ListenUnix(t)
	c := workertest.Config()
	c.Threads, c.Keepalive = 1, workertest.Patience
	release := make(chan struct{})
	var log statuses
	w := workertest.Start(t, p, threaded.New, workertest.Options{Config: c, Guest: slow(release), Access: log.add})
	kept := p.Dial(t)
	if r, err := kept.Do([]byte(workertest.Raw("/")), false); err != nil || r.Status != 200 {
		t.Fatal(r, err)
	}
	first := p.Send(t, "/slow")
	w.Busy(t, 1)
	if err := kept.Send([]byte(workertest.Raw("/"))); err != nil {
		t.Fatal(err)
	}
	workertest.WaitFor(t, "the queue", func() bool { return w.Board.Snapshot().Counters[scoreboard.Queued] == 1 })
	kept.Close()
	close(release)
	if r, err := first.Read(false); err != nil || r.Status != 200 {
		t.Fatal(r, err)
	}
	workertest.WaitFor(t, "the dropped request", func() bool { return log.has(499) })
	if n := w.Served.Load(); n != 2 {
		t.Errorf("the guest was asked %d times", n)
	}
}

// A grace of 0 lets requests without a client run on.
func TestWithoutAGraceNothingIsInterrupted(t *testing.T) {
	p := workertest.ListenUnix(t)
	release := make(chan struct{})
	var log statuses
	w := workertest.Start(t, p, syncworker.New, workertest.Options{Config: workertest.Config(), Guest: slow(release), Access: log.add})
	p.Send(t, "/slow").Close()
	w.Busy(t, 1)
	time.Sleep(200 * time.Millisecond) // nothing is to happen in it
	w.Busy(t, 1)
	close(release)
	w.Busy(t, 0)
	workertest.WaitFor(t, "the access log", func() bool { return log.has(200) })
}
