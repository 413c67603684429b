package workers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"github.com/appserver-go/appserver/config"
	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/scoreboard"
)

// ServiceOptions are what a Service is made of.
type ServiceOptions struct {
	// Config is the worker's settings.
	Config *config.Config
	// Guest answers requests.
	Guest exchange.Handler
	// Board is the worker's scoreboard.
	Board *scoreboard.Board
	// Log is the worker's log.
	Log *slog.Logger
	// Access writes the access log; nil writes none. It is called from many goroutines and must not keep the record.
	Access AccessFunc
	// Span takes the spans of requests that are traced; nil traces none.
	Span SpanFunc
	// Retire is called once, when the worker has answered its max_requests.
	Retire func(reason string)
}

// Service is the path of a request that all worker classes share: its name, trust in its proxy, the guest under its
// deadline, the error page, the logs and the counters. It knows no connections and queues. Its methods may be called
// from any goroutine.
type Service struct {
	o        ServiceOptions
	trust    *Trust
	ids      *requestIDs
	tracer   tracer
	failures *limiter
	contexts contexts
	lifetime uint64 // requests until Retire, 0 for ever
	served   atomic.Uint64
}

// NewService makes a Service. The error, a *fault.Error, is about the settings of proxies.
func NewService(o ServiceOptions) (*Service, error) {
	trust, err := NewTrust(o.Config)
	if err != nil {
		return nil, err
	}
	s := &Service{o: o, trust: trust, ids: newRequestIDs(o.Config.RequestIDHeader), failures: newLimiter(failureRate, failureBurst)}
	s.tracer = newTracer(o.Span, o.Config.OTelSampleRatio)
	if n := o.Config.MaxRequests; n > 0 {
		s.lifetime = uint64(n + rand.IntN(max(o.Config.MaxRequestsJitter, 0)+1))
	}
	return s, nil
}

// receive prepares a request for the guest, whose span answer ends. The error is a *exchange.Failure.
func (s *Service) receive(c call) (requestSpan, error) {
	x := c.X()
	s.ids.assign(&x.Request, c.Room(), s.trust)
	if s.ids.header != "" {
		x.Response.SetOwn(s.ids.header, x.Request.ID)
	}
	span := s.tracer.begin(&x.Request)
	err := s.trust.Apply(&x.Request)
	underRoot(&x.Request, s.o.Config.RootPath) // after fields of strangers were dropped
	return span, err
}

// run has the guest answer a call in a slot, which leave must follow. The time it may take counts from start. base ends
// when the worker cuts requests off, and watch looks after the client.
func (s *Service) run(base context.Context, slot int, c call, start time.Time, watch *clients) (err error) {
	var row scoreboard.Call
	describe(&row, &c.X().Request)
	s.o.Board.Row(slot).Begin(&row, start)
	var deadline time.Time
	if t := s.o.Config.Timeout; t > 0 {
		deadline = start.Add(t)
		c.SetDeadline(deadline)
		defer c.SetDeadline(time.Time{})
	}
	ctx := s.contexts.get(base, c.X(), deadline)
	defer s.contexts.put(ctx)
	watch.enter(slot, c, ctx)
	defer func() {
		if interrupted := watch.leave(slot); interrupted && err != nil {
			err = errClientGone(err)
		}
	}()
	defer func() {
		if p := recover(); p != nil {
			err = panicked(p)
		}
	}()
	return s.o.Guest.Serve(ctx, c.X())
}

// panicked makes a failure of what a handler has panicked with.
func panicked(p any) error {
	return &exchange.Failure{
		Status: 500, Reason: exchange.Internal, Err: fmt.Errorf("panic: %v", p), Stack: string(debug.Stack()),
	}
}

// leave clears the slot's row and calls free, at once or, where the guest could not be stopped, when it is done at last.
// Until then the arbiter sees the slot taken by the same request, and in the end kills the worker. err is what run
// returned.
func (s *Service) leave(slot int, err error, free func(slot int)) {
	row := s.o.Board.Row(slot)
	if running := runningOf(err); running != nil {
		row.Answered()
		go func() { // ends with the guest's request, or with the process
			<-running
			row.End()
			free(slot)
		}()
		return
	}
	row.End()
	free(slot)
}

// runningOf returns the channel that is closed when the guest of a failed request is done, nil if it is done already.
func runningOf(err error) <-chan struct{} {
	if err == nil {
		return nil
	}
	var f *exchange.Failure
	if !errors.As(err, &f) {
		return nil
	}
	return f.Running
}

// answer completes the response and accounts for it. err is why there is none of the guest's.
func (s *Service) answer(c call, start time.Time, span *requestSpan, err error) {
	req, resp := &c.X().Request, &c.X().Response
	if err == nil {
		err = resp.Finish()
	}
	status := resp.Status
	if !resp.Hijacked() {
		status = max(status, 200)
	}
	var f *exchange.Failure
	if err != nil {
		f = classify(c, err)
		s.logFailure(req, f, start)
		s.countFailure(f)
		if !resp.Committed() {
			status = f.Status
		}
		sendFailure(resp, req.ID, f)
	}
	took := time.Since(start)
	board := s.o.Board
	if n := c.BodyRead(); n > 0 {
		board.Add(scoreboard.BodyIn, n)
	}
	if n := resp.Sent(); n > 0 {
		board.Add(scoreboard.BodyOut, n)
	}
	board.Took(took)
	board.Answered(status) // last: who sees the total sees its parts
	s.access(req, resp, status, start, took)
	s.tracer.end(span, c, start, took, status, f)
	if n := s.served.Add(1); n == s.lifetime {
		s.o.Log.Info("Autorestarting worker after current request", "max_requests", s.lifetime)
		s.o.Retire("max_requests")
	}
}

// refused accounts for a request that the front end answered itself.
func (s *Service) refused(x *exchange.Exchange, status int, cause string) {
	r := &x.Request
	s.ids.assign(r, nil, s.trust)
	start := time.Now()
	if s.o.Log.Enabled(context.Background(), slog.LevelDebug) {
		s.o.Log.Debug("Request refused", "request_id", r.ID, "peer", r.RemoteAddr, "status", status, "cause", cause)
	}
	s.o.Board.Add(scoreboard.Rejected, 1)
	s.o.Board.Answered(status)
	s.access(r, &x.Response, status, start, 0)
}

// describe fills in what the scoreboard shows of a request.
func describe(c *scoreboard.Call, r *exchange.Request) {
	c.ID, c.Method, c.Proto, c.RemoteAddr, c.Host, c.Target = r.ID, r.Method, r.Proto, r.RemoteAddr, r.Host, r.RawTarget()
	for i := range r.Fields {
		f := &r.Fields[i]
		switch {
		case len(f.Name) == len("Referer") && c.Referer == "" && strings.EqualFold(f.Name, "Referer"):
			c.Referer = f.Value
		case len(f.Name) == len("User-Agent") && c.UserAgent == "" && strings.EqualFold(f.Name, "User-Agent"):
			c.UserAgent = f.Value
		}
	}
}
