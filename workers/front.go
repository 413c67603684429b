package workers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/http1"
	"github.com/appserver-go/appserver/http2"
	"github.com/appserver-go/appserver/internal/fault"
	"github.com/appserver-go/appserver/internal/httprules"
	"github.com/appserver-go/appserver/scoreboard"
)

// cutTime is how long Run waits, once requests are cut off, for guests to notice: one half with the connections still there,
// for an answer, and one without.
const cutTime = time.Second

// ErrCutOff means that a drain ended with requests that did not stop. Their guests must not be closed.
var ErrCutOff = errors.New("requests were cut off that still run")

// errDrained is the cause with which the contexts of requests end when the grace is over.
var errDrained = exchange.Fail(503, exchange.Canceled, "the worker's time to drain is over")

// Policy is in what the classes built on a Front differ.
type Policy struct {
	// Slots is how many requests run at once.
	Slots int
	// Queue is how many requests may wait for a slot; more get 503.
	Queue int
	// Keepalive is how long an idle connection stays open; 0 closes connections after each response.
	Keepalive time.Duration
	// Patience is how long all slots must have been taken before a wait for a connection is broken off; until then one
	// more may be accepted. Breaking off costs more than a short request.
	Patience time.Duration
}

// Front serves connections from a gate over slots, and is all of a class but its policy. Heads and small bodies are read
// before a slot is taken and the ends of responses are sent after it is given back, so neither slow nor idle clients
// cost slots. While a connection may be waiting for a slot that another worker has free, none is accepted.
type Front struct {
	env     *Env
	gate    *gate
	slots   *Slots
	http1   *http1.Server
	http2   *http2.Server // nil where only HTTP/1 comes in
	timeout time.Duration
	clients *clients
	release func(slot int) // the gate's
	doorLog *limiter

	base context.Context // of all requests; ends when they are cut off
	cut  context.CancelCauseFunc
}

// NewFront makes a Front. It fails with a fault when the scoreboard has too few rows for the slots.
func NewFront(e *Env, p Policy) (*Front, error) {
	if n := e.Board.Slots(); p.Slots < 1 || p.Slots > n {
		return nil, fault.New("", "the scoreboard has rows for %d slots and the worker class needs %d", n, p.Slots)
	}
	c := e.Config
	f := &Front{env: e, timeout: c.Timeout}
	f.base, f.cut = context.WithCancelCause(context.Background())
	f.slots = NewSlots(p.Slots, p.Queue, func(d int) { e.Board.Add(scoreboard.Queued, int64(d)) })
	count := func(d int) {
		e.Board.Add(scoreboard.Connections, int64(d))
		if d > 0 {
			e.Board.Add(scoreboard.Accepted, int64(d))
		}
	}
	f.gate = newGate(e, f.slots, p.Patience, count)
	f.release = f.gate.release
	f.clients = newClients(p.Slots, c.DisconnectGrace)
	f.doorLog = newLimiter(failureRate, failureBurst)
	f.serve(p)
	return f, nil
}

// serve makes the front ends.
func (f *Front) serve(p Policy) {
	e, c := f.env, f.env.Config
	limits := httprules.Limits{
		RequestLine: c.LimitRequestLine, Fields: c.LimitRequestFields,
		FieldSize: c.LimitRequestFieldSize, Body: int64(c.LimitRequestBody),
	}
	o := http1.Options{
		Handler: func(c *http1.Call) { f.handle(c) },
		Refused: e.Service.refused, Limits: limits, Keepalive: p.Keepalive, KeepaliveRequests: c.KeepaliveRequests,
		HeaderTimeout: c.HeaderTimeout, StallTimeout: c.StallTimeout, PrefetchTimeout: c.Timeout, Log: e.Log,
		UpgradeTimeout: c.WebSocketTimeout, Upgraded: func(d int) { e.Board.Add(scoreboard.WebSockets, int64(d)) },
	}
	if e.Door != nil { // or plain connections stay as fast as they are
		f.http2 = http2.New(http2.Options{
			Handler: func(c *http2.Call) { f.handle(c) },
			Refused: e.Service.refused, Limits: limits, Keepalive: p.Keepalive, KeepaliveRequests: c.KeepaliveRequests,
			HeaderTimeout: c.HeaderTimeout, StallTimeout: c.StallTimeout, PrefetchTimeout: c.Timeout, Log: e.Log,
			MaxStreams: c.HTTP2MaxConcurrentStreams, Parallel: p.Slots,
		})
		o.Open, o.HTTP2 = f.open, f.http2.ServeConn
	}
	f.http1 = http1.New(o)
}

