package main

import (
	"context"
	"io"
	"log"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/appserver-go/appserver/config"
	"github.com/appserver-go/appserver/dev"
)

// devConsole is the terminal of `appserver dev`: what it does itself, what the server's log says that a developer wants
// to know, and reports, which are many lines.
type devConsole struct {
	out    *lockedWriter
	log    *slog.Logger
	text   bool // for people, and not for programs
	colour bool
}

// lockedWriter keeps log lines and reports apart.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

// Write implements io.Writer.
func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

func newDevConsole(stderr *os.File, cfg *config.Config) *devConsole {
	format := cfg.LogFormat
	if format == "auto" {
		format = "text"
	}
	c := &devConsole{out: &lockedWriter{w: stderr}, text: format == "text", colour: isTerminal(stderr)}
	c.log = newLogger(c.out, format, levelOf(cfg), c.colour)
	return c
}

// debugLogger is for what net/http has to say.
func (c *devConsole) debugLogger() *log.Logger {
	return slog.NewLogLogger(c.log.Handler(), slog.LevelDebug)
}

// retold are the messages of the server that reports tell better.
var retold = []string{
	"Request failed", "Reload failed, the old generation serves on", "Worker failed to boot", "Cutting requests off",
}

// machinery are attributes that say how a line of the guest's came here. There is only one way.
var machinery = []string{"pid", "worker", "request_id", "stream"}

// record shows a record of the server's log. What workers come and go by is for those who look for it.
func (c *devConsole) record(r *dev.Record) {
	ctx, level, attrs := context.Background(), r.Level, r.Attrs
	guest := r.Message == "Guest"
	if !guest && level == slog.LevelInfo || slices.Contains(retold, r.Message) {
		level = slog.LevelDebug
	}
	if !c.log.Enabled(ctx, level) {
		return
	}
	if guest && !c.log.Enabled(ctx, slog.LevelDebug) {
		attrs = slices.DeleteFunc(slices.Clone(attrs), func(a slog.Attr) bool { return slices.Contains(machinery, a.Key) })
		for i, a := range attrs {
			attrs[i].Value = slog.StringValue(strings.ReplaceAll(a.Value.String(), `\t`, "    "))
		}
	}
	rec := slog.NewRecord(r.Time, level, r.Message, 0)
	rec.AddAttrs(attrs...)
	_ = c.log.Handler().Handle(ctx, rec) // a terminal that is gone cannot be told
}

// tell shows a report.
func (c *devConsole) tell(r *dev.Report) {
	if !c.text {
		c.log.Error(r.Title, "reason", r.Message, "report", r.Text(true))
		return
	}
	var b strings.Builder
	for line := range strings.Lines(r.Text(true)) {
		marked := strings.HasPrefix(line, "> ")
		if marked && c.colour {
			line = "\x1b[31m" + strings.TrimSuffix(line, "\n") + "\x1b[0m\n"
		}
		b.WriteString("    " + line)
	}
	b.WriteString("\n")
	c.log.Error(r.Title, "reason", r.Message)
	_, rest, _ := strings.Cut(b.String(), "\n") // the first line has been said
	_, _ = io.WriteString(c.out, rest)
}
