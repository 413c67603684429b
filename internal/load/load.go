// Package load is a strict HTTP/1.1 client that judges a server from outside: it never retries, counts every failed
// dial, write, read and body cut short, and takes nothing for granted that RFC 9112 does not promise. Tests and
// benchmarks use it; the server itself does not.
package load

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// Plan is what to do to a server.
type Plan struct {
	// Addr is "host:port" or "unix:path".
	Addr string
	// Clients is the number of connections at work at a time.
	Clients int
	// TLS makes the clients speak TLS; nil does not.
	TLS *tls.Config
	// Raw is the request to send; it must ask for a connection that suits KeepAlive.
	Raw string
	// KeepAlive reuses connections for as long as the server keeps them.
	KeepAlive bool
	// Requests bounds the number of requests of each client; 0 goes on until the context is done.
	Requests int
	// Pace is the least time between the beginnings of two requests of a client; 0 sends as fast as answers come.
	Pace time.Duration
	// Check judges a response; an error counts as a bad one.
	Check func(*Response) error
	// RefusedOK ends a client without an error when a dial is refused: the server has closed its port.
	RefusedOK bool
}

// Report counts what happened. Lost is what a server may never do to a client.
type Report struct {
	Done     int            // requests answered whole
	Bad      int            // answers that Check refused
	Dials    int            // connections made
	Refused  int            // dials refused
	Lost     int            // dials, writes, reads and bodies that failed otherwise
	Errors   map[string]int // by text, Bad and Lost together
	Latency  []time.Duration
	Duration time.Duration
}

// String prints a report in one line for logs of tests.
func (r *Report) String() string {
	return fmt.Sprintf("done=%d bad=%d lost=%d refused=%d dials=%d p50=%v p99=%v errors=%v",
		r.Done, r.Bad, r.Lost, r.Refused, r.Dials, r.Quantile(0.5), r.Quantile(0.99), r.Errors)
}

// Quantile returns the q-quantile of the latencies, 0 without any.
func (r *Report) Quantile(q float64) time.Duration {
	if len(r.Latency) == 0 {
		return 0
	}
	slices.Sort(r.Latency)
	return r.Latency[min(int(q*float64(len(r.Latency))), len(r.Latency)-1)]
}

// Run carries a plan out and returns when every client has finished. When ctx is done, clients end after the request
// they are at.
func Run(ctx context.Context, p Plan) *Report {
	start := time.Now()
	reports := make([]Report, p.Clients)
	var wg sync.WaitGroup
	for i := range reports {
		wg.Go(func() { (&client{plan: &p, report: &reports[i]}).run(ctx) })
	}
	wg.Wait()
	total := &Report{Errors: map[string]int{}, Duration: time.Since(start)}
	for i := range reports {
		total.add(&reports[i])
	}
	return total
}

func (r *Report) add(o *Report) {
	r.Done += o.Done
	r.Bad += o.Bad
	r.Dials += o.Dials
	r.Refused += o.Refused
	r.Lost += o.Lost
	r.Latency = append(r.Latency, o.Latency...)
	for text, n := range o.Errors {
		r.Errors[text] += n
	}
}

func (r *Report) fail(err error) {
	if r.Errors == nil {
		r.Errors = map[string]int{}
	}
	r.Errors[withoutPorts(err.Error())]++
}

// client is one of a plan's clients.
type client struct {
	plan   *Plan
	report *Report
	conn   *Conn
}

func (c *client) run(ctx context.Context) {
	raw := []byte(c.plan.Raw)
	next := time.Now().Add(time.Duration(rand.Int64N(int64(c.plan.Pace) + 1))) // clients do not march in step
	for n := 0; ctx.Err() == nil && (c.plan.Requests == 0 || n < c.plan.Requests); n++ {
		if c.conn == nil && !c.dial() {
			if c.plan.RefusedOK && c.report.Refused > 0 {
				return
			}
			continue
		}
		if c.plan.Pace > 0 {
			time.Sleep(time.Until(next))
			next = next.Add(c.plan.Pace)
		}
		c.exchange(raw)
	}
	c.hangUp()
}

// dial connects. It does not watch the plan's context: a dial cut off by us must not count against the server.
func (c *client) dial() bool {
	conn, err := DialTLS(context.Background(), c.plan.Addr, c.plan.TLS)
	if err == nil {
		c.conn = conn
		c.report.Dials++
		return true
	}
	if isRefused(err) {
		c.report.Refused++
	} else {
		c.report.Lost++
	}
	c.report.fail(err)
	return false
}

func (c *client) exchange(raw []byte) {
	start := time.Now()
	resp, err := c.conn.Do(raw, len(raw) > 5 && string(raw[:5]) == "HEAD ")
	if err != nil {
		c.report.Lost++
		c.report.fail(err)
		c.hangUp()
		return
	}
	c.report.Latency = append(c.report.Latency, time.Since(start))
	c.report.Done++
	if c.plan.Check != nil {
		if err := c.plan.Check(resp); err != nil {
			c.report.Bad++
			c.report.fail(err)
		}
	}
	if resp.Close || !c.plan.KeepAlive {
		c.hangUp()
	}
}

func (c *client) hangUp() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}

// Status returns a Check that wants the status.
func Status(want int) func(*Response) error {
	return func(r *Response) error {
		if r.Status != want {
			return fmt.Errorf("status %d, want %d", r.Status, want)
		}
		return nil
	}
}

// Lost reports whether err means that an accepted request was lost, as opposed to a refused dial.
func Lost(err error) bool { return err != nil && !isRefused(err) && !errors.Is(err, context.Canceled) }
