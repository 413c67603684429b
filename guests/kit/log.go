package kit

import (
	"bytes"
	"context"
	"log/slog"
	"sync"
)

// logSink is a slog.Handler that gives each record to the host's log as one line in slog's text form, without time and
// level, which the host knows.
type logSink struct {
	host host
	text slog.Handler
	line *logLine
}

// logLine is where text handlers write to; a handler and those derived from it share one.
type logLine struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func newLogSink(h host) *logSink {
	line := &logLine{}
	text := slog.NewTextHandler(&line.buf, &slog.HandlerOptions{
		Level: slog.LevelDebug,
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey) {
				return slog.Attr{}
			}
			return a
		},
	})
	return &logSink{host: h, text: text, line: line}
}

func (l *logSink) Enabled(_ context.Context, level slog.Level) bool {
	return l.host.logEnabled(hostLevel(level))
}

func (l *logSink) Handle(ctx context.Context, r slog.Record) error {
	l.line.mu.Lock()
	defer l.line.mu.Unlock()
	l.line.buf.Reset()
	if err := l.text.Handle(ctx, r); err != nil {
		return err
	}
	l.host.log(hostLevel(r.Level), bytes.TrimSuffix(l.line.buf.Bytes(), []byte("\n")))
	return nil
}

func (l *logSink) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &logSink{host: l.host, text: l.text.WithAttrs(attrs), line: l.line}
}

func (l *logSink) WithGroup(name string) slog.Handler {
	return &logSink{host: l.host, text: l.text.WithGroup(name), line: l.line}
}

func hostLevel(level slog.Level) int32 {
	switch {
	case level < slog.LevelInfo:
		return levelDebug
	case level < slog.LevelWarn:
		return levelInfo
	case level < slog.LevelError:
		return levelWarn
	default:
		return levelError
	}
}
