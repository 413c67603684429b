package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/appserver-go/appserver/arbiter"
	"github.com/appserver-go/appserver/internal/statsd"
)

// countingHandler tells statsd of warnings and errors, as gunicorn's logger does.
type countingHandler struct {
	slog.Handler
	statsd *statsd.Client
}

// Handle implements slog.Handler.
func (h countingHandler) Handle(ctx context.Context, r slog.Record) error {
	switch {
	case r.Level >= slog.LevelError:
		h.statsd.Log("error")
	case r.Level >= slog.LevelWarn:
		h.statsd.Log("warning")
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h countingHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return countingHandler{h.Handler.WithAttrs(attrs), h.statsd}
}

// WithGroup implements slog.Handler.
func (h countingHandler) WithGroup(name string) slog.Handler {
	return countingHandler{h.Handler.WithGroup(name), h.statsd}
}

// gaugeEvery is how often statsd is told of what has not changed: its servers forget.
const gaugeEvery = 10 * time.Second

// workersGauge tells statsd how many workers serve.
type workersGauge struct {
	statsd *statsd.Client
	last   int
	told   time.Time
}

// alive is for arbiter.Options.Alive.
func (g *workersGauge) alive(v arbiter.Vitals) {
	now := time.Now()
	if v.Ready != g.last || now.Sub(g.told) >= gaugeEvery {
		g.last, g.told = v.Ready, now
		g.statsd.Workers(v.Ready)
	}
}

// watchBacklog tells statsd every second how many connections wait, as gunicorn does with enable_backlog_metric. It ends
// with the monitor.
func (m *monitor) watchBacklog(a *arbiter.Arbiter) {
	for {
		f, err := a.Metrics(m.ctx)
		if err != nil {
			return
		}
		waiting := 0
		for _, q := range f.Queues {
			waiting += q.Waiting
		}
		m.logs.statsd.Backlog(waiting)
		select {
		case <-m.ctx.Done():
			return
		case <-time.After(time.Second):
		}
	}
}
