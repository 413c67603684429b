package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/appserver-go/appserver/arbiter"
	"github.com/appserver-go/appserver/internal/fault"
	"github.com/appserver-go/appserver/metrics"
	"github.com/appserver-go/appserver/scoreboard"
	"github.com/appserver-go/appserver/sockets"
)

const (
	// metricsBacklog is the kernel's queue of the metrics listener.
	metricsBacklog = 128
	// metricsRetry is the pause before a new arbiter looks again whether the old one has left the address.
	metricsRetry = 250 * time.Millisecond
)

// monitor is what the arbiter's process has for monitoring: the metrics listener, and what it tells statsd of the listen queue.
type monitor struct {
	log     *slog.Logger
	logs    *logs
	addrs   []sockets.Addr // empty without a listener
	opts    sockets.Options
	heir    bool // during an upgrade the old arbiter has the address until it is gone
	backlog bool // statsd is told of the listen queue

	tasks sync.WaitGroup
	ctx   context.Context // of the tasks
	stop  context.CancelFunc

	mu     sync.Mutex // for who listens late
	set    *sockets.Set
	server *metrics.Server
}

// openMonitor opens the metrics listener, if there is to be one.
func openMonitor(ctx context.Context, s *server) (*monitor, error) {
	cfg := &s.loaded.Config
	m := &monitor{log: s.logs.Logger, logs: s.logs, heir: s.heir != nil, backlog: cfg.EnableBacklogMetric && s.logs.statsd != nil}
	m.ctx, m.stop = context.WithCancel(ctx)
	if cfg.MetricsBind == "" {
		return m, nil
	}
	var err error
	if m.addrs, err = parseBinds([]string{cfg.MetricsBind}); err != nil {
		return nil, err
	}
	m.opts = sockets.Options{
		Backlog: metricsBacklog, Mode: os.FileMode(cfg.SocketMode), UID: s.who.uid, GID: s.who.gid, Log: m.log,
		Retries: bindRetries, RetryDelay: bindDelay,
	}
	if m.heir {
		return m, nil
	}
	if m.set, err = sockets.Listen(ctx, m.addrs, m.opts); err != nil {
		return nil, &fault.Error{Err: fmt.Errorf("metrics_bind: %w", err), Hint: fault.Hint(err)}
	}
	return m, nil
}

// attach begins to answer. The arbiter must be run after it.
func (m *monitor) attach(a *arbiter.Arbiter) error {
	if m.backlog {
		m.tasks.Go(func() { m.watchBacklog(a) })
	}
	switch {
	case len(m.addrs) == 0:
		return nil
	case m.heir:
		m.tasks.Go(func() { m.listenLate(a) })
		return nil
	}
	return m.serve(a, m.set)
}

// listenLate takes the address over as soon as the old arbiter has left it. Monitoring asks the old one until then.
func (m *monitor) listenLate(a *arbiter.Arbiter) {
	opts := m.opts
	opts.Log, opts.RetryDelay, opts.Retries = nil, metricsRetry, int(365*24*time.Hour/metricsRetry)
	set, err := sockets.Listen(m.ctx, m.addrs, opts)
	if err == nil {
		err = m.serve(a, set)
	}
	if err != nil && m.ctx.Err() == nil {
		m.log.Error("Could not open the metrics listener", "error", err)
	}
}

// serve answers on the listener, which Close closes.
func (m *monitor) serve(a *arbiter.Arbiter, set *sockets.Set) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.set = set
	listener, err := set.Sockets()[0].NetListener()
	if err != nil {
		return err
	}
	m.log.Info("Metrics", "address", set.Names()[0])
	m.server = metrics.Serve(listener, metrics.Options{
		Figures: func(ctx context.Context) (*metrics.Figures, error) { return m.figures(ctx, a) },
		Status:  a.Status,
		Log:     m.log,
	})
	return nil
}

// figures are the arbiter's, and what was dropped in this process.
func (m *monitor) figures(ctx context.Context, a *arbiter.Arbiter) (*metrics.Figures, error) {
	f, err := a.Metrics(ctx)
	if err != nil {
		return nil, err
	}
	f.Totals.Counters[scoreboard.StatsdDrops] += int64(m.logs.statsd.Dropped())
	f.Totals.Counters[scoreboard.LogDrops] += int64(m.logs.dropped())
	return &metrics.Figures{Metrics: f, Version: ownVersion()}, nil
}

// Close ends the listener. An arbiter that was attached must have been run to its end.
func (m *monitor) Close() {
	m.stop()
	m.tasks.Wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.server != nil {
		m.server.Close()
	}
	if m.set != nil {
		if err := m.set.Close(true); err != nil {
			m.log.Warn("Could not close the metrics listener cleanly", "error", err)
		}
	}
}