// Run implements Class.
func (f *Front) Run(ctx context.Context) error {
	defer f.clients.watch()()
	served := make(chan error, 1)
	go func() { served <- f.http1.Serve(f.gate) }() // ends with the gate, and Run waits for it
	stop := context.AfterFunc(ctx, func() { f.env.Drain.Begin(Order{}) })
	defer stop()
	defer f.env.Drain.stop()
	var broken error
	select {
	case <-f.env.Drain.Begun():
	case broken = <-served:
		// Without listeners the worker is of no use. What it has, it finishes.
		f.env.Drain.Begin(Order{Grace: f.env.Config.GracefulTimeout})
		served <- broken
	}
	f.env.Board.SetState(scoreboard.Draining)
	f.http1.CloseConnections()
	if f.http2 != nil {
		f.http2.CloseConnections()
	}
	f.slots.LiftLimit()
	f.gate.stop()
	select {
	case <-served:
	case <-f.env.Drain.Cut():
		f.gate.abandon()
		<-served
	}
	f.env.Closed()
	if err := f.finish(); err != nil {
		return err
	}
	if broken != nil {
		return fmt.Errorf("accept connections: %w", broken)
	}
	return nil
}

// finish waits for the open connections: their next response is the last, idle ones end with keep-alive, and at the
// end of the grace all are cut off.
func (f *Front) finish() error {
	closeIdle := f.env.Drain.CloseIdle()
	for {
		select {
		case <-f.http1.Empty():
			f.cut(nil)
			return nil
		case <-closeIdle:
			f.closeIdle()
			closeIdle = nil
		case <-f.env.Drain.Cut():
			return f.cutOff()
		}
	}
}

// cutOff ends everything now. Guests that obey, nearly all, are given the time to have their clients told.
func (f *Front) cutOff() error {
	f.env.Log.Warn("Cutting requests off", "running", f.slots.Busy(), "waiting", f.slots.Waiting())
	f.cut(errDrained)
	f.closeIdle()
	if f.emptyWithin(cutTime / 2) {
		return nil
	}
	if err := f.http1.Close(); err != nil {
		f.env.Log.Debug("Cannot close all connections", "error", err.Error())
	}
	if f.emptyWithin(cutTime / 2) {
		return nil
	}
	return ErrCutOff
}

// emptyWithin waits for the last connection to go.
func (f *Front) emptyWithin(d time.Duration) bool {
	late := time.NewTimer(d)
	defer late.Stop()
	select {
	case <-f.http1.Empty():
		return true
	case <-late.C:
		return false
	}
}

// closeIdle closes connections that wait for a request.
func (f *Front) closeIdle() {
	f.http1.CloseIdle()
	if f.http2 != nil {
		f.http2.CloseIdle()
	}
}

// handle answers one call.
func (f *Front) handle(c call) {
	start := time.Now()
	span, err := f.env.Service.receive(c)
	if err == nil {
		if files := f.env.Files; files != nil && files.Has(c.X().Request.Path()) {
			err = f.serveFile(c)
		} else {
			err = f.run(c, start)
		}
	}
	f.env.Service.answer(c, start, &span, err)
}

// serveFile answers a call without a slot: a client that is slow to take a large file keeps nobody from the guest.
func (f *Front) serveFile(c call) (err error) {
	ctx := f.env.Service.contexts.get(f.base, c.X(), time.Time{})
	defer f.env.Service.contexts.put(ctx)
	defer func() {
		if p := recover(); p != nil {
			err = panicked(p)
		}
	}()
	return f.env.Files.Serve(ctx, c.X())
}

// run takes the call through a slot.
func (f *Front) run(c call, start time.Time) (err error) {
	claim, crowded, err := f.gate.claim(c.NetConn())
	if crowded {
		c.CloseConnection()
	}
	if err != nil {
		return overloaded(err)
	}
	waits := claim.waits()
	slot, err := claim.Wait(f.base, f.timeout)
	if waits {
		now := time.Now()
		f.env.Board.Waited(now.Sub(start))
		start = now
	}
	if err != nil {
		return overloaded(err)
	}
	defer func() { f.env.Service.leave(slot, err, f.release) }()
	if waits && c.Gone() {
		return errClientGone(nil)
	}
	return f.env.Service.run(f.base, slot, c, start, f.clients)
}

// overloaded makes a failure of an error of Slots. The end of the base context is one already.
func overloaded(err error) error {
	var f *exchange.Failure
	if errors.As(err, &f) {
		return f
	}
	return &exchange.Failure{Status: 503, Reason: exchange.Overloaded, Err: err}
}
