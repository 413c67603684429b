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
	"github.com/appserver-go/appserver/internal/nethttp"
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
	failures *limiter
	lifetime uint64 // requests until Retire, 0 for ever
	served   atomic.Uint64
}

// NewService makes a Service. The error, a *fault.Error, is about forwarded_allow_ips.
func NewService(o ServiceOptions) (*Service, error) {
	trust, err := NewTrust(o.Config.ForwardedAllowIPs)
	if err != nil {
		return nil, err
	}
	s := &Service{o: o, trust: trust, ids: newRequestIDs(), failures: newLimiter(failureRate, failureBurst)}
	if n := o.Config.MaxRequests; n > 0 {
		s.lifetime = uint64(n + rand.IntN(max(o.Config.MaxRequestsJitter, 0)+1))
	}
	return s, nil
}

// receive prepares a request for the guest. The error is a *exchange.Failure.
func (s *Service) receive(r *exchange.Request) error {
	s.ids.assign(r)
	return s.trust.Apply(r)
}

// run has the guest answer a call in a slot, which leave must follow. The time it may take counts from here. base ends
// when the worker cuts requests off.
func (s *Service) run(base context.Context, slot int, c *nethttp.Call) (err error) {
	start := time.Now()
	s.o.Board.Row(slot).Begin(describe(&c.Request), start)
	ctx, cancel := context.WithCancel(base)
	if t := s.o.Config.Timeout; t > 0 {
		deadline := start.Add(t)
		ctx, cancel = context.WithDeadline(base, deadline)
		c.SetDeadline(deadline)
		defer c.SetDeadline(time.Time{})
	}
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			err = &exchange.Failure{
				Status: 500, Reason: exchange.Internal, Err: fmt.Errorf("panic: %v", p), Stack: string(debug.Stack()),
			}
		}
	}()
	return s.o.Guest.Serve(ctx, &c.Exchange)
}

// leave clears the slot's row and calls free, at once or, where the guest could not be stopped, when it is done at last.
// Until then the arbiter sees the slot taken by the same request, and in the end kills the worker. err is what run
// returned.
func (s *Service) leave(slot int, err error, free func()) {
	row := s.o.Board.Row(slot)
	var f *exchange.Failure
	if !errors.As(err, &f) || f.Running == nil {
		row.End()
		free()
		return
	}
	row.Answered()
	go func() { // ends with the guest's request, or with the process
		<-f.Running
		row.End()
		free()
	}()
}

// answer completes the response and accounts for it. err is why there is none of the guest's.
func (s *Service) answer(c *nethttp.Call, start time.Time, err error) {
	resp := &c.Response
	if err == nil {
		err = resp.Finish()
	}
	status := max(resp.Status, 200)
	if err != nil {
		f := classify(c, err)
		s.logFailure(&c.Request, f, start)
		s.countFailure(f)
		if !resp.Committed() {
			status = f.Status
		}
		sendFailure(resp, c.Request.ID, f)
	}
	s.count(status)
	s.access(&c.Request, resp, status, start)
	if n := s.served.Add(1); n == s.lifetime {
		s.o.Log.Info("Autorestarting worker after current request", "max_requests", s.lifetime)
		s.o.Retire("max_requests")
	}
}

// refused accounts for a request that the front end answered itself.
func (s *Service) refused(x *exchange.Exchange, status int, cause string) {
	r := &x.Request
	s.ids.assign(r)
	start := time.Now()
	if s.o.Log.Enabled(context.Background(), slog.LevelDebug) {
		s.o.Log.Debug("Request refused", "request_id", r.ID, "peer", r.RemoteAddr, "status", status, "cause", cause)
	}
	s.count(status)
	s.access(r, &x.Response, status, start)
}

// count counts a response.
func (s *Service) count(status int) {
	s.o.Board.Add(scoreboard.Requests, 1)
	class := min(max(status/100, 1), 5)
	s.o.Board.Add(scoreboard.Informs+scoreboard.Counter(class-1), 1)
}

// describe returns what the scoreboard shows of a request.
func describe(r *exchange.Request) *scoreboard.Call {
	c := &scoreboard.Call{
		ID: r.ID, Method: r.Method, Proto: r.Proto, RemoteAddr: r.RemoteAddr, Host: r.Host, Target: r.Target,
	}
	for i := range r.Fields {
		switch f := &r.Fields[i]; {
		case c.Referer == "" && strings.EqualFold(f.Name, "Referer"):
			c.Referer = f.Value
		case c.UserAgent == "" && strings.EqualFold(f.Name, "User-Agent"):
			c.UserAgent = f.Value
		}
	}
	return c
}
