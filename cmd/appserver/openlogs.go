package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/appserver-go/appserver/arbiter"
	"github.com/appserver-go/appserver/config"
	"github.com/appserver-go/appserver/internal/accesslog"
	"github.com/appserver-go/appserver/internal/logsink"
	"github.com/appserver-go/appserver/internal/otlp"
	"github.com/appserver-go/appserver/internal/statsd"
	"github.com/appserver-go/appserver/workers"
)

// logFlush bounds what a process waits at its end for the readers of its logs.
const logFlush = 2 * time.Second

// logs are the open logs of a process.
type logs struct {
	Logger  *slog.Logger
	level   slog.LevelVar
	sink    *logsink.Sink  // of Logger
	statsd  *statsd.Client // nil without one; it counts records, and requests beside the access log
	spans   *otlp.Exporter // of a worker, nil without a collector
	closing sync.WaitGroup // access logs that were replaced

	mu     sync.Mutex // for the metrics, which are of another goroutine than changes
	access *accessLog // nil without one
	past   uint64     // records that replaced logs have dropped
}

// openLogs opens the logs that the settings name: "-" is stderr for the server's log and stdout for the access log. Files
// that it creates are given to who, so that workers of another user can open them again after a rotation.
func openLogs(cfg *config.Config, stdout, stderr *os.File, who owner) (*logs, error) {
	l := &logs{}
	terminal := cfg.ErrorLog == "-" && isTerminal(stderr)
	l.level.Set(levelOf(cfg))
	newLog := func(w io.Writer) *slog.Logger { return newLogger(w, cfg.LogFormat, &l.level, terminal) }
	notice := func(n int64) []byte {
		var line bytes.Buffer
		newLog(&line).LogAttrs(context.Background(), slog.LevelWarn, "Log records were dropped", slog.Int64("dropped", n))
		return line.Bytes()
	}
	sink, err := openSink(cfg.ErrorLog, stderr, who, notice)
	if err != nil {
		return nil, err
	}
	l.sink, l.Logger = sink, newLog(sink)
	if cfg.StatsdHost != "" { // before a worker changes its user, who may not reach the socket
		l.statsd = statsd.New(statsd.Options{Host: cfg.StatsdHost, Prefix: cfg.StatsdPrefix, Tags: cfg.DogstatsdTags})
		l.Logger = slog.New(countingHandler{l.Logger.Handler(), l.statsd})
	}
	if l.access, err = openAccess(cfg, stdout, who); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// openAccess opens the access log; nil if there is to be none.
func openAccess(cfg *config.Config, stdout *os.File, who owner) (*accessLog, error) {
	if cfg.AccessLog == "" {
		return nil, nil
	}
	format, err := accesslog.Parse(cfg.AccessLogFormat)
	if err != nil {
		return nil, err
	}
	sink, err := openSink(cfg.AccessLog, stdout, who, nil)
	if err != nil {
		return nil, err
	}
	return &accessLog{format: format, sink: sink}, nil
}

// change takes over the level and the access log of another configuration. What is still queued for the old access log is
// written out beside.
func (l *logs) change(level slog.Level, access *accessLog) {
	l.level.Set(level)
	l.mu.Lock()
	old := l.access
	l.access = access
	if old != nil {
		l.past += uint64(old.sink.Stats().Dropped)
	}
	l.mu.Unlock()
	if old != nil {
		l.closing.Go(func() { _ = old.sink.Close(logFlush) }) // nobody would hear of the error
	}
}

// sinks are all that is open.
func (l *logs) sinks() []*logsink.Sink {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.access == nil {
		return []*logsink.Sink{l.sink}
	}
	return []*logsink.Sink{l.sink, l.access.sink}
}

func openSink(path string, standard *os.File, who owner, notice func(int64) []byte) (*logsink.Sink, error) {
	opts := logsink.Options{Notice: notice}
	if path == "-" {
		return logsink.New(standard, opts), nil
	}
	if who.uid >= 0 || who.gid >= 0 {
		opts.Chown, opts.UID, opts.GID = true, who.uid, who.gid
	}
	return logsink.Open(path, opts)
}

// Reopen opens all log files anew.
func (l *logs) Reopen() error {
	var errs []error
	for _, s := range l.sinks() {
		errs = append(errs, s.Reopen())
	}
	return errors.Join(errs...)
}

// Close writes out what is queued, for as long as logFlush allows.
func (l *logs) Close() error {
	l.spans.Close() // first, since it logs
	var errs []error
	for _, s := range l.sinks() {
		errs = append(errs, s.Close(logFlush))
	}
	l.statsd.Close()
	l.closing.Wait()
	return errors.Join(errs...)
}

// dropped returns how many records were dropped because a log's reader was slow.
func (l *logs) dropped() uint64 {
	l.mu.Lock()
	n := l.past
	l.mu.Unlock()
	for _, s := range l.sinks() {
		n += uint64(s.Stats().Dropped)
	}
	return n
}

// forWorker returns the logs as package workers takes them, and opens the way to the collector of spans: only workers have any.
func (l *logs) forWorker(cfg *config.Config) *workers.Logs {
	w := &workers.Logs{Log: l.Logger, Reopen: l.Reopen, Dropped: l.dropped, StatsdDropped: l.statsd.Dropped, Close: l.Close}
	if cfg.OTelEndpoint != "" {
		l.spans = otlp.New(otlp.Options{
			Endpoint: cfg.OTelEndpoint, Service: cfg.OTelServiceName, Version: ownVersion(), Log: l.Logger,
		})
		w.Span, w.SpansDropped = l.spans.Add, l.spans.Dropped
	}
	if l.access != nil {
		w.Access = l.access.write
	}
	if access := w.Access; l.statsd != nil {
		w.Access = func(r *accesslog.Record) {
			if access != nil {
				access(r)
			}
			l.statsd.Request(r.Status, r.Duration)
		}
	}
	return w
}

// lost writes the access-log line of a request that died with its worker, and tells statsd.
func (l *logs) lost(r arbiter.LostRequest) {
	l.statsd.Request(0, r.Duration)
	if l.access == nil {
		return
	}
	rec := accesslog.Record{
		RemoteAddr: r.Call.RemoteAddr, Method: r.Call.Method, Target: r.Call.Target, Proto: r.Call.Proto, Host: r.Call.Host,
		Start: r.Started, Duration: r.Duration, ID: r.Call.ID, PID: r.PID, Killed: r.Reason,
	}
	rec.Request.Add("Referer", r.Call.Referer)
	rec.Request.Add("User-Agent", r.Call.UserAgent)
	l.access.write(&rec)
}

// accessLog writes access-log lines. It is safe for concurrent use.
type accessLog struct {
	format *accesslog.Format
	sink   *logsink.Sink
	lines  sync.Pool // *[]byte
}

func (a *accessLog) write(r *accesslog.Record) {
	line, ok := a.lines.Get().(*[]byte)
	if !ok {
		line = new([]byte)
	}
	*line = a.format.Append((*line)[:0], r)
	a.sink.Write(*line)
	a.lines.Put(line)
}
